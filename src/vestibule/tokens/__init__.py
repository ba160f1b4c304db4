"""What Vestibule issues and later recognises: API keys, signing keys, contact tokens; no HTTP here."""
