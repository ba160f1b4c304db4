"""Keeps the bytes of files behind one small interface, on disk by default; it must not know who may see them.

The other place for them is `object_store.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, Protocol

from vestibule.errors import StorageUnavailable
from vestibule.ids import is_id

PIECE_BYTES = 262_144
_COPIED_BYTES = 1_048_576


class Content(Protocol):
    """A part of a file that was found, the finder's to close."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its bytes, in order; to be asked for once."""

    def close(self) -> None: ...


class FileStore(Protocol):
    """Where the bytes of files are. Every method raises StorageUnavailable where they cannot be reached."""

    async def put(self, workspace_id: str, file_id: str, content: IO[bytes]) -> None:
        """Keeps all of `content`, or nothing. What was kept survives a power cut."""

    async def open(self, workspace_id: str, file_id: str, first: int, length: int) -> Content | None:
        """`length` bytes of the file from byte `first` on; None where there is no such file."""

    async def delete(self, workspace_id: str, file_id: str) -> None:
        """Forgets the file; nothing happens where there is none."""


class DiskFileStore:
    """A directory, with one below it for each workspace. Several processes, and machines, may share it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, workspace_id: str, file_id: str, content: IO[bytes]) -> None:
        try:
            await asyncio.to_thread(_write, self._path(workspace_id, file_id), content)
        except OSError as error:
            raise unavailable(error, "file_put") from error

    async def open(self, workspace_id: str, file_id: str, first: int, length: int) -> Content | None:
        try:
            file = await asyncio.to_thread(self._path(workspace_id, file_id).open, "rb")
            return _DiskContent(file, first, length)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(error, "file_open") from error

    async def delete(self, workspace_id: str, file_id: str) -> None:
        try:
            await asyncio.to_thread(self._path(workspace_id, file_id).unlink, missing_ok=True)
        except OSError as error:
            raise unavailable(error, "file_delete") from error

    def _path(self, workspace_id: str, file_id: str) -> Path:
        return self._directory / path_of(workspace_id, file_id)


class _DiskContent:
    def __init__(self, file: IO[bytes], first: int, length: int) -> None:
        self._file = file
        self._first = first
        self._length = length

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        left = self._length
        await asyncio.to_thread(self._file.seek, self._first)
        while left > 0 and (piece := await asyncio.to_thread(self._file.read, min(left, PIECE_BYTES))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        self._file.close()


def path_of(workspace_id: str, file_id: str) -> str:
    """Where a file lies, in a directory as in a bucket, so that one can be copied to the other."""
    if not is_id(workspace_id) or not is_id(file_id):
        raise ValueError("not ids, so they must not become a path")
    # By the last two digits, which are random, so that no directory gets very large.
    return f"{workspace_id}/{file_id[-2:]}/{file_id}"


def _write(path: Path, content: IO[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        with open(part, "xb", opener=_private) as file:
            shutil.copyfileobj(content, file, _COPIED_BYTES)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    # The name, too, or the row in the database could outlive it.
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def unavailable(error: Exception, step: str) -> StorageUnavailable:
    """A refusal without the path, and without the system's words, which quote it."""
    sentence = "Files cannot be kept or read right now; try again."
    return StorageUnavailable(sentence, detail=type(error).__name__, step=step)
