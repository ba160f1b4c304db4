"""Runs the application under uvicorn: processes, sockets, limits on connections; it knows nothing of identities."""
