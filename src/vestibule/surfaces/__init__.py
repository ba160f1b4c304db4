"""The ways in, one per wire; surfaces do not know each other."""
