"""Parameters, answers and errors that several operations of the admin API have; no code."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from vestibule.edge.operation import Answer, Parameter
from vestibule.errors import IdempotencyKeyReused, InvalidField, RequestUnderWay
from vestibule.surfaces.admin_api.shapes import Time, Uuid

PAGE, LARGEST_PAGE = 50, 200
WORKSPACE_ID = Parameter(name="workspace_id", location="path", about="The workspace.", type=Uuid)
KEY_ID = Parameter(name="key_id", location="path", about="The API key.", type=Uuid)
CONTACT_ID = Parameter(name="contact_id", location="path", about="The contact.", type=Uuid)
CONVERSATION_ID = Parameter(name="conversation_id", location="path", about="The conversation.", type=Uuid)
CURSOR = Parameter(name="cursor", location="query", about="The `next` of the page before.")
LIMIT = Parameter(
    name="limit",
    location="query",
    about=f"How many at the most; {PAGE} if absent.",
    type=Annotated[int, Meta(ge=1, le=LARGEST_PAGE)],
)
SINCE = Parameter(name="since", location="query", about="From this moment on.", type=Time)
UNTIL = Parameter(name="until", location="query", about="Before this moment.", type=Time)
IF_MATCH = Parameter(
    name="If-Match", location="header", about="The `ETag` of what you read: what was changed since is not changed."
)
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    location="header",
    about="A text of your own for this request. Repeated with it within a day, it is done once, and answered as the"
    " first time.",
    type=Annotated[str, Meta(extra_json_schema={"pattern": "^[!-~]{1,255}$"})],
)
TAG = {"ETag": "For `If-Match`."}
GONE = (Answer(status=204, about="It is gone."),)
# Of whatever takes an Idempotency-Key.
ONCE = (InvalidField, IdempotencyKeyReused, RequestUnderWay)


def one(type_: object, about: str) -> tuple[Answer, ...]:
    """The answer that shows one thing, with its tag."""
    return (Answer(about=about, type=type_, headers=TAG),)


def added(type_: object, about: str) -> tuple[Answer, ...]:
    """The answer that shows what was made."""
    return (Answer(status=201, about=about, type=type_, headers={"Location": "Its path."}),)
