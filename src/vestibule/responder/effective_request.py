"""Builds the HTTP request of an action call from its effective values, as a pure function; it must not send it.

What the values may change is the parts the action declares: never the method, scheme, host, port or path above them,
never a header that frames the request, and never one that we answer for (context headers, assertion, User-Agent).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from vestibule.errors import InvalidField
from vestibule.model.action import ActionDeclaration, Location, OnBehalfOf, Source
from vestibule.outbound.address_guard import LONGEST_URL
from vestibule.responder.action_rules import check_header
from vestibule.responder.overrides import METHODS_WITH_BODY, Effective, Ignored, Value, fold, place
from vestibule.responder.url_template import fill, parse_template

USER_AGENT = "vestibule"
# Less than the door out lets through, so that a call which is too large is told before it is made (ASVS 4.2.5).
LARGEST_HEADERS = 15_360
LARGEST_BODY = 262_144
HIDDEN = "•••"
# What the encoder raises for lone surrogates, numbers beyond reason, endless nesting, and values that are not JSON.
_NOT_JSON = (ValueError, TypeError, OverflowError, RecursionError)
_VISIBLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Refusal(msgspec.Struct, frozen=True):
    """Why a call is not made. `code` is stable; `sentence` is for the model and the log, and holds no override."""

    code: str
    sentence: str


class EffectiveRequest(msgspec.Struct, frozen=True):
    """What will be sent. `values` tells where each part came from."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    timeout_ms: int
    url_template: str
    values: tuple[Value, ...]
    ignored: tuple[Ignored, ...]

    def __repr__(self) -> str:
        return f"EffectiveRequest({self.method} {self.url_template})"  # the rest may hold credentials


class ShownValue(msgspec.Struct, frozen=True):
    location: Location
    name: str
    value: Any
    source: Source


class RedactedRequest(msgspec.Struct, frozen=True):
    """An effective request as people may see it: the model's values and ours in clear, all others by source only."""

    method: str
    url: str
    values: tuple[ShownValue, ...]
    ignored: tuple[Ignored, ...]
    timeout_ms: int


def build(
    action: ActionDeclaration, effective: Effective, *, ours: Mapping[str, str] | None = None
) -> EffectiveRequest | Refusal:
    """The request, or why there is none. `ours` are headers of ours, set last."""
    at = {location: [value for value in effective.values if value.location is location] for location in Location}
    missing = _missing(action, effective)
    if missing is not None:
        return Refusal("missing_parameter", f"A value for {missing} is needed.")
    try:
        url = _url(action, at[Location.PATH], at[Location.QUERY])
        body = _body(action, at[Location.BODY])
    except InvalidField as error:
        return Refusal("unusable_value", f"A value cannot be sent: {error.message}.")
    own = _own_headers(ours or {}, with_body=body is not None)
    try:
        headers = _headers(at[Location.HEADER], own)
    except InvalidField as error:
        return Refusal("forbidden_header", f"A header cannot be sent: {error.message}.")
    size = sum(len(name) + len(text.encode()) + 4 for name, text in headers)
    if len(url) > LONGEST_URL or size > LARGEST_HEADERS or (body is not None and len(body) > LARGEST_BODY):
        return Refusal("request_too_large", "The values are too large to be sent.")
    sources = (*effective.values, *(Value(Location.HEADER, name, text, Source.OURS) for name, text in own.items()))
    return EffectiveRequest(
        action.method, url, headers, body, action.timeout_ms, action.url_template, sources, effective.ignored
    )


def context_headers(
    workspace_id: str, conversation_id: str, ticket_number: int | None, contact: OnBehalfOf
) -> dict[str, str]:
    """Who calls and for whom, as OpenCX tells it (contract section 7). The person is named only where it is proven who
    that is: by the customer's id, or where it has given none, by the contact id that authenticating answered with."""
    person = contact.contact_id if contact.external_user_id is None else contact.external_user_id
    named = {
        "user-agent": "OpenCX",  # existing APIs may look at it
        "x-opencx-org-id": workspace_id,
        "x-opencx-session-id": conversation_id,
        "x-opencx-ticket-number": None if ticket_number is None else str(ticket_number),
        "x-opencx-external-user-id": person if contact.verified else None,
    }
    # An id that a header cannot hold to the letter is not sent: trimmed or escaped it could be somebody else's.
    return {name: text for name, text in named.items() if text is not None and _VISIBLE.fullmatch(text)}


def redacted(request: EffectiveRequest) -> RedactedRequest:
    """The request with every credential out of sight."""
    shown = tuple(ShownValue(value.location, value.name, _shown(value), value.source) for value in request.values)
    path = {value.name: value for value in shown if value.location is Location.PATH}
    # Encoded as it is sent, so that a value cannot look like another path, or write to the terminal that shows it.
    url = re.sub(r"\{([^}]+)\}", lambda match: _in_url(path[match[1]].value), request.url_template)
    query = "&".join(
        f"{_in_url(value.name)}={_in_url(member)}"
        for value in shown
        if value.location is Location.QUERY
        for member in (value.value if isinstance(value.value, list) else [value.value])
    )
    return RedactedRequest(
        request.method, f"{url}?{query}" if query else url, shown, request.ignored, request.timeout_ms
    )


def _in_url(value: Any) -> str:
    return HIDDEN if value == HIDDEN else quote(_plain("url", value), safe="")


def _shown(value: Value) -> Any:
    secret = value.source is not Source.MODEL and not (
        # Of ours only the assertion opens anything.
        value.source is Source.OURS and not value.name.lower().startswith("vestibule-")
    )
    return HIDDEN if secret else value.value


def _missing(action: ActionDeclaration, effective: Effective) -> str | None:
    present = {(value.location, place(value.location, value.name)) for value in effective.values}
    for parameter in action.parameters:
        needed = parameter.required or parameter.location is Location.PATH
        if needed and (parameter.location, place(parameter.location, parameter.name)) not in present:
            return f"{parameter.location}.{parameter.name}"
    return None


def _url(action: ActionDeclaration, path: list[Value], query: list[Value]) -> str:
    url = fill(parse_template(action.url_template), {value.name: _text(value) for value in path})
    pairs = [
        f"{quote(_plain('query', value.name), safe='')}={quote(_plain(f'query.{value.name}', member), safe='')}"
        for value in query
        for member in (value.value if isinstance(value.value, list) else [value.value])
    ]
    return f"{url}?{'&'.join(pairs)}" if pairs else url


def _text(value: Value) -> str:
    """The value where there is room for one text only."""
    field = f"{value.location}.{value.name}"
    if value.value is None or isinstance(value.value, list | dict):
        raise InvalidField(field, "must be a text, a number or a boolean")
    return _plain(field, value.value)


def _plain(field: str, value: Any) -> str:
    try:
        encoded = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        return encoded.decode()
    except _NOT_JSON:
        raise InvalidField(field, "must be a JSON value of Unicode text") from None


def _body(action: ActionDeclaration, values: list[Value]) -> bytes | None:
    declared = any(parameter.location is Location.BODY for parameter in action.parameters)
    if action.method not in METHODS_WITH_BODY or not (declared or values):
        return None
    try:
        return msgspec.json.encode({value.name: value.value for value in values})
    except _NOT_JSON:
        raise InvalidField("body", "must be JSON") from None


def _own_headers(ours: Mapping[str, str], *, with_body: bool) -> dict[str, str]:
    content = {"content-type": "application/json"} if with_body else {}
    return {"user-agent": USER_AGENT, **content, **ours}


def _headers(values: list[Value], own: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    headers = {"accept": ("accept", "application/json, */*;q=0.5")}
    for value in values:
        text = _text(value).strip(" \t")
        check_header(f"headers.{value.name[:64]!a}", value.name, text)
        headers[fold(value.name)] = (value.name, text)
    # Last, and by folded name: whatever came before under any spelling gives way.
    headers |= {fold(name): (name, text) for name, text in own.items()}
    return tuple(headers.values())
