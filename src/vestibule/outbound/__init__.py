"""The only door out: every URL somebody configures is called from here; nothing here knows what an answer means."""
