"""Vestibule knows who is talking in a support chat, and proves it; this package must do nothing when imported."""

__version__ = "0.1.0"
