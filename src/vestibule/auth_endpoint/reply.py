"""Reads what an auth endpoint answered: accepted, rejected, or could not tell, and nothing between (decision 0019); it
must not know a contact.

    2xx, status true, data an object        accepted
    2xx and status false; 401, 403          rejected            AuthRejected
    408, 429, 5xx                           could not tell      AuthUnavailable
    everything else                         could not tell      AuthBadResponse
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vestibule.errors import AuthBadResponse, AuthRejected, AuthUnavailable
from vestibule.model.unshown import Unshown
from vestibule.outbound.messages import Answer
from vestibule.strict_json import NotStrict, read_object, unmarked

LONGEST_LIFE = 300
_MAX_AGE = re.compile(r"max-age=\"?(\d{1,9})\"?")
# As some languages write every number.
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_LONGEST_MESSAGE = 200
_MEMBERS = ("id", "name", "email", "phone_number", "country_code", "avatar", "label")


class Reply(Unshown, frozen=True):
    """The endpoint's yes, with those members of its `data` that mean something. `life` is for how many seconds it
    allows it to be remembered, if it says so; `at` is when it was given (epoch milliseconds), `size` how many bytes it
    came in."""

    data: dict[str, Any]
    life: int | None
    at: int
    size: int


def read(answer: Answer, at: int, secrets: Sequence[str] = ()) -> Reply:
    """What is in `secrets` is hidden where the answer repeats it. Raises AuthRejected, AuthBadResponse,
    AuthUnavailable."""
    status = answer.status
    if status in {401, 403}:
        raise AuthRejected(detail=f"answered {status}", step="status")
    if status in {408, 429} or status >= 500:
        raise AuthUnavailable(detail=f"answered {status}", step="status")
    if not 200 <= status < 300:
        raise AuthBadResponse(detail=f"answered {status}", step="status")
    try:
        body = read_object(unmarked(answer.body))
    except NotStrict as reason:
        raise AuthBadResponse(detail=f"the answer {reason}", step=reason.step) from None
    verdict, data = body.get("status"), body.get("data")
    if verdict is False:
        raise AuthRejected(detail=f"status is false{_message(body, secrets)}", step="verdict")
    if verdict is not True:
        # Not "true" and not 1: what is nearly a yes was not meant as one, or not by this contract.
        raise AuthBadResponse(detail="status is not a boolean", step="verdict")
    if not isinstance(data, dict):
        raise AuthBadResponse(detail="data is not an object", step="data")
    known = {name: data[name] for name in _MEMBERS if name in data}
    return Reply(known, _life(answer, data), at, len(answer.body))


def _message(body: dict[str, Any], secrets: Sequence[str]) -> str:
    """The customer's own words, for the log: bounded, on one line, and never for the visitor."""
    message = body.get("message")
    if not isinstance(message, str) or not message:
        return ""
    for secret in secrets:
        message = message.replace(secret, "<hidden>") if secret else message
    line = "".join(character if character.isprintable() else " " for character in message[:_LONGEST_MESSAGE])
    return f", message: {line}"


def _life(answer: Answer, data: dict[str, Any]) -> int | None:
    """`Cache-Control` (RFC 9111 section 5.2.2) and `data.expires_in`; the shorter one counts."""
    said = []
    for name, value in answer.headers:
        if name == "cache-control":
            directives = [part.strip() for part in value.lower().split(",")]
            if any(part.partition("=")[0] in {"no-store", "no-cache"} for part in directives):
                return 0
            said += [int(match[1]) for part in directives if (match := _MAX_AGE.fullmatch(part))]
    expires_in = data.get("expires_in")
    if isinstance(expires_in, str) and _NUMBER.fullmatch(expires_in):
        expires_in = int(expires_in)
    if isinstance(expires_in, int | float) and not isinstance(expires_in, bool):
        said.append(max(0, int(expires_in)))
    return min(*said, LONGEST_LIFE) if said else None
