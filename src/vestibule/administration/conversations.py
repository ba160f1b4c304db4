"""What staff do in conversations: look, take, reply, resolve; it must not speak as the visitor or the responder."""

from __future__ import annotations

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.conversations import course
from vestibule.conversations.pages import cursor_after, read_cursor
from vestibule.errors import InvalidField, NotFound
from vestibule.identity import profile_rules
from vestibule.model.conversation import Conversation, Message, Status
from vestibule.storage import conversation_lists
from vestibule.storage import conversations as rows

LONGEST_REPLY = 32_768
_LONGEST_NAME = 100


async def list_page(
    desk: Desk,
    workspace_id: str,
    *,
    status: Status | None = None,
    handed_off: bool = False,
    assignee: str = "",
    unproven: bool = False,
    cursor: str | None = None,
    most: int = 50,
) -> tuple[list[Conversation], str | None]:
    """A page, the latest first, and the cursor of the next one; `handed_off`: only those that people answer. Instead of
    both filters `assignee`: open ones of this member of staff, or `unproven`: those of visitors without proof. Raises
    NotFound, InvalidField."""
    before = read_cursor(cursor)
    await workspaces.get(desk, workspace_id)
    if assignee:
        found = await conversation_lists.of_assignee(desk.store, workspace_id, assignee, before=before, most=most)
    elif unproven:
        found = await conversation_lists.unproven(desk.store, workspace_id, before=before, most=most)
    else:
        found = await conversation_lists.list_all(
            desk.store,
            workspace_id,
            status=status.value if status is not None else "",
            handed_off=handed_off,
            before=before,
            most=most,
        )
    return found, cursor_after(found[-1]) if len(found) == most else None


async def get(desk: Desk, workspace_id: str, conversation_id: str) -> Conversation:
    """Raises NotFound."""
    found = await rows.get(desk.store, workspace_id, conversation_id)
    if found is None:
        raise NotFound("There is no such conversation.")
    return found


async def history(desk: Desk, conversation: Conversation) -> list[Message]:
    """Every row, oldest first, internal ones as well."""
    return await rows.history(desk.store, conversation.workspace_id, conversation.id)


async def latest(desk: Desk, conversation: Conversation, *, before: int | None, most: int) -> list[Message]:
    """The last rows before a number, or of all; oldest first."""
    end = before if before is not None else conversation.next_seq
    return await rows.latest(desk.store, conversation.workspace_id, conversation.id, before=end, most=most)


async def reply(desk: Desk, workspace_id: str, conversation_id: str, *, text: str, name: str) -> Message:
    """Raises NotFound, InvalidField, ConversationClosed."""
    if not text.strip():
        raise InvalidField("text", "must not be empty")
    profile_rules.text("text", text, LONGEST_REPLY)
    conversation = await get(desk, workspace_id, conversation_id)
    sent = (await course.reply(desk, conversation, text=text, name=_name(name))).messages[-1]
    await desk.record("conversation.reply", workspace_id, conversation_id)
    return sent


async def take(desk: Desk, workspace_id: str, conversation_id: str, *, name: str) -> Conversation:
    """Raises NotFound, InvalidField, ConversationClosed."""
    conversation = await get(desk, workspace_id, conversation_id)
    taken = (await course.take(desk, conversation, name=_name(name))).conversation
    await desk.record("conversation.take", workspace_id, conversation_id)
    return taken


async def resolve(desk: Desk, workspace_id: str, conversation_id: str) -> Conversation:
    """Raises NotFound."""
    resolved = await course.resolve(desk, await get(desk, workspace_id, conversation_id), by="agent")
    await desk.record("conversation.resolve", workspace_id, conversation_id)
    return resolved


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidField("name", f"must have 1 to {_LONGEST_NAME} printable characters")
    return name
