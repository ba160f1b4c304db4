"""Says who sees which conversation, for every surface, as a pure function (DESIGN rule 2.4); it reads nothing."""

from __future__ import annotations

import msgspec

from vestibule.model.conversation import Glance, Message

_INTERNAL_TYPES = frozenset({"agent_comment"})
# How the scopes begin that are made of a token's own id, on the wires that have none: CX Genie's and Puzzel's.
_OF_A_TOKEN = frozenset({"cxgenie", "puzzel"})


class Viewer(msgspec.Struct, frozen=True):
    """The bearer of a contact token. `person_ids`: the contact and what was merged with it. `device_scopes`: for an
    unverified visitor, the scopes that this very token has shown; another device's token has not shown them, even if
    its visitor claims the same e-mail."""

    workspace_id: str
    person_ids: frozenset[str]
    verified: bool
    device_scopes: frozenset[str] = frozenset()


def sees(viewer: Viewer, conversation: Glance, asked_scope: str | None = None) -> bool:
    """Whether the conversation exists for this viewer. `asked_scope` is what the request narrowed itself to.

    A verified contact sees what was made through a verified method, on every device; an unverified visitor what was
    made unverified, on this device. Neither ever sees the other's, also where both say the same e-mail.
    """
    if conversation.workspace_id != viewer.workspace_id or conversation.contact_id not in viewer.person_ids:
        return False
    if conversation.verified is not viewer.verified:
        return False
    if not viewer.verified and (conversation.scope is None or conversation.scope not in viewer.device_scopes):
        return False
    return asked_scope is None or conversation.scope == asked_scope


def may_show(token_id: str, scope: str) -> bool:
    """Whether an unverified visitor's token opens a scope by naming it. Not where it was made of another token's id: a
    page's scope is told to nobody, and that id stands in the log, the audit and the dashboard."""
    kind, colon, _ = scope.partition(":")
    return not colon or kind not in _OF_A_TOKEN or scope == f"{kind}:{token_id}"


def is_internal(message: Message) -> bool:
    """Whether staff wrote it for each other: no visitor is shown it, on any surface."""
    return message.type in _INTERNAL_TYPES
