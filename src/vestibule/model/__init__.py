"""The nouns, as frozen values; nothing here does I/O or decides anything."""
