"""What identity providers say and how it is checked: tokens, keys, and the calls for both; nothing here stores."""
