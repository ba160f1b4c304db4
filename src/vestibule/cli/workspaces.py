"""`vestibule workspace …`; prints, and leaves the rest to `administration.workspaces`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.cli.opening import Json, at_the_desk, fail
from vestibule.cli.output import Value, print_list, print_result, rfc3339
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits, Workspace

app = typer.Typer(help="Customers' tenancies.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    customer_id: Annotated[
        str | None, typer.Option(help="Its public short name, at most 25 characters; made up if absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a workspace."""
    made = at_the_desk(lambda desk: workspaces.create(desk, name, customer_id=customer_id), as_json=as_json)
    print_result(_shown(made), as_json=as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all workspaces."""
    found = at_the_desk(workspaces.list_all, as_json=as_json)
    columns = ("workspace_id", "name", "customer_id", "created_at", "disabled_at")
    empty = "No workspace yet. Make one: vestibule workspace create NAME"
    print_list([_shown(workspace) for workspace in found], columns, as_json=as_json, empty=empty)


@app.command("show")
def show(workspace_id: str, as_json: Json = False) -> None:
    """Show one workspace."""
    print_result(_shown(at_the_desk(lambda desk: workspaces.get(desk, workspace_id), as_json=as_json)), as_json=as_json)


@app.command("limit")
def limit(
    workspace_id: str,
    standard: Annotated[int | None, typer.Option(min=1, help="Requests a minute per API key.")] = None,
    streaming: Annotated[int | None, typer.Option(min=1, help="Likewise on streaming endpoints.")] = None,
    as_json: Json = False,
) -> None:
    """Set the rate limits of a workspace's keys; without options, go back to the installation's."""
    limits = RateLimits(standard, streaming)
    changed = at_the_desk(lambda desk: workspaces.change(desk, workspace_id, rate_limits=limits), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


@app.command("addresses")
def addresses(
    workspace_id: str,
    allow: Annotated[list[str] | None, typer.Option(help="An address or CIDR network. Repeatable.")] = None,
    any_: Annotated[bool, typer.Option("--any", help="Allow everybody again.")] = False,
    as_json: Json = False,
) -> None:
    """Show, or say anew, from where visitor sessions may be asked for (`POST /connect/token`)."""
    if allow and any_:
        fail("invalid_option", "give --allow or --any, not both", as_json=as_json, exit_code=2)

    async def act(desk: Desk) -> VisitorSessionSettings:
        if allow or any_:
            return await workspaces.allow_addresses(desk, workspace_id, allow or [])
        return await workspaces.visitor_sessions(desk, workspace_id)

    settings = at_the_desk(act, as_json=as_json)
    print_result({"allowed_addresses": settings.allowed_addresses}, as_json=as_json)


@app.command("disable")
def disable(workspace_id: str, as_json: Json = False) -> None:
    """Refuse everything in this workspace's name, until it is enabled again."""
    changed = at_the_desk(lambda desk: workspaces.change(desk, workspace_id, disabled=True), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


@app.command("enable")
def enable(workspace_id: str, as_json: Json = False) -> None:
    """Undo `disable`."""
    changed = at_the_desk(lambda desk: workspaces.change(desk, workspace_id, disabled=False), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


def _shown(workspace: Workspace) -> dict[str, Value]:
    return {
        "workspace_id": workspace.id,
        "name": workspace.name,
        "customer_id": workspace.customer_id,
        "widget_token": workspace.widget_token,
        "rate_limits": {"standard": workspace.rate_limits.standard, "streaming": workspace.rate_limits.streaming},
        "created_at": rfc3339(workspace.created_at),
        "disabled_at": rfc3339(workspace.disabled_at),
    }
