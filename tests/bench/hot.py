"""The statements that most requests meet, the keys that they should go by, and rows to ask them among; it runs none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vestibule.storage import contacts, conversations, files, pending_identities, provider_identities
from vestibule.storage.statement import Statement
from vestibule.storage.store import Value

WORKSPACE = "01900000-0000-7000-8000-000000000000"
# One contact in so many has a chat with a message, a device, an identity at a provider and a proof: ten million of each
# would ask for more disk than they would tell.
STEP = 10
_ISSUER = "https://idp.example.com"
_A_PAGE = 20
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hot:
    """A statement, and what leads it: each of its steps should go by the whole of one of `keys`. `values` are those
    that find `found` rows for the contact of a number; without them it is not timed."""

    statement: Statement
    keys: frozenset[Key]
    values: Callable[[int], tuple[Value, ...]] | None = None
    found: int = 1

    @property
    def joins(self) -> bool:
        """Whether it looks into more than one place."""
        return len(self.keys) > 1

    def parameters(self, number: int) -> tuple[Value, ...]:
        """Its values, and the slot where it shares round trips."""
        if self.values is None:
            raise ValueError(f"{self.statement.name} is not timed")
        return (*self.values(number), 0) if self.statement.shared else self.values(number)


@dataclass(frozen=True, slots=True)
class Filled:
    """What a table is filled with: an SQL expression for each column, of the number `n`, for one number in `step`."""

    table: str
    row: dict[str, str]
    step: int = STEP

    def insert(self, source: str, before: str = "") -> str:
        """The statement, for the numbers `n` of a source; `before` is what makes the source."""
        columns, values = ", ".join(self.row), ", ".join(self.row.values())
        # S608: every name and value is written in this file.
        return f"INSERT INTO {self.table} ({columns}) {before} SELECT {values} FROM {source} WHERE n % {self.step} = 0"  # noqa: S608


_CONTACT, _CHAT = "01900000-0000-7000-8000-", "01910000-0000-7000-8000-"
_OF_WORKSPACE = {"workspace_id": f"'{WORKSPACE}'"}
_OF_CONTACT = {"contact_id": f"'{_CONTACT}' || n"}
_OF_SUBJECT = {"issuer": f"'{_ISSUER}'", "subject": "'subject.' || n"}
FILLED = (
    Filled(
        "contacts",
        {
            **_OF_WORKSPACE,
            "id": f"'{_CONTACT}' || n",
            "version": "1",
            "verified": "true",
            "created_at": "0",
            "updated_at": "0",
            "email_key": "'person.' || n || '@example.com'",
            "phone_key": "'+1201' || (2000000 + n)",
            "name": "'John Doe'",
            "email": "'person.' || n || '@example.com'",
            "provenance": "'{}'",
            # Into one who has a chat.
            "merged_into": f"CASE WHEN n % 50 = 49 THEN '{_CONTACT}' || (n - 9) END",
        },
        step=1,
    ),
    Filled(
        "conversations",
        {
            **_OF_WORKSPACE,
            "id": f"'{_CHAT}' || n",
            **_OF_CONTACT,
            "verified": "true",
            "scope": "'shop'",
            "channel": "'web'",
            "ticket_number": "n",
            "status": "'closed_resolved'",  # as nearly all are
            "handed_off": "false",
            "assignee_kind": "'ai'",
            "custom_data": "'{}'",
            "created_at": "n",
            "updated_at": "n",
            "version": "1",
            "next_seq": "1",
        },
    ),
    Filled(
        "messages",
        {
            **_OF_WORKSPACE,
            "conversation_id": f"'{_CHAT}' || n",
            "seq": "1",
            "public_id": "'message.' || n",
            "type": "'message'",
            "sender": "'user'",
            "sent_at": "n",
            "trust": "'verified'",
            "attachments": "'[]'",
        },
    ),
    Filled(
        "device_scopes",
        {**_OF_WORKSPACE, "token_id": "'device.' || n", "scope": "'shop'", **_OF_CONTACT, "created_at": "0"},
    ),
    Filled("provider_identities", {**_OF_WORKSPACE, **_OF_SUBJECT, **_OF_CONTACT, "created_at": "0"}),
    Filled(
        "pending_identities",
        {
            **_OF_WORKSPACE,
            "user_info_id_hash": "'hash.' || n",
            "challenge": "'challenge'",
            **_OF_CONTACT,
            "provider_id": "1",
            **_OF_SUBJECT,
            "auth_time": "0",
            "created_at": "0",
            "expires_at": "n",
            "wrong_count": "0",
        },
    ),
)

_BY_ID: Key = ("workspace_id", "id")
_BY_CONTACT: Key = ("workspace_id", "contact_id")
_BY_LEAD: Key = ("workspace_id", "merged_into")
_BY_DEVICE: Key = ("workspace_id", "token_id", "scope")


def _contact(number: int) -> str:
    return f"{_CONTACT}{number}"


def _newest_chats(number: int) -> tuple[Value, ...]:
    """The first page of a verified person's."""
    return (WORKSPACE, _contact(number), True, "", 2**62, "", _A_PAGE, f"device.{number}")


# Writes are not timed: that would be the time of the disk.
HOT = (
    Hot(contacts.FIND_BY_ID, frozenset({_BY_ID}), lambda number: (WORKSPACE, _contact(number))),
    Hot(
        contacts.FIND_BY_EMAIL,
        frozenset({("workspace_id", "email_key")}),
        lambda number: (WORKSPACE, f"person.{number}@example.com"),
    ),
    Hot(
        contacts.FIND_BY_PHONE,
        frozenset({("workspace_id", "phone_key")}),
        lambda number: (WORKSPACE, f"+1201{2_000_000 + number}"),
    ),
    Hot(contacts.UPDATE, frozenset({_BY_ID})),
    # A poll, and a list.
    Hot(
        conversations.GLANCE.find,
        frozenset({_BY_ID, _BY_DEVICE}),
        lambda number: (WORKSPACE, f"{_CHAT}{number}", _contact(number), f"device.{number}"),
    ),
    Hot(conversations.GLANCE.list_page, frozenset({_BY_ID, _BY_LEAD, _BY_CONTACT, _BY_DEVICE}), _newest_chats),
    # An exchange: who it is, and whether the one that an e-mail leads to is somebody else there, who is nobody mostly.
    Hot(
        provider_identities.FIND_CONTACT,
        frozenset({("workspace_id", "issuer", "subject"), _BY_ID}),
        lambda number: (WORKSPACE, _ISSUER, f"subject.{number}"),
    ),
    Hot(
        provider_identities.FIND_OTHER,
        frozenset({_BY_CONTACT, _BY_LEAD}),
        lambda number: (WORKSPACE, _contact(number), _ISSUER, f"subject.{number}"),
        found=0,
    ),
    # What an erasure, an export and, of files, a purge read: on SQLite while everybody waits.
    Hot(conversations.OF_CONTACT, frozenset({_BY_CONTACT})),
    Hot(files.OF_CONTACT, frozenset({_BY_CONTACT})),
    Hot(files.ATTACHED_OF_CONTACT, frozenset({_BY_CONTACT, ("workspace_id", "conversation_id")})),
    # Its redemption.
    Hot(pending_identities.CLAIM, frozenset({("workspace_id", "user_info_id_hash")})),
)
TIMED = tuple(hot for hot in HOT if hot.values is not None)
