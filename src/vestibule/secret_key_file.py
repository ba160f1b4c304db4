"""Finds the keys that seal values at rest, and makes the first one; it must not show one."""

from __future__ import annotations

import os
from pathlib import Path

from vestibule.sealing import new_secret_key, parse_secret_key
from vestibule.settings import InvalidSettings, Settings


def secret_key_path(settings: Settings) -> Path:
    """Where the secret key is kept when it is not given directly."""
    if settings.secret_key_file:
        return Path(settings.secret_key_file)
    if settings.database_url.startswith("sqlite:///"):
        return Path(settings.database_url.removeprefix("sqlite:///") + ".key")
    return Path("vestibule.key")


def load_secret_keys(settings: Settings) -> tuple[tuple[bytes, ...], bool]:
    """The secret keys, and whether one was made just now. A made key is random and lies in a file that only its owner
    reads. Raises InvalidSettings."""
    if settings.secret_keys:
        return settings.secret_keys, False
    path = secret_key_path(settings)
    try:
        made = _create(path)
        lines = path.read_text(encoding="ascii").split()
        keys = tuple(parse_secret_key(line) for line in lines)
    except (OSError, ValueError) as error:
        raise InvalidSettings([f"the secret key file {path} cannot be used: {error}"]) from None
    if not keys:
        raise InvalidSettings([f"the secret key file {path} is empty"])
    return keys, made


def _create(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(new_secret_key() + "\n")
        file.flush()
        os.fsync(descriptor)
    # And its name: the database outlives a power cut, and what this key has sealed in it would be lost.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True
