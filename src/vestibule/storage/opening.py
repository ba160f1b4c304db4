"""Opens the database and the place for files that the settings name, and brings the schema up to date; it holds no
statement of a noun."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from vestibule.errors import StorageUnavailable
from vestibule.settings import InvalidSettings, Settings
from vestibule.storage.file_store import DiskFileStore, FileStore
from vestibule.storage.postgres import PostgresStore
from vestibule.storage.sqlite import SqliteStore
from vestibule.storage.statement import statement
from vestibule.storage.store import Store

# The newest migration. A test compares it with the files, so that serving needs no Alembic in memory (10 MB).
SCHEMA_VERSION = "0018"

# What asyncpg finds in the URL and in PG's variables before it asks any server: waiting does not mend it. It knows none
# of the system's authorities by itself.
_UNUSABLE = "ClientConfigurationError"
_NO_SUCH_FILE = "FileNotFoundError"
_LOOK_AT_TLS = (
    "database_url cannot be used as it is: look at sslmode. With verify-full or verify-ca, sslrootcert must name the "
    "file of the authorities, such as /etc/ssl/certs/ca-certificates.crt"
)

READ_VERSION = statement("schema.version", "SELECT version_num FROM alembic_version")


class WrongSchema(Exception):
    """The schema is not the one this release reads; the message says what to do."""


def sqlite_path(url: str) -> str | None:
    """The file of a `sqlite:///` URL (three slashes: relative, four: absolute), or None for PostgreSQL."""
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


async def open_store(url: str, *, connections: int = 8, timeout: float = 5.0) -> Store:
    """A store that connects on first use: a database that is away when a process starts makes requests answer 503, and
    does not end the process."""
    path = sqlite_path(url)
    store: SqliteStore | PostgresStore
    if path is not None:
        store = SqliteStore(path, timeout=timeout)
    else:
        store = PostgresStore(url, connections=connections, timeout=timeout)
    await store.open()
    return store


def open_files(settings: Settings) -> FileStore:
    """A bucket where one is named, else a directory."""
    if not settings.s3_bucket:
        return DiskFileStore(Path(settings.files_directory))
    from vestibule.storage.object_store import ObjectFileStore  # noqa: PLC0415 - others need not load its library

    return ObjectFileStore(settings)


async def schema_version(url: str) -> str | None:
    """The schema's version, None for an empty database. Raises StorageUnavailable where it cannot be reached,
    InvalidSettings where it cannot even be asked."""
    path = sqlite_path(url)
    if path is not None and not Path(path).exists():  # noqa: ASYNC240 - a command is starting; nobody else waits
        return None
    store = await open_store(url, connections=1)
    try:
        rows = await store.read(READ_VERSION)
        return str(rows[0][0]) if rows else None
    except StorageUnavailable as error:
        if error.detail in {"UndefinedTableError", "no such table: alembic_version"}:
            return None
        if error.detail == _UNUSABLE or (error.detail == _NO_SUCH_FILE and "sslrootcert" in url):
            raise InvalidSettings([_LOOK_AT_TLS]) from error
        if path is None:
            raise
        # "Try again" helps nobody whose file is a directory, no database or not theirs to write.
        what = "it is a directory" if Path(path).is_dir() else error.detail  # noqa: ASYNC240 - as above
        raise StorageUnavailable(f"The database file cannot be used: {what}.", step="open") from error
    finally:
        await store.close()


def migrate(url: str) -> None:
    """Runs what migrations are missing, in one transaction: cut short, it leaves the schema as it was.

    In a process of its own, so that the server does not keep Alembic and SQLAlchemy in memory for ever.
    """
    path = sqlite_path(url)
    if path is not None:
        # Its owner's alone from the first moment; SQLite gives its log and index the same mode.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as error:
            raise StorageUnavailable(f"The database file cannot be made: {error.strerror}.", step="create") from error
    command = [sys.executable, "-m", "vestibule.storage.migrations"]
    # Through standard input: a process's arguments are everybody's to read, and the URL may hold a password.
    done = subprocess.run(command, input=url, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise WrongSchema(f"the migration did not go through: {last[0]}")


def ensure_schema(url: str, *, may_migrate: bool) -> None:
    """Brings the schema to this release's version, or says why not. Raises InvalidSettings, WrongSchema,
    StorageUnavailable."""
    version = asyncio.run(schema_version(url))
    if version == SCHEMA_VERSION:
        return
    if version is not None and version > SCHEMA_VERSION:
        raise WrongSchema(f"the database is at schema {version}, newer than this release ({SCHEMA_VERSION})")
    if not may_migrate:
        raise WrongSchema(
            f"the database is at schema {version}; run `vestibule migrate` to bring it to {SCHEMA_VERSION}"
        )
    migrate(url)
