"""`vestibule demo`: an installation of its own with a page that shows the flow; nothing of the product needs it."""
