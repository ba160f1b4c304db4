"""`conversations.file_types`: what a file is, told from its content; and the name it is given."""

from __future__ import annotations

import io

import pytest

from tests.fixtures import sample_files as samples
from vestibule.conversations.file_types import EXTENSIONS, LONGEST_NAME, is_inline, media_type_of, safe_name


def type_of(content: bytes, name: str = "photo.png") -> str | None:
    return media_type_of(io.BytesIO(content), len(content), name)


@pytest.mark.parametrize("kind", samples.ACCEPTED)
def test_tells_what_is_accepted(kind: str) -> None:
    content, name, media_type = samples.ACCEPTED[kind]
    assert type_of(content, name) == media_type


@pytest.mark.parametrize("kind", samples.REFUSED)
@pytest.mark.parametrize("name", ["photo.png", "table.csv", "page.html", "note.txt"])
def test_refuses_everything_else_whatever_it_is_called(kind: str, name: str) -> None:
    assert type_of(samples.REFUSED[kind], name) is None


@pytest.mark.parametrize("kind", samples.AS_A_TABLE_ONLY)
def test_takes_tables_as_spreadsheets_write_them(kind: str) -> None:
    content = samples.AS_A_TABLE_ONLY[kind]
    assert type_of(content, "Table.CSV") == "text/csv"
    assert [type_of(content, name) for name in ("note.txt", "photo.png", "table.csv.txt")] == [None] * 3


@pytest.mark.parametrize("name", ["note.html", "photo.png", "run.bat", "", "x.csv.exe"])
def test_believes_no_name_but_csv(name: str) -> None:
    assert type_of(b"a;b\n", name) == "text/plain"
    assert type_of(b"a;b\n", "T.CSV") == "text/csv"
    assert type_of(samples.png(), name) == "image/png"


@pytest.mark.parametrize("cut", [*range(64), 511, 512, 513, 1023])
def test_survives_files_that_are_cut_short(cut: int) -> None:
    for content, name, _ in samples.ACCEPTED.values():
        type_of(content[:cut], name)
    for content in samples.REFUSED.values():
        type_of(content[:cut])


def test_reads_text_to_its_end() -> None:
    """A character may lie across two of the pieces it is read in."""
    assert type_of("ä".encode() * 300_000, "a.txt") == "text/plain"
    assert type_of(b"a" + "ä".encode() * 300_000, "a.txt") == "text/plain"
    assert type_of("ä".encode() * 300_000 + b"\0", "a.txt") is None
    assert type_of("ä".encode() * 300_000 + b"\xc3", "a.txt") is None


def test_shows_pictures_sound_and_video_only_in_place() -> None:
    assert {kind for kind in EXTENSIONS if is_inline(kind)} == {
        kind for kind in EXTENSIONS if kind.split("/")[0] in {"image", "audio", "video"}
    }
    assert not any(is_inline(kind) for kind in ("text/html", "image", "application/pdf", "text/plain"))


@pytest.mark.parametrize(
    ("given", "media_type", "name"),
    [
        ("photo.png", "image/png", "photo.png"),
        ("Photo.PNG", "image/png", "Photo.PNG"),
        ("photo", "image/png", "photo.png"),
        ("photo.jpeg", "image/jpeg", "photo.jpeg"),
        ("photo.jpeg", "image/png", "photo.jpeg.png"),
        ("page.html", "text/plain", "page.html.txt"),
        ("run.bat", "text/plain", "run.bat.txt"),
        ("run.hta", "image/gif", "run.hta.gif"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        ("..", "text/plain", "file.txt"),
        ("/", "text/plain", "file.txt"),
        ("C:\\Users\\ada\\photo.png", "image/png", "photo.png"),
        ("\\\\host\\share\\photo.png", "image/png", "photo.png"),
        (".png", "image/png", "file.png"),
        (".htaccess", "text/plain", "htaccess.txt"),
        ("photo.png. . .", "image/png", "photo.png"),
        ("photo .png", "image/png", "photo.png"),
        ("a\r\nSet-Cookie: x=1.png", "image/png", "aSet-Cookie: x=1.png"),
        ("a\0b.png", "image/png", "ab.png"),
        ("annual\u202egnp.exe", "image/png", "annualgnp.exe.png"),
        ("zero\u200bwidth\ufeff.png", "image/png", "zerowidth.png"),
        ("no\u00a0break\u2009space.png", "image/png", "no break space.png"),
        ("line\u2028end.png", "image/png", "lineend.png"),
        ("Straße 東京 👋.png", "image/png", "Straße 東京 👋.png"),
        ("A\u030angstrom.png", "image/png", "\u00c5ngstrom.png"),
        ('quo"te.png', "image/png", 'quo"te.png'),
        ("\ufffd\ufffd.png", "image/png", "\ufffd\ufffd.png"),
        ("", "application/pdf", "file.pdf"),
    ],
)
def test_gives_a_name_that_says_what_it_is(given: str, media_type: str, name: str) -> None:
    assert safe_name(given, media_type) == name


@pytest.mark.parametrize("media_type", EXTENSIONS)
def test_keeps_names_short_and_their_extension_whole(media_type: str) -> None:
    for given in ("x" * 1000, "x" * 1000 + EXTENSIONS[media_type][-1], "👋" * 1000, "." * 1000, " " * 1000):
        name = safe_name(given, media_type)
        assert len(name) <= LONGEST_NAME
        assert name.endswith(EXTENSIONS[media_type])
        assert safe_name(name, media_type) == name
