"""Remembers decisions and changes so that nothing can be taken out unseen; nothing here decides."""
