"""Renders refusals as OAuth 2.0 clients expect them (RFC 6749 section 5.2), with our stable code beside; it must not
know a grant."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from vestibule import errors
from vestibule.edge.http import Handler, Header, Reply, Request, json_reply
from vestibule.edge.problem import headers_of, status_of_type
from vestibule.edge.surface import note_refusal

# RFC 6749 section 5.1, for what has tokens in it and for its refusals.
NO_CACHE: Header = (b"pragma", b"no-cache")
_OF_OAUTH = (errors.InvalidClient, errors.InvalidGrant, errors.UnsupportedGrantType)
# The client has not authenticated, and need not: what its request proves or names is part of the request.
_ABOUT_THE_REQUEST = (errors.NotAuthenticated, errors.NotFound, errors.Conflict)
# RFC 8693 section 2.2.2 and RFC 6749 section 5.2 have names of their own for what is wrong with these.
_FIELDS = {"audience": "invalid_target", "resource": "invalid_target", "scope": "invalid_scope"}


class OAuthError(msgspec.Struct, frozen=True):
    """What went wrong. `error` is OAuth's name for it where it has one, `code` ours, which is finer and as stable."""

    error: str
    error_description: str
    code: str


def oauth_error(error: errors.VestibuleError) -> Reply:
    """The dialect. A subject token that proves nothing is `invalid_request` (RFC 8693 section 2.2.2), never a 401."""
    status = oauth_status(type(error))
    body = OAuthError(_name(error, status), error.message, error.code)
    headers = headers_of(error) if status != HTTPStatus.BAD_REQUEST else ()
    return json_reply(status.value, msgspec.json.encode(body), NO_CACHE, *headers)


def oauth_status(kind: type[errors.VestibuleError]) -> HTTPStatus:
    """400 (RFC 6749 section 5.2), unless the fault is not what the request says."""
    return HTTPStatus.BAD_REQUEST if issubclass(kind, _ABOUT_THE_REQUEST) else status_of_type(kind)


def speaking_oauth(handler: Handler) -> Handler:
    """The handler with its refusals in this dialect, on a surface that has another one."""

    async def answer(request: Request) -> Reply:
        try:
            return await handler(request)
        except errors.VestibuleError as error:
            note_refusal(request, error)
            return oauth_error(error)

    return answer


def _name(error: errors.VestibuleError, status: HTTPStatus) -> str:
    if status != HTTPStatus.BAD_REQUEST or isinstance(error, _OF_OAUTH):
        return error.code
    field = error.field if isinstance(error, errors.InvalidField) else ""
    return _FIELDS.get(field, errors.InvalidRequest.code)
