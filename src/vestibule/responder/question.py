"""What a responder is asked and what it may answer, whichever kind it is; no I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.model.claims import CustomData
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Document, Message


class JobInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came with the visitor's message for its answer only: kept sealed until the answer is stored, then gone."""

    method: str = "unverified"
    auth_time: int = 0
    client_context: Document | None = None
    language: str | None = None
    exit_mode_prompt: str | None = None
    headers: dict[str, str] = {}
    query_params: dict[str, str] = {}
    body_properties: dict[str, Any] = {}

    def __repr__(self) -> str:
        return "JobInput(…)"


class Question(msgspec.Struct, frozen=True):
    """A visitor's message in its surroundings; `history` ends with it."""

    conversation: Conversation
    contact: Contact
    history: list[Message]
    message: Message
    given: JobInput


class Answer(msgspec.Struct, frozen=True):
    """`handoff`: people answer from now on. `action_calls` are in the wire's shape (contracts/opencx.md 4.6)."""

    text: str | None = None
    handoff: bool = False
    action_calls: tuple[Document, ...] = ()
    might_solve: bool = False


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """The visitor as a responder is told of them: proven values and claims apart, so that no prompt mistakes one for
    the other (DESIGN rules 2.1, 2.8)."""

    verified: bool
    proven: dict[str, Any] = {}
    claimed: dict[str, Any] = {}
    chat_context: str | None = None


def known_of(contact: Contact) -> Known:
    profile = {
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "language": contact.language,
    }
    said = {name: value for name, value in profile.items() if value is not None}
    custom: CustomData = contact.custom_data or {}
    claimed_custom: CustomData = contact.non_verified_custom_data or {}
    if contact.verified:
        return Known(
            verified=True,
            proven=said | ({"custom_data": custom} if custom else {}),
            claimed={"custom_data": claimed_custom} if claimed_custom else {},
            chat_context=contact.chat_context,
        )
    return Known(verified=False, claimed=said | ({"custom_data": claimed_custom} if claimed_custom else {}))
