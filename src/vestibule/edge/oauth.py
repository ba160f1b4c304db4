"""Renders refusals as OAuth 2.0 clients expect them (RFC 6749 section 5.2), with our stable code beside; it must not
know a grant."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from vestibule import errors
from vestibule.edge.http import Handler, Reply, Request, json_reply
from vestibule.edge.problem import headers_of, status_of_type
from vestibule.edge.surface import note_refusal

# What says more about the request than "bad" does; everything else that a client can mend is 400.
_OWN_STATUS = frozenset(
    {
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_NAMES: tuple[tuple[type[errors.VestibuleError], str], ...] = (
    (errors.InvalidClient, "invalid_client"),
    (errors.InvalidGrant, "invalid_grant"),
    (errors.UnsupportedGrantType, "unsupported_grant_type"),
    (errors.WorkspaceDisabled, "unauthorized_client"),
    (errors.RateLimited, "temporarily_unavailable"),
    (errors.Unavailable, "temporarily_unavailable"),
    (errors.Upstream, "server_error"),
)
# RFC 8693 section 2.2.2 and RFC 6749 section 5.2 have names of their own for what is wrong with these.
_FIELDS = {"audience": "invalid_target", "resource": "invalid_target", "scope": "invalid_scope"}


class OAuthError(msgspec.Struct, frozen=True):
    """What went wrong. `error` is OAuth's name for it, `code` ours, which is finer and as stable."""

    error: str
    error_description: str
    code: str


def oauth_error(error: errors.VestibuleError) -> Reply:
    """The dialect. A subject token that proves nothing is `invalid_request` (RFC 8693 section 2.2.2), never a 401: the
    client has not authenticated, and need not."""
    status = oauth_status(type(error))
    body = OAuthError(_name(error), error.message, error.code)
    headers = headers_of(error) if status != HTTPStatus.BAD_REQUEST else ()
    return json_reply(status.value, msgspec.json.encode(body), *headers)


def oauth_status(kind: type[errors.VestibuleError]) -> HTTPStatus:
    status = status_of_type(kind)
    return status if status in _OWN_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST


def speaking_oauth(handler: Handler) -> Handler:
    """The handler with its refusals in this dialect, on a surface that has another one."""

    async def answer(request: Request) -> Reply:
        try:
            return await handler(request)
        except errors.VestibuleError as error:
            note_refusal(request, error)
            return oauth_error(error)

    return answer


def _name(error: errors.VestibuleError) -> str:
    if isinstance(error, errors.InvalidField):
        return _FIELDS.get(error.field, "invalid_request")
    return next((name for kind, name in _NAMES if isinstance(error, kind)), "invalid_request")
