"""Our embeddable widget, in plain JavaScript (`modules/`), and what makes one script of it; no request is answered."""
