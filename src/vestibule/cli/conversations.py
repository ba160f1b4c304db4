"""`vestibule conversation …` and `vestibule retention …`; prints, and leaves the rest to `administration`."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from vestibule.administration import conversations, retention
from vestibule.administration.desk import Desk
from vestibule.cli.opening import InWorkspace, Json, at_the_desk
from vestibule.cli.output import Value, members, print_json, print_list, print_result
from vestibule.model.conversation import Conversation, Message, Status

app = typer.Typer(help="Chats, as staff see them.", no_args_is_help=True)
retention_app = typer.Typer(
    help="Unverified contacts and closed conversations whose time is over.", no_args_is_help=True
)
ConversationId = Annotated[str, typer.Argument(help="The conversation's id.")]
StaffName = Annotated[str, typer.Option("--name", help="Who answers, as the visitor reads it.")]
_TEAM = "Team"


@app.command("list")
def list_(
    workspace: InWorkspace,
    status: Annotated[Status | None, typer.Option(help="Only those of this status.")] = None,
    handed_off: Annotated[bool, typer.Option("--handed-off", help="Only those that people answer.")] = False,
    after: Annotated[str | None, typer.Option(help="Where to go on: the `next` of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 50,
    as_json: Json = False,
) -> None:
    """List a workspace's conversations, the latest first."""
    found, following = at_the_desk(
        lambda desk: conversations.list_page(
            desk, workspace, status=status, handed_off=handed_off, cursor=after, most=limit
        ),
        as_json=as_json,
    )
    items = [shown(conversation) for conversation in found]
    if as_json:
        print_json({"items": items, "next": following})
        return
    columns = ("id", "ticket_number", "status", "handed_off", "assignee", "verified", "updated_at", "last_message")
    print_list(items, columns, as_json=False, empty="No conversation yet.")
    if following is not None:
        sys.stderr.write(f"There may be more: --after {following}\n")


@app.command("show")
def show(conversation: ConversationId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Show a conversation and everything in it. What was proven of an author stands beside each message."""

    async def act(desk: Desk) -> tuple[Conversation, list[Message]]:
        found = await conversations.get(desk, workspace, conversation)
        return found, await conversations.history(desk, found)

    found, messages = at_the_desk(act, as_json=as_json)
    rows = [message_shown(message) for message in messages]
    if as_json:
        print_result({**shown(found), "messages": rows}, as_json=True)
        return
    print_result(shown(found), as_json=False)
    print_list(rows, ("sent_at", "sender", "trust", "type", "text"), as_json=False, empty="No message yet.")


@app.command("take")
def take(conversation: ConversationId, workspace: InWorkspace, name: StaffName = _TEAM, as_json: Json = False) -> None:
    """Take a conversation: the responder is silent from now on."""
    taken = at_the_desk(lambda desk: conversations.take(desk, workspace, conversation, name=name), as_json=as_json)
    print_result(shown(taken), as_json=as_json)


@app.command("reply")
def reply(
    conversation: ConversationId,
    text: Annotated[str, typer.Argument(help="What to say.")],
    workspace: InWorkspace,
    name: StaffName = _TEAM,
    as_json: Json = False,
) -> None:
    """Reply to the visitor; the conversation is taken with it."""
    sent = at_the_desk(
        lambda desk: conversations.reply(desk, workspace, conversation, text=text, name=name), as_json=as_json
    )
    print_result(message_shown(sent), as_json=as_json)


@app.command("resolve")
def resolve(conversation: ConversationId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Close a conversation as resolved, and ask the visitor for a rating."""
    closed = at_the_desk(lambda desk: conversations.resolve(desk, workspace, conversation), as_json=as_json)
    print_result(shown(closed), as_json=as_json)


@retention_app.command("purge")
def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False, as_json: Json = False
) -> None:
    """Delete them now, with their chats and files. The server does the same every few minutes."""
    purged = at_the_desk(lambda desk: retention.purge(desk, dry_run=dry_run), as_json=as_json)
    print_result({"dry_run": dry_run, **msgspec.structs.asdict(purged)}, as_json=as_json)


def shown(conversation: Conversation) -> dict[str, Value]:
    return members(
        conversation,
        "id ticket_number contact_id verified scope channel queue status handed_off assignee language custom_data"
        " last_message created_at updated_at",
        queue=conversation.queue_key,
        assignee=conversation.assignee_name or conversation.assignee_kind.value,
    )


def message_shown(message: Message) -> dict[str, Value]:
    return members(
        message,
        "id seq sent_at sender name trust type text attachments action_calls payload custom_data answers vote author"
        " action_requests",
        id=message.public_id,
        name=message.sender_name,
        attachments=[msgspec.structs.asdict(item) for item in message.attachments],
        author=msgspec.structs.asdict(message.author) if message.author is not None else None,
    )
