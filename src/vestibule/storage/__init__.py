"""The only SQL: what is kept and how it is found again; nothing here decides who may see it."""
