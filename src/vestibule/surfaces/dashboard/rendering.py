"""Makes pages of templates, every value escaped, under a policy that lets nothing foreign in; it must not fetch
anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from vestibule.administration import fixes
from vestibule.edge.http import Header, Reply
from vestibule.edge.problem import headers_of, status_of
from vestibule.errors import NotAuthenticated, NotSignedIn, VestibuleError
from vestibule.surfaces.dashboard import words

FOLDER = Path(__file__).parent
POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE: tuple[Header, ...] = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms, and nobody could tell whose they are.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex"),
)
_PAGE: tuple[Header, ...] = ((b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store"), *SAFE)


def _moment(milliseconds: int) -> Markup:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at.day} {at:%b %Y, %H:%M} UTC"
    )


def _fix(code: str, check: str = "") -> Markup:
    """What helps, with what is between backticks as code."""
    pieces = [escape(piece) for piece in fixes.fix_of(code, check).split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else piece for index, piece in enumerate(pieces)
    )


# Made at import, as it holds nothing of a process: compiled templates, and no value.
_PAGES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters |= {"moment": _moment, "plain": words.plain, "fix": _fix, "initials": words.initials}


def _together(values: Iterable[Any], name: str) -> list[tuple[Any, list[Any]]]:
    """Like Jinja's groupby, which would sort them."""
    found: dict[Any, list[Any]] = {}
    for value in values:
        found.setdefault(getattr(value, name), []).append(value)
    return list(found.items())


def _any_wrong(fields: Iterable[Any], problems: Mapping[str, str]) -> bool:
    return any(field.name in problems for field in fields)


_PAGES.filters |= {"groupby_kept": _together, "any_wrong": _any_wrong}


def page(template: str, values: dict[str, Any], status: int = 200, *extra: Header) -> Reply:
    return Reply(status, _PAGES.get_template(template).render(values).encode("utf-8", "replace"), (*_PAGE, *extra))


def go_to(path: str, *extra: Header) -> Reply:
    """To another page of ours, with GET, whatever this was (RFC 9110 section 15.4.4)."""
    location = quote(path, safe="/?=&#").encode()
    return Reply(303, b"", ((b"location", location), (b"cache-control", b"no-store"), *SAFE, *extra))


def refusal(error: VestibuleError) -> Reply:
    """The dialect: a page that says what is the matter, or the way to the sign-in."""
    if isinstance(error, NotSignedIn):
        return go_to("/dashboard/sign-in")
    status = status_of(error)
    # A challenge for a bearer would be a lie here.
    headers = () if isinstance(error, NotAuthenticated) else headers_of(error)
    values = {"title": status.phrase, "message": error.message, "code": error.code}
    return page("refused.html", values, status.value, *headers)
