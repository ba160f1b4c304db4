"""What a responder is asked and what it may answer, whichever kind it is; no I/O."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.conversations.visibility import is_internal
from vestibule.model.claims import Ground, Method
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation, Document, Message, Trust
from vestibule.tokens.contact_token import Said

# Rows of a history: that the visitor has sent a form, and what its action came to. One of the latter that answers no
# other row tells what was called for an answer that nobody wanted any more.
FORM_SUBMITTED = "action_form_submitted"
ACTION_EXECUTED = "action_executed"


class JobInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came with the visitor's message for its answer only: kept sealed until the answer is stored, then gone.
    `method`, `auth_time` (in seconds), `said`, `token_id` and `session` are of the token that it was sent with, and
    `grounds` are its author's: none in what an older release has stored."""

    method: str = "unverified"
    auth_time: int = 0
    said: Said | None = None
    token_id: str = ""
    session: str | None = None
    grounds: tuple[Ground, ...] = ()
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

    @property
    def verified(self) -> bool:
        """Whether it is proven who asks: of the contact, of the conversation, and of this very message. A contact that
        became verified later does not speak in what was written before (DESIGN rule 2.5)."""
        return (
            self.contact.verified
            and self.conversation.verified
            and self.message.trust is Trust.VERIFIED
            and self.given.method != Method.UNVERIFIED
        )


class Answer(msgspec.Struct, frozen=True):
    """`handoff`: people answer from now on. `action_calls` are in the wire's shape (contracts/opencx.md 4.6),
    `action_requests` what was sent for them, redacted. Without text and handoff the responder has nothing to say to
    this message. `mode_id`: the mode of the widget to be in from now on, None for none; unset, it stays as it is."""

    text: str | None = None
    handoff: bool = False
    mode_id: str | None | UnsetType = UNSET
    action_calls: tuple[Document, ...] = ()
    action_requests: tuple[Document, ...] = ()
    might_solve: bool = False


class Made(msgspec.Struct):
    """The calls of an answer as they are made: they have had their effect also where the answer comes to nothing."""

    calls: list[Document] = []
    requests: list[Document] = []


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """The visitor as a responder is told of them: proven values and claims apart, so that no prompt mistakes one for
    the other (DESIGN rules 2.1, 2.8)."""

    verified: bool
    proven: dict[str, Any] = {}
    claimed: dict[str, Any] = {}
    chat_context: str | None = None


_PROFILE = ("name", "email", "phone", "language", "custom_data")


def known_of(question: Question) -> Known:
    if not question.verified:
        # From the token and not from the contact: that may be a proven person's, or shared with everybody who claims
        # the same e-mail, and what another device has said is not told to this one (DESIGN rule 2.4).
        said = question.given.said or Said()
        parts = {"name": said.name, "email": said.email, "custom_data": said.custom_data}
        return Known(verified=False, claimed={name: value for name, value in parts.items() if value})
    contact = question.contact
    proven: dict[str, Any] = {}
    claimed: dict[str, Any] = {}
    for name in _PROFILE:
        value = getattr(contact, name)
        if value in (None, {}):
            continue
        origin = contact.provenance.get(name)
        # By where the value came from and not by where it lies: one that nobody vouched for proves nothing.
        vouched = origin is not None and origin.source is not Method.UNVERIFIED
        (proven if vouched else claimed)[name] = value
    if contact.non_verified_custom_data:
        claimed["custom_data"] = claimed.get("custom_data", {}) | contact.non_verified_custom_data
    return Known(verified=True, proven=proven, claimed=claimed, chat_context=contact.chat_context)


def in_order(history: list[Message], seq: int) -> list[Message]:
    """What was said up to message `seq`, each answer behind its question: the answer to an earlier message may have
    been stored after the next one came, and a model replies to what stands last. What staff write for each other is
    not for a responder, which might repeat it."""
    said = [line for line in history if not is_internal(line)]
    upto = [line for line in said if line.seq <= seq or (line.answers is not None and line.answers < seq)]
    return sorted(upto, key=lambda line: (line.seq if line.answers is None else line.answers, line.answers is not None))
