"""Makes what the demo runs on, once: a directory, its database, a workspace and an API key; it must not serve."""

from __future__ import annotations

import asyncio
import os
from collections.abc import MutableMapping
from pathlib import Path

from vestibule.administration import api_keys, workspaces
from vestibule.administration.desk import Desk, open_desk
from vestibule.errors import InvalidApiKey
from vestibule.model.workspace import RateLimits, Scope
from vestibule.sealing import Sealer
from vestibule.server.serve import prepare
from vestibule.settings import PREFIX, Settings
from vestibule.storage.opening import sqlite_path
from vestibule.tokens.api_keys import ApiKeys

HOST = "127.0.0.1"
_DATABASE = "vestibule.db"
_FILES = "files"
_KEY_FILE = "api-key"
_WORKSPACE = "Demo"
_CUSTOMER_ID = "demo"
# Nobody who plays with the page shall meet a limit that the page does not speak of.
_RATE_LIMITS = RateLimits(standard=1_000_000, streaming=1_000_000)
_LOG_LEVEL = f"{PREFIX}LOG_LEVEL"
# What says how a process shows itself, and not what it works on.
_KEPT = frozenset({_LOG_LEVEL, f"{PREFIX}INSTANCE"})


class CannotPrepare(Exception):
    """The demo cannot run here; the message says why and what to do."""


def leave_configuration(environ: MutableMapping[str, str]) -> None:
    """Makes the demo an installation of its own: whatever this machine is configured for, the demo's data must not end
    up there, nor be sealed with its keys."""
    for name in [name for name in environ if name.startswith(PREFIX) and name not in _KEPT]:
        del environ[name]
    environ[f"{PREFIX}CONFIG"] = os.devnull
    # A line per request would push what there is to paste out of sight.
    environ.setdefault(_LOG_LEVEL, "warning")


def flags_of(directory: Path, port: int) -> dict[str, object]:
    """The settings that make an installation the demo's."""
    return {
        "database_url": f"sqlite:///{directory.resolve() / _DATABASE}",
        "files_directory": str(directory.resolve() / _FILES),
        "host": HOST,
        "port": port,
        "public_url": f"http://{HOST}:{port}",
    }


def make_directory(directory: Path) -> None:
    """Raises CannotPrepare. A directory that exists keeps its permissions: it may be used for other things, too."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotPrepare(f"the directory {directory} cannot be made: {error.strerror}") from None


def make_installation(settings: Settings) -> str:
    """The text of the demo's API key, which is made with its workspace on the first run. Raises CannotPrepare,
    InvalidSettings, WrongSchema, StorageUnavailable."""
    return asyncio.run(_ensure_key(settings, prepare(settings)))


def read_key(settings: Settings) -> str:
    """The text of the demo's API key. Raises OSError where there was no preparation."""
    return _key_file(settings).read_text(encoding="ascii").strip()


async def _ensure_key(settings: Settings, sealer: Sealer) -> str:
    async with open_desk(settings, sealer) as desk:
        try:
            known = read_key(settings)
            await ApiKeys(desk.store).identify(known)
        except FileNotFoundError:
            return await _make_key(desk)
        except (InvalidApiKey, UnicodeError):
            # Its database is gone, or it was revoked.
            return await _make_key(desk)
        except OSError as error:
            raise CannotPrepare(f"{_key_file(settings)} cannot be read: {error.strerror}") from None
        return known


async def _make_key(desk: Desk) -> str:
    known = [workspace for workspace in await workspaces.list_all(desk) if workspace.customer_id == _CUSTOMER_ID]
    workspace = known[0] if known else await workspaces.create(desk, _WORKSPACE, customer_id=_CUSTOMER_ID)
    _, secret = await api_keys.create(
        desk, workspace.id, scopes=(Scope.AUTHENTICATE,), name="demo", rate_limits=_RATE_LIMITS
    )
    _write_private(_key_file(desk.settings), secret.text + "\n")
    return secret.text


def _key_file(settings: Settings) -> Path:
    return Path(sqlite_path(settings.database_url) or _DATABASE).with_name(_KEY_FILE)


def _write_private(path: Path, text: str) -> None:
    # A new file, never an old one's permissions.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
