"""Keeps the bytes of files in a bucket that speaks Amazon's S3 protocol; it must not know who may see them.

Through obstore, whose calls run beside the event loop and take none of its threads: a bucket that hangs holds up the
files and nothing else. It is imported by installations that have a bucket; others do not pay for it (8 MB).

The endpoint is the operator's, who may have it in a private network; so these calls do not pass `outbound/`, whose
guard is about addresses that customers write. Its other rules hold: no proxy of the environment, authorities from
`ca_file`, an end to every wait.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from vestibule.errors import StorageUnavailable
from vestibule.settings import Settings
from vestibule.storage.file_store import PIECE_BYTES, path_of, unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

# Larger files go in parts, two at once: what one upload holds in memory.
_PART_BYTES = 8_388_608
_PARTS_AT_ONCE = 2
_CONNECT_SECONDS = 3
_LONGEST = timedelta(hours=1)  # of one answer, which is as slow as its reader; a stalled one ends by read_timeout
_RETRIES = 2
_FAILURES = (BaseError, OSError, TimeoutError)


class ObjectFileStore:
    """A bucket, with the paths of `DiskFileStore` as keys."""

    def __init__(self, settings: Settings) -> None:
        timeout = timedelta(milliseconds=settings.s3_timeout)
        try:
            self._bucket = S3Store(
                settings.s3_bucket,
                config=_config(settings),
                client_options=_client_options(settings, timeout),
                retry_config={"max_retries": _RETRIES, "retry_timeout": timeout},
            )
        except (*_FAILURES, ValueError) as error:
            # Without the library's words, which may quote what it was given.
            raise StorageUnavailable(
                "The settings s3_… or ca_file cannot be used.", detail=type(error).__name__, step="bucket"
            ) from None

    async def put(self, workspace_id: str, file_id: str, content: IO[bytes]) -> None:
        key = path_of(workspace_id, file_id)
        try:
            await obstore.put_async(self._bucket, key, content, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        except _FAILURES as error:
            raise unavailable(error, "file_put") from None

    async def open(self, workspace_id: str, file_id: str, first: int, length: int) -> _ObjectContent | None:
        key = path_of(workspace_id, file_id)
        try:
            found = await obstore.get_async(self._bucket, key, options={"range": (first, first + length)})
        except FileNotFoundError:
            return None
        except _FAILURES as error:
            raise unavailable(error, "file_open") from None
        return _ObjectContent(found)

    async def delete(self, workspace_id: str, file_id: str) -> None:
        key = path_of(workspace_id, file_id)
        try:
            await obstore.delete_async(self._bucket, key)
        except FileNotFoundError:
            return
        except _FAILURES as error:
            raise unavailable(error, "file_delete") from None


class _ObjectContent:
    def __init__(self, found: obstore.GetResult) -> None:
        self._found: obstore.GetResult | None = found

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        if self._found is not None:
            try:
                async for piece in self._found.stream(min_chunk_size=PIECE_BYTES):
                    yield bytes(piece)
            except _FAILURES as error:
                raise unavailable(error, "file_read") from None

    def close(self) -> None:
        self._found = None  # and with it the connection, where it was not read to its end


def _config(settings: Settings) -> S3Config:
    config: S3Config = {"region": settings.s3_region, "disable_bulk_delete": True}
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    if settings.s3_access_key_id:  # else they come from AWS's own variables, or the role of the machine
        config["access_key_id"] = settings.s3_access_key_id
        config["secret_access_key"] = settings.s3_secret_access_key
    return config


def _client_options(settings: Settings, timeout: timedelta) -> ClientConfig:
    options: ClientConfig = {
        "allow_http": settings.s3_endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "read_timeout": timeout,
        "timeout": _LONGEST,
        # A proxy of our own that is used for nothing: otherwise the environment's would be.
        "proxy_url": "http://127.0.0.1:9",
        "proxy_excludes": "*,0.0.0.0/0,::/0",
    }
    if settings.ca_file:
        options["root_certificate"] = Path(settings.ca_file).read_bytes()
    return options
