"""A chat thread, its messages and files, as stored; no I/O."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from vestibule.model.claims import CustomData


class Status(enum.StrEnum):
    OPEN = "open"
    RESOLVED = "closed_resolved"
    UNRESOLVED = "closed_unresolved"


class Assignee(enum.StrEnum):
    AI = "ai"
    HUMAN = "human"
    NONE = "none"


class Sender(enum.StrEnum):
    """Who wrote a message, in the words of the OpenCX wire: `agent` is a human."""

    USER = "user"
    AGENT = "agent"
    AI = "ai"
    SYSTEM = "system"


class Trust(enum.StrEnum):
    """What was proven of the author when the message was written; it never changes (DESIGN rule 2.5)."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    STAFF = "staff"
    SYSTEM = "system"


# A JSON document of somebody else's, kept and handed back as it came.
Document = dict[str, Any]


class Attachment(msgspec.Struct, frozen=True):
    id: str
    name: str
    size: int
    type: str
    url: str


class Glance(msgspec.Struct, frozen=True):
    """What says who sees a conversation, and whether it has changed: all that is read of one that was shown before.
    `verified`: made through a verified method, or attached to a proven person since. `version` moves with every change
    that a reader can see, and with nothing else."""

    workspace_id: str
    id: str
    contact_id: str
    verified: bool
    scope: str | None
    created_at: int
    updated_at: int
    version: int


class Conversation(Glance, frozen=True):
    """One thread, whole. `queue_key`: where it was routed, if anywhere. `characters`: how large its messages are
    together."""

    channel: str
    ticket_number: int
    title: str | None
    status: Status
    handed_off: bool
    assignee_kind: Assignee
    assignee_name: str | None
    assignee_avatar_url: str | None
    mode_id: str | None
    checkpoint: Document | None
    custom_data: CustomData
    language: str | None
    last_message: str | None
    next_seq: int
    queue_key: str | None = None
    characters: int = 0

    @property
    def is_open(self) -> bool:
        return self.status is Status.OPEN


class Authorship(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was known of a visitor when they wrote, and never changes: by which method they came, when that was proven
    (epoch ms), and, of one who has proven nothing, whether they said who they are."""

    method: str
    at: int
    claims: bool = False


class Message(msgspec.Struct, frozen=True):
    """One row of a history. `public_id` is the client's own id where it sent one; `answers` the seq of the message
    that the responder replied to; `action_requests` what was sent for `action_calls`, redacted, for people alone."""

    workspace_id: str
    conversation_id: str
    seq: int
    public_id: str
    type: str
    sender: Sender
    text: str | None
    sent_at: int
    trust: Trust
    sender_name: str | None = None
    sender_avatar_url: str | None = None
    attachments: tuple[Attachment, ...] = ()
    action_calls: tuple[Document, ...] = ()
    payload: Document | None = None
    custom_data: Document | None = None
    answers: int | None = None
    vote: str | None = None
    author: Authorship | None = None
    action_requests: tuple[Document, ...] = ()

    @property
    def is_greeting(self) -> bool:
        """Whether a page says that its visitor was shown this: nobody on our side has written it."""
        return self.sender is Sender.AI and self.trust not in {Trust.SYSTEM, Trust.STAFF}


class StoredFile(msgspec.Struct, frozen=True):
    """An uploaded file. Its bytes lie elsewhere, under its id. `token_id`: of whom, where they had proven nothing."""

    workspace_id: str
    id: str
    contact_id: str
    secret_hash: str
    name: str
    media_type: str
    size: int
    created_at: int
    token_id: str = ""
