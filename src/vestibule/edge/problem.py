"""Maps the families of errors to statuses and renders them as RFC 9457 problems; it must not know any other dialect."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from msgspec import UNSET, UnsetType

from vestibule import errors
from vestibule.edge.http import Header, Reply

_STATUSES: tuple[tuple[type[errors.VestibuleError], HTTPStatus], ...] = (
    (errors.NoSuchPath, HTTPStatus.NOT_FOUND),
    (errors.MethodNotAllowed, HTTPStatus.METHOD_NOT_ALLOWED),
    (errors.BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.BodyTooSlow, HTTPStatus.REQUEST_TIMEOUT),
    (errors.UnsupportedMedia, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.UnsupportedFile, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.IdempotencyKeyReused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.InvalidRequest, HTTPStatus.BAD_REQUEST),
    (errors.NotAuthenticated, HTTPStatus.UNAUTHORIZED),
    (errors.NotAllowed, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.StaleEdit, HTTPStatus.PRECONDITION_FAILED),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.RateLimited, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.UpstreamTimeout, HTTPStatus.GATEWAY_TIMEOUT),
    (errors.AuthTimeout, HTTPStatus.GATEWAY_TIMEOUT),
    (errors.Upstream, HTTPStatus.BAD_GATEWAY),
    (errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)

Dialect = Callable[[errors.VestibuleError], Reply]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457). `code` is stable; `field` is the path of the member at fault, where one is."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | UnsetType = UNSET


def status_of(error: errors.VestibuleError) -> HTTPStatus:
    return status_of_type(type(error))


def status_of_type(kind: type[errors.VestibuleError]) -> HTTPStatus:
    """The status of an error's family; the first match counts, so leaves stand before their families."""
    for family, status in _STATUSES:
        if issubclass(kind, family):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def headers_of(error: errors.VestibuleError) -> tuple[Header, ...]:  # noqa: PLR0911 - one line a family
    """The headers that a status owes its reader (RFC 9110 sections 10.2.1, 11.6.1, 10.2.3), in every dialect."""
    if isinstance(error, errors.MissingCredentials):
        # RFC 6750 section 3.1: who sent no credential is told no error code.
        return ((b"www-authenticate", b'Bearer realm="vestibule"'),)
    if isinstance(error, errors.NotAuthenticated):
        return ((b"www-authenticate", b'Bearer realm="vestibule", error="invalid_token"'),)
    if isinstance(error, errors.InsufficientScope):
        challenge = f'Bearer realm="vestibule", error="insufficient_scope", scope="{error.scope}"'
        return ((b"www-authenticate", challenge.encode()),)
    if isinstance(error, errors.MethodNotAllowed):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    if isinstance(error, errors.RateLimited):
        wait = str(error.retry_after).encode()
        return ((b"retry-after", wait), *rate_headers(error.limit, 0, error.retry_after))
    if isinstance(error, errors.Unavailable):
        return ((b"retry-after", str(error.retry_after).encode()),)
    return ()


def rate_headers(limit: int, remaining: int, reset: int) -> tuple[Header, ...]:
    """What is left of a limit, as most API clients know it (an early form of the IETF's RateLimit fields)."""
    return (
        (b"ratelimit-limit", str(limit).encode()),
        (b"ratelimit-remaining", str(remaining).encode()),
        (b"ratelimit-reset", str(reset).encode()),
    )


def problem(error: errors.VestibuleError) -> Reply:
    """The dialect of the native and admin API."""
    return rendered(error, described(error))


def described(error: errors.VestibuleError) -> Problem:
    status = status_of(error)
    return Problem(
        type=f"urn:vestibule:problem:{error.code}",
        title=status.phrase,
        status=status.value,
        code=error.code,
        detail=error.message,
        field=error.field if isinstance(error, errors.InvalidField) else UNSET,
    )


def rendered(error: errors.VestibuleError, body: Problem) -> Reply:
    """`body` with what its status owes its reader."""
    headers = (
        (b"content-type", b"application/problem+json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *headers_of(error),
    )
    return Reply(body.status, msgspec.json.encode(body), headers)
