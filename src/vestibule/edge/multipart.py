"""Takes files out of a multipart/form-data body (RFC 7578) while it arrives; it must not judge what is in it.

Memory stays small whatever is sent: beyond a megabyte the content goes to a temporary file that has no name, so it is
gone with the request that brought it, whether that ends well, is refused or breaks off.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from typing import IO

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vestibule.edge.http import Request
from vestibule.errors import BodyTooLarge, BodyTooSlow, InvalidField, MalformedBody, UnsupportedMedia, VestibuleError
from vestibule.storage.file_store import unavailable

# What may come around the file: boundaries, the part's headers, a preamble.
_ENVELOPE_BYTES = 65_536
_IN_MEMORY_BYTES = 1_048_576
_WRITE_BYTES = 262_144
# A slow mobile connection; below it an upload is a way to hold a connection.
_SLOWEST_BYTES_PER_SECOND = 8_192
_LONGEST_BOUNDARY = 70  # RFC 2046 section 5.1.1
_MOST_HEADERS = 8
_MOST_HEADER_BYTES = 8_192


class Upload(msgspec.Struct, frozen=True):
    """A file as it came. `name` is the client's own word; `content` stands at its start and is the caller's to
    close."""

    name: str
    size: int
    content: IO[bytes]


async def read_uploads(request: Request, *, field: str, most: int, most_files: int, within: float) -> list[Upload]:
    """The files in the form's only field, each of at most `most` bytes; the contents are all the caller's to close.
    Raises UnsupportedMedia, MalformedBody, InvalidField, BodyTooLarge, BodyTooSlow, StorageUnavailable."""
    form = _Form(field, _boundary(request, field), most, most_files)
    largest = most_files * (most + _ENVELOPE_BYTES)
    try:
        async for piece in request.pieces(most=largest, within=within, slowest=_SLOWEST_BYTES_PER_SECOND):
            form.feed(piece)
            if form.waiting >= _WRITE_BYTES:
                await asyncio.to_thread(form.write)
        form.finish()
        await asyncio.to_thread(form.write)
    except BaseException as error:
        for file in form.files:
            with contextlib.suppress(OSError):  # what is left of it finds no room either
                file.content.close()
        if isinstance(error, VestibuleError) and not isinstance(error, BodyTooSlow):
            await request.discard(most=2 * largest, within=within)
        raise
    for file in form.files:
        file.content.seek(0)
    return [Upload(file.name, file.size, file.content) for file in form.files]


def _boundary(request: Request, field: str) -> bytes:
    types = request.headers(b"content-type")
    kind, options = parse_options_header(types[0]) if len(types) == 1 else (b"", {})
    if kind != b"multipart/form-data" or request.is_compressed:
        raise UnsupportedMedia(
            f"Send multipart/form-data with one field named {field}, not compressed.", step="content_type"
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise MalformedBody("The Content-Type needs a boundary of 1 to 70 characters.", step="boundary")
    return boundary


class _File:
    """A file as far as it has arrived; `data` is what is not written yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.data: list[bytes] = []
        self.content: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - handed on


class _Form:
    """The form as far as it has arrived."""

    def __init__(self, field: str, boundary: bytes, most: int, most_files: int) -> None:
        self.files: list[_File] = []
        self.waiting = 0
        self._field = field
        self._most = most
        self._most_files = most_files
        self._parts = 0
        self._ended = False
        self._header = [bytearray(), bytearray()]
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
            max_header_count=_MOST_HEADERS,
            max_header_size=_MOST_HEADER_BYTES,
        )

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise MalformedBody("The body is not valid multipart/form-data.", step="multipart") from None

    def write(self) -> None:
        """Takes what has arrived out of memory. Raises StorageUnavailable where the disk has no room for it, or no
        more files may be open."""
        self.waiting = 0
        try:
            for file in self.files:
                data, file.data = b"".join(file.data), []
                file.content.write(data)
                file.content.flush()  # so that nothing is left to write when its reader goes to its start
        except OSError as error:
            raise unavailable(error, "upload") from error

    def finish(self) -> None:
        """To be called once the whole body has arrived."""
        if not self._ended:
            raise MalformedBody("The body ends before its last boundary.", step="multipart")
        if not self.files:
            raise InvalidField(self._field, "is required")

    def _on_part(self) -> None:
        self._parts += 1
        self._disposition = b""  # each part has its own (RFC 7578 section 4.2)
        if self._parts > self._most_files:
            raise self._only()

    def _on_header(self) -> None:
        name, value = bytes(self._header[0]), bytes(self._header[1])
        self._header = [bytearray(), bytearray()]
        if name.strip().lower() == b"content-disposition":
            self._disposition = value

    def _on_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or options.get(b"name") != self._field.encode():
            raise self._only()
        # RFC 7578 section 4.2: as it is in UTF-8, whatever its percent signs look like.
        filename = options.get(b"filename")
        if not filename:
            raise InvalidField(self._field, "must be a file with a name")
        self.files.append(_File(filename.decode(errors="replace")))

    def _only(self) -> InvalidField:
        times = "once" if self._most_files == 1 else f"at most {self._most_files} times"
        return InvalidField(self._field, f"must be the form's only field, and be given {times}")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        file = self.files[-1]
        file.size += end - start
        if file.size > self._most:
            raise BodyTooLarge(f"The file is larger than {self._most} bytes.", step="file")
        self.waiting += end - start
        file.data.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True
