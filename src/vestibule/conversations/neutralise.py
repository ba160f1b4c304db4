"""Makes text harmless for a reader that renders Markdown with raw HTML, unsanitised, inside the host page's own origin
(contracts/opencx.md section 0.10); it must not be used on what is stored, only on what goes out to such a reader."""

from __future__ import annotations

import re

# Any `<` that could open a tag, a comment or an autolink, and any `&` that could be read as a character reference: a
# renderer decodes references in link targets, so `&#106;avascript:` would be one. Both come out as they were written.
_MARKUP = str.maketrans({"<": "&lt;", "&": "&amp;"})
# A scheme that runs, in whatever letter case, with the escapes and blanks that Markdown removes before it makes a link.
_RUNNING_SCHEME = re.compile(r"(javascript|vbscript|data)([\s\\\x00-\x20]*):", re.IGNORECASE)


def neutralise(text: str) -> str:
    """The same text to look at, with nothing in it that a browser would run: tags are shown, and a link to a script
    leads nowhere. A zero-width space ends the scheme, as no URL has one there."""
    return _RUNNING_SCHEME.sub(lambda match: f"{match[1]}\u200b{match[2]}:", text.translate(_MARKUP))
