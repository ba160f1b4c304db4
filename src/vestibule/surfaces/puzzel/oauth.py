"""The dialect of `/connect`: OAuth's error object (RFC 6749 section 5.2) beside our code, and its form; it must not
know what a grant is."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

import msgspec

from vestibule.edge.http import JSON, Reply, Request
from vestibule.edge.problem import headers_of, status_of
from vestibule.errors import InvalidClient, InvalidGrant, InvalidRequest, UnsupportedGrantType, VestibuleError

_LARGEST_FORM = 8_192
_MOST_FIELDS = 20
_OF_OAUTH = (InvalidClient, InvalidGrant, UnsupportedGrantType)
_ENCODER = msgspec.json.Encoder()


class _Error(msgspec.Struct, frozen=True):
    error: str
    error_description: str
    code: str


def oauth_error(error: VestibuleError) -> Reply:
    """`error` is OAuth's word where it has one, else our code."""
    general = isinstance(error, InvalidRequest) and not isinstance(error, _OF_OAUTH)
    status = status_of(error)
    name = InvalidRequest.code if general and status == HTTPStatus.BAD_REQUEST else error.code
    body = _Error(name, error.message, error.code)
    headers = (JSON, (b"cache-control", b"no-store"), (b"pragma", b"no-cache"), (b"x-content-type-options", b"nosniff"))
    return Reply(status.value, _ENCODER.encode(body), (*headers, *headers_of(error)))


async def read_form(request: Request, *, within: float) -> dict[str, str]:
    """The fields, each of which may be given once (RFC 6749 section 3.2). Raises InvalidRequest, BodyTooLarge,
    BodyTooSlow."""
    types = request.headers(b"content-type")
    kind = types[0].partition(b";")[0].strip().lower() if len(types) == 1 else b""
    if kind != b"application/x-www-form-urlencoded" or request.is_compressed:
        raise InvalidRequest("Send a form: application/x-www-form-urlencoded.", step="content_type")
    body = await request.raw_body(most=_LARGEST_FORM, within=within)
    try:
        text = body.decode("ascii")
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidRequest("The form cannot be read.", step="form") from None
    if any(len(values) > 1 for values in fields.values()):
        raise InvalidRequest("A field is given more than once.", step="form")
    return {name: values[0] for name, values in fields.items()}
