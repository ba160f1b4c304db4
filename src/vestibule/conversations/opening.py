"""Opens conversations for a visitor: one by id, or a page of them; everything passes `visibility.sees`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from vestibule.clock import now_ms
from vestibule.conversations.pages import cursor_after
from vestibule.conversations.visibility import Viewer, may_show, sees
from vestibule.conversations.visitor import Visitor
from vestibule.errors import InvalidContactToken, NotFound
from vestibule.ids import is_id
from vestibule.model.conversation import Conversation, Glance
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import device_scopes
from vestibule.storage.conversations import GLANCE, WHOLE, Extent

C = TypeVar("C", bound=Glance)
_PAGE = 50
_NOT_HERE = "There is no such conversation."


def open_conversation(runtime: Runtime, visitor: Visitor, conversation_id: str) -> Awaitable[Conversation]:
    """The conversation, if it exists for this visitor. Raises NotFound, in the same words whether it is somebody
    else's or nobody's; InvalidContactToken where the visitor's contact is gone."""
    return _open(runtime, WHOLE, visitor, conversation_id)


def glance_at(runtime: Runtime, visitor: Visitor, conversation_id: str) -> Awaitable[Glance]:
    """Likewise, for who has shown it before."""
    return _open(runtime, GLANCE, visitor, conversation_id)


async def _open(runtime: Runtime, extent: Extent[C], visitor: Visitor, conversation_id: str) -> C:
    if not is_id(conversation_id):
        raise NotFound(_NOT_HERE, step="conversation")
    found = await rows.find(
        runtime.store,
        extent,
        visitor.workspace_id,
        conversation_id,
        viewer_contact=visitor.contact_id,
        token_id=visitor.token_id,
    )
    if found is None:
        if visitor.verified:  # a contact that was erased took its conversations along, and its token is dead
            await _require_contact(runtime, visitor)
        raise NotFound(_NOT_HERE, step="conversation")
    if not found.viewer_known and visitor.verified:
        raise InvalidContactToken(detail="its contact is gone", step="contact")
    conversation = found.conversation
    same_person = (conversation.contact_id,) if found.owner_lead == found.viewer_lead else ()
    viewer = Viewer(
        workspace_id=visitor.workspace_id,
        person_ids=frozenset((visitor.contact_id, *same_person)),
        verified=visitor.verified,
        device_scopes=frozenset({conversation.scope} if found.on_device and conversation.scope else ()),
    )
    if not sees(viewer, conversation):
        raise NotFound(_NOT_HERE, detail="not visible to this token", step="visibility")
    return conversation


def list_conversations(
    runtime: Runtime, visitor: Visitor, *, scope: str | None, before: tuple[int, str] | None = None, most: int = _PAGE
) -> Awaitable[tuple[list[Conversation], str | None]]:
    """A page of the visitor's conversations, newest activity first, and the cursor of the next page. An unverified
    visitor must name a scope: the caller has refused otherwise. `before`: where the page before ended
    (`pages.read_cursor`). Raises InvalidContactToken."""
    return _list(runtime, WHOLE, visitor, scope=scope, before=before, most=most)


def glance_over(
    runtime: Runtime, visitor: Visitor, *, scope: str | None, before: tuple[int, str] | None = None
) -> Awaitable[tuple[list[Glance], str | None]]:
    """Likewise, for who has shown it before."""
    return _list(runtime, GLANCE, visitor, scope=scope, before=before, most=_PAGE)


async def _list(
    runtime: Runtime,
    extent: Extent[C],
    visitor: Visitor,
    *,
    scope: str | None,
    before: tuple[int, str] | None,
    most: int,
) -> tuple[list[C], str | None]:
    found, is_bound = await rows.list_page(
        runtime.store,
        extent,
        visitor.workspace_id,
        visitor.contact_id,
        token_id=visitor.token_id,
        verified=visitor.verified,
        scope=scope,
        before=before,
        most=most + 1,
    )
    if not found and visitor.verified:
        await _require_contact(runtime, visitor)
    viewer = Viewer(
        workspace_id=visitor.workspace_id,
        person_ids=frozenset({visitor.contact_id, *(conversation.contact_id for conversation in found)}),
        verified=visitor.verified,
        device_scopes=frozenset({scope} if scope else ()),
    )
    visible = [conversation for conversation in found[:most] if sees(viewer, conversation, scope)]
    if visible and not visitor.verified and scope and not is_bound:
        if not may_show(visitor.token_id, scope):
            return [], None
        now = now_ms()
        await runtime.store.transact(
            lambda: device_scopes.bind(visitor.workspace_id, visitor.token_id, scope, visitor.contact_id, now)
        )
    last = found[most - 1] if len(found) > most else None
    return visible, cursor_after(last) if last is not None else None


async def _require_contact(runtime: Runtime, visitor: Visitor) -> None:
    """Neither an empty list nor a missing conversation must hide that there is nobody any more: the page would never
    sign in again."""
    if await runtime.contacts.find_leading(visitor.workspace_id, visitor.contact_id) is None:
        raise InvalidContactToken(detail="its contact is gone", step="contact")
