"""Makes one classic script of the widget's modules, the same bytes each time; it must not change what they do.

The modules are joined in one function scope, in the order below, so names are unique among them (a test holds that) and
an import is a line that falls away. Comments and blanks that mean nothing fall away, too; names stay, so that what runs
in a page can be read there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources

# What a module imports stands above it.
MODULES = (
    "languages",
    "texts",
    "dom",
    "icons",
    "options",
    "device",
    "markdown",
    "api",
    "identity",
    "outbox",
    "stream",
    "sending",
    "chat",
    "messages_view",
    "composer",
    "forms",
    "panel",
    "widget",
)
_IMPORT = re.compile(r"^import\s[^;]*?from\s\"\./\w+\.js\";$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=async function |function |class |const )", re.MULTILINE)
# Tokens as far as blanks go. A slash begins a regular expression where no value has ended before it.
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)
    |(?P<pattern>(?<=[(,=:\[!&|?{};\n>]\ )/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*
        |(?<=[(,=:\[!&|?{};\n])/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)
    |(?P<blank>\s+)
    |(?P<word>[\w$]+)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_STICKS_BEFORE = "{}([,;:=&|?<>!+*/%"  # after a brace: our statements end with a semicolon
_STICKS_AFTER = "})],;:.=&|?<>*%"


def source(name: str) -> str:
    """A file of `modules/`."""
    return (resources.files("vestibule.widget") / "modules" / name).read_text(encoding="utf-8")


def style_sheet() -> str:
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", source("widget.css"), flags=re.DOTALL))
    return re.sub(r";? ?(}) ?| ?([{;,>/!]) ?|(:) ", lambda match: match[1] or match[2] or match[3], text).strip()


def script() -> str:
    """The widget with its style sheet in it."""
    body = "".join(_EXPORT.sub("", _IMPORT.sub("", source(f"{name}.js"))) for name in MODULES)
    style = json.dumps(style_sheet(), ensure_ascii=False)
    return f'(()=>{{"use strict";const STYLE={style};\n{"".join(_lean(body))}}})();\n'


def _lean(text: str) -> Iterator[str]:
    """Without comments, without the last comma or semicolon before what closes, and of each run of blanks only what
    keeps two tokens or two statements apart."""
    last, blank, held = "\n", "", ""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "comment":
            continue
        if match.lastgroup == "blank":
            blank = "\n" if "\n" in match[0] + blank else " "
            continue
        first = match[0][0]
        if held and not (first == "}" or (held == "," and first in "])")):
            yield held
        if blank and _parts(last, blank, first):
            yield blank
        held = match[0] if match[0] in {",", ";"} else ""
        if not held:
            yield match[0]
        blank, last = "", match[0][-1]
    yield held


def _parts(before: str, blank: str, after: str) -> bool:
    """Whether the blank means something between these two characters."""
    if blank == "\n":  # it may end a statement
        return before not in _STICKS_BEFORE + "\n" and after not in _STICKS_AFTER
    words = re.compile(r"[\w$\"'`]")
    both_words = bool(words.match(before) and words.match(after)) or before + after in {"++", "--", "+-", "-+"}
    return both_words or after == "#" or before + after == "//"
