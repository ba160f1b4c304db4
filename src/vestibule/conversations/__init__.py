"""Chats behind the door: who sees which, how they start, grow and end; no wire's vocabulary here."""
