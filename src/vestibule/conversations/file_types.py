"""Tells what a file is from its content, and gives it a name that says so; it must not believe a name or a header.

What is accepted is a list, not what is left over. SVG and HTML are on no list: both run scripts, and a text that begins
like markup is refused as such, whatever it is called.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
import zipfile
import zlib
from typing import IO

LONGEST_NAME = 200
_HEAD_BYTES = 4096
_PIECE_BYTES = 262_144
# What shows in a browser by itself; everything else is only ever downloaded.
_INLINE = ("image/", "audio/", "video/")

# The extensions that go with each type; the first is given to a file whose name has none of them.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jfif"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": (".xlsx",),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (".docx",),
    "application/vnd.ms-excel": (".xls",),
    "text/csv": (".csv",),
    "text/plain": (".txt", ".log", ".md"),
    "video/mp4": (".mp4", ".m4v"),
    "audio/mp4": (".m4a", ".mp4"),
    "video/webm": (".webm",),
    "audio/mpeg": (".mp3",),
    "audio/wav": (".wav",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "video/ogg": (".ogv", ".ogg"),
}

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MP4_BRANDS = frozenset({b"isom", b"mp41", b"mp42", b"avc1", b"dash", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"mmp4"})
_MP4_VERSIONED = re.compile(rb"iso[2-9]")
_OGG_VIDEO = (b"\x80theora", b"\x01video")
_OGG_AUDIO = (b"OpusHead", b"\x01vorbis", b"Speex   ", b"\x7fFLAC")
# MPEG 1 layer III, kbit/s by index (ISO/IEC 11172-3 table B.8), and MPEG 2's.
_MP3_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_MP3_SAMPLES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}

_OFFICE = {
    "xl/workbook.xml": (
        b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "word/document.xml": (
        b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
}
_MOST_ZIP_DIRECTORY = 524_288  # bytes, some ten thousand entries
_ZIP_TAIL = 65_557  # the end record with its longest comment
_CONTENT_TYPES_BYTES = 262_144
# ISO/IEC 29500-2 knows no others. LZMA's sender would choose how much memory it is read with, up to 4 GiB.
_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

_NUL = re.compile(r"\0")
_CONTROL = re.compile(r"[\0-\x08\x0e-\x1f\x7f]")

_CFB_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
_CFB_WORKBOOK = frozenset({"Workbook", "Book"})
_MOST_CFB_SECTORS = 64


def media_type_of(content: IO[bytes], size: int, name: str) -> str | None:
    """The media type of a file of `size` bytes, or None where it is none that is accepted. `name` only tells a table of
    comma-separated values from other text. Reads the file; may take a moment."""
    content.seek(0)
    head = content.read(_HEAD_BYTES)
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    return (
        found
        or _riff(head)
        or _mp4(head)
        or _webm(head)
        or _ogg(head)
        or _mp3(head)
        or _office(content, size, head)
        or _excel(content, size, head)
        or _text(content, name, head)
    )


def is_inline(media_type: str) -> bool:
    """Whether a browser may show it in place."""
    return media_type.startswith(_INLINE)


def safe_name(name: str, media_type: str) -> str:
    """A name to save the file under: no path, nothing invisible, and an extension that fits the content. So a batch
    file or a web page that is valid text does not become one again on the disk of whoever downloads it."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    plain = "".join(shown for character in last if (shown := _shown(character)))
    # Windows drops dots and spaces at the end, and reads the rest as the extension.
    stem = plain.rstrip(" .")
    fitting = EXTENSIONS[media_type]
    extension = next((known for known in fitting if stem.lower().endswith(known)), "")
    if extension:
        stem, extension = stem[: -len(extension)], stem[-len(extension) :]
    else:
        extension = fitting[0]
    return (stem.strip(" .")[: LONGEST_NAME - len(extension)] or "file") + extension


def _shown(character: str) -> str:
    """Nothing for control and format characters, among them those that turn the direction of writing (`exe.fdp`), and
    for line ends; a plain space for every kind of space."""
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    return "" if category[0] in "CZ" else character


def _riff(head: bytes) -> str | None:
    return _RIFF.get(head[8:12]) if head.startswith(b"RIFF") else None


def _mp4(head: bytes) -> str | None:
    """ISO/IEC 14496-12 section 4.3. Pictures (HEIC, AVIF) come in the same box, and are of other brands."""
    if head[4:8] != b"ftyp":
        return None
    brand = head[8:12]
    if brand in {b"M4A ", b"M4B "}:
        return "audio/mp4"
    return "video/mp4" if brand in _MP4_BRANDS or _MP4_VERSIONED.fullmatch(brand) else None


def _webm(head: bytes) -> str | None:
    """EBML (RFC 8794) whose document type is webm; Matroska at large is not played by browsers."""
    return "video/webm" if head.startswith(b"\x1a\x45\xdf\xa3") and b"\x42\x82\x84webm" in head[:64] else None


def _ogg(head: bytes) -> str | None:
    """RFC 3533; the codec stands in the first page of each stream."""
    if not head.startswith(b"OggS"):
        return None
    if any(mark in head for mark in _OGG_VIDEO):
        return "video/ogg"
    return "audio/ogg" if any(mark in head for mark in _OGG_AUDIO) else None


def _mp3(head: bytes) -> str | None:
    """Two frames of layer III where the first says the second begins: two bytes of magic alone are too little."""
    first = _mp3_frame(head, 0)
    return "audio/mpeg" if first and _mp3_frame(head, first) else None


def _mp3_frame(head: bytes, at: int) -> int:
    """The length of the frame at `at`, 0 where there is none."""
    frame = head[at : at + 4]
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return 0
    version, rate, sample, padding = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3, frame[2] >> 1 & 1
    if version == 1 or rate in {0, 15} or sample == 3:
        return 0
    kilobits = _MP3_RATES[0 if version == 3 else 1][rate]
    return (144 if version == 3 else 72) * kilobits * 1000 // _MP3_SAMPLES[version][sample] + padding


def _office(content: IO[bytes], size: int, head: bytes) -> str | None:
    """A ZIP archive counts only as a document of Office Open XML (ISO/IEC 29500-2), and one with macros does not."""
    if not head.startswith(b"PK\x03\x04") or not _is_small_zip(content, size):
        return None
    try:
        with zipfile.ZipFile(content) as archive:
            names = set(archive.namelist())
            found = archive.getinfo("[Content_Types].xml")
            if found.compress_type not in _ZIP_METHODS:
                return None
            with archive.open(found) as part:
                types = part.read(_CONTENT_TYPES_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, OSError):
        return None
    if b"macroEnabled" in types or any(name.endswith("vbaProject.bin") for name in names):
        return None
    return next((kind for main, (mark, kind) in _OFFICE.items() if main in names and mark in types), None)


def _is_small_zip(content: IO[bytes], size: int) -> bool:
    """Looks at the size of the directory before a reader makes an object of each entry. Finds the end record as that
    reader does, or the two could be shown different ones."""
    content.seek(max(0, size - _ZIP_TAIL))
    tail = content.read(_ZIP_TAIL)
    at = len(tail) - 22
    if not (tail[at:].startswith(b"PK\x05\x06") and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # none, or the 64-bit form
        return False
    return int.from_bytes(tail[at + 12 : at + 16], "little") <= _MOST_ZIP_DIRECTORY


def _excel(content: IO[bytes], size: int, head: bytes) -> str | None:
    """A compound file ([MS-CFB]) with a workbook in its root: an old Word document or an installer is one, too."""
    if not head.startswith(_CFB_MAGIC) or len(head) < 512:
        return None
    shift = int.from_bytes(head[30:32], "little")
    if shift not in {9, 12}:
        return None
    sector = int.from_bytes(head[48:52], "little")
    for _ in range(_MOST_CFB_SECTORS):
        start = (sector + 1) << shift
        if start >= size:
            return None
        content.seek(start)
        entries = content.read(1 << shift)
        if not _CFB_WORKBOOK.isdisjoint(_cfb_names(entries)):
            return "application/vnd.ms-excel"
        sector = _cfb_next(content, size, head, sector, shift)
    return None


def _cfb_names(entries: bytes) -> set[str]:
    names = set()
    for at in range(0, len(entries) - 127, 128):
        length = int.from_bytes(entries[at + 64 : at + 66], "little")
        if 2 <= length <= 64:
            names.add(entries[at : at + length - 2].decode("utf-16-le", errors="replace"))
    return names


def _cfb_next(content: IO[bytes], size: int, head: bytes, sector: int, shift: int) -> int:
    """The sector after `sector` in its chain; one behind the file's end where there is none."""
    per_sector = (1 << shift) // 4
    index = sector // per_sector
    if index >= 109:  # the header lists so many allocation sectors, enough for 6 MiB and more
        return size
    allocation = int.from_bytes(head[76 + 4 * index : 80 + 4 * index], "little")
    start = ((allocation + 1) << shift) + 4 * (sector % per_sector)
    if start + 4 > size:
        return size
    content.seek(start)
    return int.from_bytes(content.read(4), "little")


def _text(content: IO[bytes], name: str, head: bytes) -> str | None:
    """UTF-8. Comma-separated values also as spreadsheets write them: UTF-16, or one byte for a character."""
    if not name.lower().endswith(".csv"):
        return "text/plain" if _reads_as(content, "utf-8-sig", _NUL) else None
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = _reads_as(content, "utf-16", _CONTROL)
    else:
        found = _reads_as(content, "utf-8-sig", _NUL)
        if not found and not head.startswith(codecs.BOM_UTF8):
            # Every file reads as Latin-1: that it has no control characters tells a table from what is none.
            found = _reads_as(content, "latin-1", _CONTROL)
    return "text/csv" if found else None


def _reads_as(content: IO[bytes], encoding: str, never: re.Pattern[str]) -> bool:
    """Whether it is text that does not begin as markup does."""
    decoder = codecs.getincrementaldecoder(encoding)()
    begun = False
    content.seek(0)
    try:
        while piece := content.read(_PIECE_BYTES):
            text = decoder.decode(piece)
            if never.search(text):
                return False
            if not begun and (beginning := text.lstrip()):
                begun = True
                if beginning.startswith("<"):
                    return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
