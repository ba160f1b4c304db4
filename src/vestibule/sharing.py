"""Chooses by what processes share rate limits and live events; it must not count or wake anything."""

from __future__ import annotations

import os
from pathlib import Path

from vestibule.limits import Totals
from vestibule.live import Wire
from vestibule.metrics import SHARED_DIRECTORY
from vestibule.pipes import PipeWire
from vestibule.settings import Settings
from vestibule.storage.opening import sqlite_path
from vestibule.storage.postgres_wire import PostgresWire
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.store import Store


def open_totals(settings: Settings, store: Store) -> Totals:
    """Valkey where there is one, and the database while it does not answer; else the database."""
    totals = DatabaseTotals(store)
    if not settings.valkey_url:
        return totals
    from vestibule.valkey import ValkeyTotals  # noqa: PLC0415 - others need not load its library

    return ValkeyTotals(settings.valkey_url, settings.ca_file, totals)


def open_wire(settings: Settings) -> Wire | None:
    """Valkey where there is one, else PostgreSQL. On SQLite the workers of one server have pipes; one alone has nobody
    to tell."""
    if settings.valkey_url:
        from vestibule.valkey import ValkeyWire  # noqa: PLC0415 - others need not load its library

        return ValkeyWire(settings.valkey_url, settings.ca_file)
    if sqlite_path(settings.database_url) is None:
        return PostgresWire(settings.database_url, timeout=settings.database_timeout / 1000)
    directory = os.environ.get(SHARED_DIRECTORY)
    return PipeWire(Path(directory)) if directory else None
