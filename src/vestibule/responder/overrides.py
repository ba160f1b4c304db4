"""Merges the values of an action call by precedence, as a pure function; it must not build the request.

    model-extracted  <  workspace variables  <  contact (`http_action_overrides`)  <  message (the page)

The order is the seed's. What it leaves open is who may take part: a name that is locked for the message level or for
the model is ignored from there, and a weaker level's value stands. Nothing is dropped silently: every value knows its
source, and every value left out is listed with the reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from vestibule.errors import InvalidField
from vestibule.identity import profile_rules
from vestibule.model.action import (
    ActionDeclaration,
    ActionPolicy,
    Location,
    MessageOverrides,
    Source,
)
from vestibule.model.claims import HttpOverrides
from vestibule.responder.url_template import parse_template

LARGEST_BODY_OVERRIDES = 65_536
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
# They describe the request that we write, so they are ours to say. Pages copy them from their own fetch() calls, which
# is no reason to fail.
_DESCRIBING = frozenset({"user-agent", "content-type", "content-encoding", "accept-encoding"})
# What servers let stand for another method, path, host or client: with them a value would leave the declared operation.
# fmt: off
_REDIRECTING = frozenset({
    "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
    "x-original-host", "x-host", "forwarded", "x-real-ip",
})
# fmt: on
_RESERVED_HEADERS = _DESCRIBING | _REDIRECTING
# Likewise as a parameter: `_method`, in Laravel and Symfony.
_RESERVED_PARAMETERS = frozenset({"-method"})


class Value(msgspec.Struct, frozen=True):
    """One value, and who gave it."""

    location: Location
    name: str
    value: Any
    source: Source

    def __repr__(self) -> str:
        return f"Value({self.location}.{self.name} from {self.source})"


class Ignored(msgspec.Struct, frozen=True):
    """That a value was not used: `locked`, `reserved`, `not_in_url` or `no_body`. Never the value itself."""

    location: Location
    name: str
    source: Source
    reason: str


class Layers(msgspec.Struct, frozen=True):
    """All that was given for one call."""

    extracted: tuple[Value, ...] = ()
    variables: HttpOverrides | None = None
    contact: HttpOverrides | None = None
    message: MessageOverrides | None = None


class Effective(msgspec.Struct, frozen=True):
    """What is sent, one value a place, and what is not."""

    values: tuple[Value, ...]
    ignored: tuple[Ignored, ...] = ()


def merge(action: ActionDeclaration, layers: Layers, policy: ActionPolicy) -> Effective:
    """The effective values of a call of `action`."""
    in_url = parse_template(action.url_template).names
    locked = {source: _locked(action, policy, source) for source in Source}
    chosen: dict[tuple[Location, str], Value] = {}
    ignored: list[Ignored] = []
    for value in given(layers):
        reason = None
        if fold(value.name) in locked[value.source]:
            reason = "locked"
        elif is_reserved(value.location, value.name):
            reason = "reserved"
        elif value.location is Location.PATH and value.name not in in_url:
            reason = "not_in_url"
        elif value.location is Location.BODY and action.method not in METHODS_WITH_BODY:
            reason = "no_body"
        if reason is not None:
            ignored.append(Ignored(value.location, value.name, value.source, reason))
        else:
            chosen[value.location, place(value.location, value.name)] = value
    return Effective(tuple(chosen.values()), tuple(ignored))


def given(layers: Layers) -> Iterator[Value]:
    """Every value of the layers, weakest first. Null says nothing, except in a body's properties, where it is JSON."""
    yield from layers.extracted
    for source, overrides in ((Source.WORKSPACE, layers.variables), (Source.CONTACT, layers.contact)):
        if overrides is not None:
            yield from _texts(Location.PATH, overrides.path_params, source)
            yield from _texts(Location.QUERY, overrides.query_params, source)
            yield from _texts(Location.HEADER, overrides.headers, source)
            yield from _texts(Location.BODY, overrides.body_params, source)
    if layers.message is not None:
        yield from _texts(Location.QUERY, layers.message.query_params, Source.MESSAGE)
        yield from _texts(Location.HEADER, layers.message.headers, Source.MESSAGE)
        for name, value in layers.message.body_properties.items():
            yield Value(Location.BODY, name, value, Source.MESSAGE)


def is_reserved(location: Location, name: str) -> bool:
    """Whether nobody may set the name, because it says what the request is."""
    return fold(name) in (_RESERVED_HEADERS if location is Location.HEADER else _RESERVED_PARAMETERS)


def is_locked(action: ActionDeclaration, policy: ActionPolicy, source: Source, name: str) -> bool:
    """Whether `source` may not set `name` in calls of `action`."""
    return fold(name) in _locked(action, policy, source)


def recommended_locks(contact: HttpOverrides, policy: ActionPolicy) -> list[str]:
    """Names that are set for a contact and that its browser may still replace: what `doctor` warns about."""
    locked = {fold(name) for name in policy.locked.message}
    # The page has no way to set a path value.
    names = {value.name for value in given(Layers(contact=contact)) if value.location is not Location.PATH}
    return sorted(name for name in names if fold(name) not in locked)


def fold(name: str) -> str:
    """One spelling for all that a server may take for the same name.

    CGI and WSGI read `X_Account-Id` as `X-Account-Id` (CVE-2015-0219), PHP reads `account.id` as `account_id` and takes
    `account_id[]` for it, C reads up to NUL, others ignore case: a lock that compared letters would be walked around.
    """
    text = re.split(r"[\[\0]", unicodedata.normalize("NFKC", name).casefold(), maxsplit=1)[0].strip()
    visible = (character for character in text if unicodedata.category(character) not in {"Cc", "Cf"})
    return "".join(character if character.isalnum() else "-" for character in visible)


def place(location: Location, name: str) -> str:
    """What two values must share for one to replace the other. Header names are one whatever their case (RFC 9110)."""
    return fold(name) if location is Location.HEADER else name


def check_message_overrides(overrides: MessageOverrides) -> MessageOverrides:
    """The overrides of a message, fit to stand in a request. Raises InvalidField in the wire's names."""
    flat = HttpOverrides(query_params=overrides.query_params, headers=overrides.headers)
    try:
        profile_rules.http_overrides("", flat)
    except InvalidField as error:
        field, problem = error.field, error.message.removeprefix(f"{error.field}: ")
        raise InvalidField(field.removeprefix("."), problem) from None
    properties = overrides.body_properties
    if len(properties) > profile_rules.MOST_OVERRIDES:
        raise InvalidField("body_properties", f"must have at most {profile_rules.MOST_OVERRIDES} members")
    for name in properties:
        if len(name) > profile_rules.LONGEST_MEMBER_NAME or "\0" in name:
            raise InvalidField("body_properties", "must have short member names without NUL characters")
    try:
        size = len(msgspec.json.encode(properties))
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidField("body_properties", "must be JSON") from None
    if size > LARGEST_BODY_OVERRIDES:
        raise InvalidField("body_properties", f"must be at most {LARGEST_BODY_OVERRIDES} bytes")
    return overrides


def _texts(location: Location, members: Mapping[str, str | None] | None, source: Source) -> Iterable[Value]:
    # The maps may come from a wire that allows null where the type says text.
    return [Value(location, name, text, source) for name, text in (members or {}).items() if text is not None]


def _locked(action: ActionDeclaration, policy: ActionPolicy, source: Source) -> frozenset[str]:
    if source is Source.MESSAGE:
        return frozenset(map(fold, policy.locked.message + action.locked.message))
    if source is Source.MODEL:
        return frozenset(map(fold, policy.locked.model + action.locked.model))
    return frozenset()
