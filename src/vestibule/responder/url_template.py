"""Reads the URL template of an action and fills it in, so that no value leads out of it; it must not send anything.

A path value is one segment, or part of one, whatever it contains (RFC 3986 section 3.3). Encoding alone does not hold
that: many servers decode `%2F` before they look at the path and then follow its dots, so values whose meaning hangs on
who decodes them, and how often, are refused.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

import msgspec

from vestibule.errors import InvalidField

LONGEST_TEMPLATE = 2048
_FORM = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]{1,64})\}")
# RFC 3986 section 3.3: what a path may hold literally, and percent-encoded.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Behind a proxy that decodes, and an application that does it again, three times is more than is ever seen.
_DECODINGS = 3


class Template(msgspec.Struct, frozen=True):
    """A template in parts. `origin` is scheme, host and port as RFC 6454 writes them; `path` still has placeholders."""

    origin: str
    path: str
    names: frozenset[str]


@functools.lru_cache(maxsize=1024)
def parse_template(text: str) -> Template:
    """The parts of an absolute http or https URL without user, query and fragment. Raises InvalidField."""
    form = _FORM.fullmatch(text) if len(text) <= LONGEST_TEMPLATE else None
    if form is None:
        raise InvalidField("url_template", "must be an absolute https URL of a host and a path, without query")
    scheme, path = form["scheme"].lower(), form["path"] or "/"
    authority = _AUTHORITY.fullmatch(form["authority"].lower())
    if authority is None or ".." in authority["host"]:
        raise InvalidField("url_template", "must have a plain host name (no user, no placeholder; IDNA as xn--)")
    port = int(authority["port"]) if authority["port"] else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65_536:
        raise InvalidField("url_template", "must have a port from 1 to 65535")
    names = _PLACEHOLDER.findall(path)
    if len(set(names)) != len(names):
        raise InvalidField("url_template", "must name each path parameter once")
    if _LITERAL.fullmatch(_PLACEHOLDER.sub("", path)) is None:
        raise InvalidField("url_template", "must have a path of URL characters and {name} placeholders")
    if any(_climbs(segment) for segment in path.split("/")):
        raise InvalidField("url_template", "must not have . or .. as a path segment")
    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return Template(f"{scheme}://{authority['host']}{suffix}", path, frozenset(names))


def fill(template: Template, values: Mapping[str, str]) -> str:
    """The URL with `values` in place. Raises InvalidField, with the path of the value at fault."""
    for name in template.names:
        _require_one_segment(name, values.get(name, ""))
    path = _PLACEHOLDER.sub(lambda match: quote(values[match[1]], safe=""), template.path)
    url = template.origin + path
    # Everything above should make this true. It is asked of the result all the same, by a parser that did not build it.
    if not _stays_within(template, url):
        raise InvalidField("path", "must not lead out of the action's URL")
    return url


def _require_one_segment(name: str, value: str) -> None:
    field = f"path.{name}"
    if not value.strip():
        # `/orders/{id}` without an id is another operation: the list of all orders.
        raise InvalidField(field, "must not be empty")
    form = value
    for _ in range(_DECODINGS + 1):
        plain = unicodedata.normalize("NFKC", form)
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in plain):
            raise InvalidField(field, "must not contain control characters")
        # `;` ends a segment's name for servers that know path parameters, so `..;` climbs there.
        if any(_climbs(part) for part in re.split(r"[/\\;]", plain)):
            raise InvalidField(field, "must not contain . or .. as a path segment")
        form = unquote(form)


def _stays_within(template: Template, url: str) -> bool:
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return False
    parts = urlsplit(url)
    expected, found = template.path.split("/"), parts.path.split("/")
    return (
        f"{parts.scheme}://{parts.netloc}" == template.origin
        and not parts.query
        and not parts.fragment
        and len(expected) == len(found)
        and all(_fits(pattern, segment) for pattern, segment in zip(expected, found, strict=True))
    )


def _fits(pattern: str, segment: str) -> bool:
    literals = _PLACEHOLDER.split(pattern)[::2]
    if len(literals) == 1:
        return segment == pattern
    first, last = literals[0], literals[-1]
    longer = len(segment) > len(first) + len(last)
    return longer and segment.startswith(first) and segment.endswith(last) and not _climbs(segment)


def _climbs(segment: str) -> bool:
    return unquote(segment).strip() in {".", ".."}
