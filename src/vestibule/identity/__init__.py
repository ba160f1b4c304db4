"""Who a person is: the keys that find a contact, and the decision which contact a proof belongs to; no HTTP here."""
