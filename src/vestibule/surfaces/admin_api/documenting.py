"""Parameters and answers that several operations of the admin API have, and what follows from a method and a path; it
must not know an operation."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from vestibule.edge.operation import Answer, Operation, Parameter
from vestibule.errors import IdempotencyKeyReused, InvalidField, NotFound, RequestUnderWay, StaleEdit
from vestibule.surfaces.admin_api.shapes import Time, Uuid

PAGE, LARGEST_PAGE = 50, 200
CURSOR = Parameter(name="cursor", location="query", about="The `next` of the page before.")
LIMIT = Parameter(
    name="limit",
    location="query",
    about=f"How many at the most; {PAGE} if absent.",
    type=Annotated[int, Meta(ge=1, le=LARGEST_PAGE)],
)
SINCE = Parameter(name="since", location="query", about="From this moment on.", type=Time)
UNTIL = Parameter(name="until", location="query", about="Before this moment.", type=Time)
GONE = (Answer(status=204, about="It is gone."),)
_IF_MATCH = Parameter(
    name="If-Match", location="header", about="The `ETag` of what you read: what was changed since is not changed."
)
_IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    location="header",
    about="A text of your own for this request. Repeated with it within a day, it is done once, and answered as the"
    " first time.",
    type=Annotated[str, Meta(extra_json_schema={"pattern": "^[!-~]{1,255}$"})],
)
_ON_A_CONDITION = (_IF_MATCH, (StaleEdit,))
_OF_METHODS = {
    "POST": (_IDEMPOTENCY_KEY, (InvalidField, IdempotencyKeyReused, RequestUnderWay)),
    "PUT": _ON_A_CONDITION,
    "PATCH": _ON_A_CONDITION,
    "DELETE": _ON_A_CONDITION,
}
PLACES = {
    name: Parameter(name=name, location="path", about=about, type=type_)
    for name, about, type_ in (
        ("workspace_id", "The workspace.", Uuid),
        ("key_id", "The API key.", Uuid),
        ("provider_id", "The provider's number.", int),
        ("queue_key", "What pages name it by: letters, digits, `.`, `_`, `-`.", str),
        ("webhook_id", "The webhook endpoint.", Uuid),
        ("action_name", "The action's name.", str),
        ("staff_id", "The member of staff.", Uuid),
        ("contact_id", "The contact.", Uuid),
        ("token_id", "The token's id.", Uuid),
        ("conversation_id", "The conversation.", Uuid),
        ("kid", "The signing key.", str),
    )
}


def completed(operation: Operation, method: str, path: str) -> Operation:
    """With the parameters of its path, of which there may be no such thing, and with what every request of its method
    may carry."""
    places = tuple(PLACES[name] for name in re.findall(r"{(\w+)}", path))
    parameters, errors = (*places, *operation.parameters), (*operation.errors, *([NotFound] if places else ()))
    if method in _OF_METHODS:
        header, refusals = _OF_METHODS[method]
        parameters, errors = (*parameters, header), (*errors, *refusals)
    return msgspec.structs.replace(operation, parameters=parameters, errors=errors)


def answer(type_: object, about: str, status: int = 200) -> tuple[Answer, ...]:
    return (Answer(status=status, about=about, type=type_),)


def one(type_: object, about: str) -> tuple[Answer, ...]:
    """The answer that shows one thing, with its tag."""
    return (Answer(about=about, type=type_, headers={"ETag": "For `If-Match`."}),)


def added(type_: object, about: str) -> tuple[Answer, ...]:
    """The answer that shows what was made."""
    return (Answer(status=201, about=about, type=type_, headers={"Location": "Its path."}),)
