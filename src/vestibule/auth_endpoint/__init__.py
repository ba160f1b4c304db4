"""The customer's own auth endpoint: how it is asked whose a user token is, and what its answer means; nothing here
knows a contact or a database."""
