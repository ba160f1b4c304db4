"""What staff do in conversations: look, take, reply, resolve; it must not speak as the visitor or the responder."""

from __future__ import annotations

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.staff import checked_name
from vestibule.conversations import course
from vestibule.conversations.pages import cursor_after, read_cursor
from vestibule.errors import InvalidField, NotFound
from vestibule.identity import profile_rules
from vestibule.model.conversation import Conversation, Message, Status
from vestibule.storage import conversation_lists
from vestibule.storage import conversations as rows

LONGEST_REPLY = 32_768


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
    asked = most + 1  # or the last page, where it is full, would lead to an empty one
    if assignee:
        found = await conversation_lists.of_assignee(desk.store, workspace_id, assignee, before=before, most=asked)
    elif unproven:
        found = await conversation_lists.unproven(desk.store, workspace_id, before=before, most=asked)
    else:
        found = await conversation_lists.list_all(
            desk.store,
            workspace_id,
            status=status.value if status is not None else "",
            handed_off=handed_off,
            before=before,
            most=asked,
        )
    page = found[:most]
    return page, cursor_after(page[-1]) if len(found) > most else None


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


async def reply(
    desk: Desk, workspace_id: str, conversation_id: str, *, text: str, name: str, public_id: str = ""
) -> Message:
    """`public_id` as `course.reply` takes it: what comes twice is said and audited once. Raises NotFound, InvalidField,
    ConversationClosed, AlreadyExists."""
    if not text.strip():
        raise InvalidField("text", "must not be empty")
    profile_rules.text("text", text, LONGEST_REPLY)
    conversation = await get(desk, workspace_id, conversation_id)
    name = checked_name(name.strip())
    done = await course.reply(desk, conversation, text=text, name=name, public_id=public_id)
    if not done.duplicate:
        await desk.record("conversation.reply", workspace_id, conversation_id)
    return done.messages[-1]


async def take(desk: Desk, workspace_id: str, conversation_id: str, *, name: str) -> Conversation:
    """Raises NotFound, InvalidField, ConversationClosed."""
    conversation = await get(desk, workspace_id, conversation_id)
    taken = (await course.take(desk, conversation, name=checked_name(name.strip()))).conversation
    await desk.record("conversation.take", workspace_id, conversation_id)
    return taken


async def resolve(desk: Desk, workspace_id: str, conversation_id: str) -> Conversation:
    """Raises NotFound."""
    resolved = await course.resolve(desk, await get(desk, workspace_id, conversation_id), by="agent")
    await desk.record("conversation.resolve", workspace_id, conversation_id)
    return resolved
