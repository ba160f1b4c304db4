"""`conversations.neutralise` leaves nothing that runs in a reader of Markdown and raw HTML, and nothing out."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.hostile_markdown import HOSTILE, dangers_of, rendered, tags_of, text_of
from vestibule.conversations.neutralise import neutralise

GAP = "\u200b"
# Pieces that make tags, references, links and code, and what stands between them.
PIECES = [
    *(
        "<",
        ">",
        "&",
        ";",
        "#",
        "/",
        "!",
        "?",
        "\\",
        "`",
        "```",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "    ",
        "\t",
        "\r",
        "'",
        '"',
        "=",
    ),
    *(
        "[",
        "]",
        "(",
        ")",
        "](",
        "]: ",
        "*",
        "_",
        "-",
        "1. ",
        ":",
        ",",
        "\x01",
        "&#106;",
        "&lt",
        "&lt;",
        "&amp;",
        "&Tab;",
    ),
    *(
        "javascript:",
        "JavaScript",
        "java",
        "script:",
        "vbscript:",
        "data:",
        "data",
        "text/html,",
        "img",
        "script",
        "svg",
    ),
    *("onerror=", "src=x", "href=", "x", "http://x.example/?a=1&b=2", "<!--", "-->", "<![CDATA[", "<?", "</"),
]
hostile_mixtures = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def written(text: str) -> str:
    """The text that was neutralised."""
    meaning = {"&lt;": "<", "&amp;": "&", f"<{GAP}": "<", f"&{GAP}": "&", GAP: ""}
    return re.sub("|".join(map(re.escape, meaning)), lambda found: meaning[found[0]], text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_of_a_known_attack_is_left(text: str) -> None:
    assert list(dangers_of(neutralise(text))) == []


def test_the_attacks_are_attacks() -> None:
    """Of this list, that is: the readers above would run most of it. Some are attacks on the neutralising itself."""
    harmless = [name for name, text in HOSTILE.items() if not list(dangers_of(text))]
    assert len(harmless) < len(HOSTILE) / 10, harmless


@settings(max_examples=400, deadline=None)
@given(hostile_mixtures)
def test_nothing_of_any_mixture_is_left(text: str) -> None:
    assert list(dangers_of(neutralise(text))) == []


@settings(max_examples=400)
@given(hostile_mixtures | st.text())
def test_nothing_is_lost(text: str) -> None:
    text = text.replace(GAP, "")
    assert written(neutralise(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello, *Ada*.\n\n- one\n- **two**\n\n> quoted > 3",
        "[the terms](https://shop.example/terms?a=1&b=2#end) and https://shop.example/?a=1&utm_source=chat",
        "![a picture](https://shop.example/a.png)",
        "metadata: x, and the data: 12\ndata:\n  key: value",
        "`if (a < b && c <= d) x << 2`",
        "```yaml\ndata:\n  size: <3\n```",
        "JavaScript is a language",
        "日本語 🎉 \u202eabc",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert neutralise(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & c", "a < b & c"),
        ("AT&T &amp; &lt;b&gt;", "AT&T &amp; &lt;b&gt;"),
        ("Press <b>Save</b>", "Press <b>Save</b>"),
        ("I <3 you", "I <3 you"),
        ("`a < b`", "a < b"),
        ("`List<String>`", f"List<{GAP}String>"),
        ("``a ` <b>``", f"a ` <{GAP}b>"),
        ("```\n<p>&nbsp;</p>\n```", f"<{GAP}p>&{GAP}nbsp;<{GAP}/p>"),
        ("~~~html\n<p>\n~~~\n<p>", f"<{GAP}p>\n\n<p>"),
        ("    a<b", "a&lt;b"),
    ],
)
def test_a_reader_sees_what_was_written(text: str, shown: str) -> None:
    """In prose to the letter, in fences and spans with a gap that has no width. Code that is only indented shows the
    reference."""
    assert text_of(rendered(neutralise(text))).strip("\n") == shown


def test_an_address_keeps_its_query() -> None:
    [(_, paragraph), (_, link)] = tags_of(rendered(neutralise("[x](https://shop.example/?a=1&b=2&lt=3)")))
    assert paragraph == {}
    assert link["href"] == "https://shop.example/?a=1&b=2&lt=3"


@pytest.mark.parametrize(
    "text",
    [
        "".join("`" * count + " " for count in range(1, 256)),
        "<" * 32_768,
        "&" * 32_768,
        "` " * 16_384,
        "```\n" * 8_192,
        "(" + " " * 32_768,
        "(\\" * 16_384,
        "data " * 6_500,
        "javascript" + " \\" * 16_000,
        "j\t" * 16_384,
        "&" + "a" * 32_768,
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_takes_no_longer_for_a_text_that_is_made_to_take_long(text: str) -> None:
    began = time.perf_counter()
    neutralise(text)
    assert time.perf_counter() - began < 0.5
