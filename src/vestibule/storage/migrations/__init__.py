"""Alembic's migrations; applied ones are never edited."""
