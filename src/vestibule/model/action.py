"""The HTTP operations a workspace lets its responder call, and the values sent with them, as declared; no I/O.

What a workspace declares forbids unknown members: a misspelt lock or required trust must not pass for none.
"""

from __future__ import annotations

import enum
from typing import Any, Literal

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.model.claims import HttpOverrides, Method

HttpMethod = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
DEFAULT_TIMEOUT_MS = 10 * SECOND_MS


class Location(enum.StrEnum):
    """Where in the request a value stands."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


class Source(enum.StrEnum):
    """Who gave a value, from the weakest to the strongest. `OURS` stands above all: nobody replaces it."""

    MODEL = "model"
    WORKSPACE = "workspace"
    CONTACT = "contact"
    MESSAGE = "message"
    OURS = "vestibule"


class Trust(enum.StrEnum):
    """What an action asks of the contact."""

    UNVERIFIED = "unverified"
    VERIFIED = "verified"


class Locks(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Names that a level may never set, wherever they might stand. `message` is the visitor's browser."""

    message: tuple[str, ...] = ()
    model: tuple[str, ...] = ()


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One value of the request that the model may extract. `schema` is JSON Schema 2020-12."""

    location: Location
    name: str
    schema: dict[str, Any] = {}
    required: bool = False
    description: str = ""


class ActionDeclaration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An action as a workspace writes it down. `url_template` is absolute, with `{name}` for each path parameter.

    `audience` is what the assertion for the called API is issued to; None means the origin of the URL.
    """

    name: str
    method: HttpMethod
    url_template: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    # Proof is asked for unless the workspace says otherwise: forgetting the line must not open the operation.
    required_trust: Trust = Trust.VERIFIED
    verified_within_minutes: int | None = None
    audience: str | None = None
    enabled: bool = True
    locked: Locks = Locks()


class Action(ActionDeclaration, frozen=True, kw_only=True, omit_defaults=True):
    """A declared action as stored."""

    workspace_id: str
    id: str


class ActionPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What holds for all actions of a workspace."""

    locked: Locks = Locks()
    context_headers: bool = False
    send_assertion: bool = False


class Variables(HttpOverrides, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A workspace's own values, sent with each of its actions' calls."""

    def __repr__(self) -> str:
        return "Variables(…)"  # they are credentials, most of them


class MessageOverrides(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the page sends with one message (contract 4.5); believed as little as the visitor."""

    headers: dict[str, str] = {}
    query_params: dict[str, str] = {}
    body_properties: dict[str, Any] = {}

    def __repr__(self) -> str:
        return "MessageOverrides(…)"


class OnBehalfOf(msgspec.Struct, frozen=True):
    """The contact an action acts for, and how well it is proven: read from its token, never from what it says.

    `auth_time` is epoch milliseconds.
    """

    contact_id: str
    verified: bool
    method: Method
    auth_time: int
    external_user_id: str | None = None
