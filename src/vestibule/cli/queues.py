"""`vestibule queue …`; prints, and leaves the rest to `administration.queues`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import queues
from vestibule.administration.desk import Desk
from vestibule.cli.opening import InWorkspace, Json, at_the_desk
from vestibule.cli.output import Value, print_list, print_result
from vestibule.clock import now_ms
from vestibule.conversations.queues import is_open
from vestibule.model.queue import Queue, QueueSettings

app = typer.Typer(help="Where chats wait for people.", no_args_is_help=True)
Key = Annotated[str, typer.Argument(help="What pages name it by (Puzzel's queueKey).")]


@app.command("set")
def set_(
    key: Key,
    workspace: InWorkspace,
    name: Annotated[str | None, typer.Option(help="What people call it; the key if absent.")] = None,
    identified_only: Annotated[
        bool, typer.Option("--identified-only", help="Only for visitors who have proven who they are.")
    ] = False,
    hours: Annotated[
        list[str] | None, typer.Option(help="When it is open, as in `mon-fri 09:00-17:00`. Repeatable; else always.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="Whose clock that is, such as Europe/Oslo.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Make a queue, or say anew what it is."""

    async def act(desk: Desk) -> Queue:
        settings = QueueSettings(name or key, identified_only, queues.read_hours(hours or []), time_zone)
        return await queues.put(desk, workspace, key, settings)

    print_result(_shown(at_the_desk(act, as_json=as_json)), as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List a workspace's queues."""
    found = at_the_desk(lambda desk: queues.list_all(desk, workspace), as_json=as_json)
    columns = ("key", "name", "open", "identified_only", "hours", "time_zone")
    empty = "No queue yet. Make one: vestibule queue set KEY --workspace ID"
    print_list([_shown(queue) for queue in found], columns, as_json=as_json, empty=empty)


@app.command("remove")
def remove(key: Key, workspace: InWorkspace, as_json: Json = False) -> None:
    """Remove a queue. Its conversations stay."""
    at_the_desk(lambda desk: queues.remove(desk, workspace, key), as_json=as_json)
    print_result({"removed": key}, as_json=as_json)


def _shown(queue: Queue) -> dict[str, Value]:
    settings = queue.settings
    return {
        "key": queue.key,
        "workspace_id": queue.workspace_id,
        "name": settings.name,
        "open": is_open(settings, now_ms()),
        "identified_only": settings.identified_only,
        "hours": [queues.hours_text(hours) for hours in settings.hours],
        "time_zone": settings.time_zone,
    }
