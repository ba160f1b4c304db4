"""`vestibule workspace …`; prints, and leaves the rest to `administration.workspaces`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from vestibule.administration import workspace_apply, workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.workspace_apply import Outcome
from vestibule.administration.workspace_file import read_workspace_file
from vestibule.cli.opening import Json, at_the_desk, duration, fail
from vestibule.cli.output import Value, print_list, print_result, rfc3339, shortened
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits, Retention, Workspace
from vestibule.times import span_text

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


@app.command("retention")
def retention(
    workspace_id: str,
    unverified_contacts: Annotated[
        str | None, typer.Option(help="Of unverified contacts, since somebody wrote; such as 30d.")
    ] = None,
    closed_conversations: Annotated[
        str | None, typer.Option(help="Of closed conversations; 0s: as long as the contact.")
    ] = None,
    audit: Annotated[str | None, typer.Option(help="Of the audit and the counts.")] = None,
    as_json: Json = False,
) -> None:
    """Say how long a workspace keeps what it has; what is left out goes back to the installation's."""
    given = {"unverified_contacts": unverified_contacts, "closed_conversations": closed_conversations, "audit": audit}
    spans = {name: duration(text, as_json=as_json) for name, text in given.items() if text is not None}
    wanted = Retention(**spans)
    changed = at_the_desk(lambda desk: workspaces.change(desk, workspace_id, retention=wanted), as_json=as_json)
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


File = Annotated[Path, typer.Argument(help="The TOML file that declares it.")]
Which = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The workspace's id, if the file has no customer_id.")
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Remove what the file does not mention; staff are disabled, API keys stay.")
]


@app.command("apply")
def apply(file: File, workspace: Which = None, prune: Prune = False, as_json: Json = False) -> None:
    """Make a workspace what a file declares; applying it again changes nothing. Keys that are made are shown once."""
    _print_outcome(_apply(file, workspace, prune=prune, dry_run=False, as_json=as_json), as_json=as_json)


@app.command("diff")
def diff(file: File, workspace: Which = None, prune: Prune = False, as_json: Json = False) -> None:
    """Tell what `apply` would change, and change nothing; exit code 1 if there is something."""
    outcome = _apply(file, workspace, prune=prune, dry_run=True, as_json=as_json)
    _print_outcome(outcome, as_json=as_json)
    if outcome.differences:
        raise typer.Exit(1)


@app.command("export")
def export(
    workspace_id: str,
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output if absent.")] = None,
) -> None:
    """Write a workspace down as a file that declares it; a reference stands for each secret."""
    text = at_the_desk(lambda desk: workspace_apply.export(desk, workspace_id), as_json=False)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        with output.open("x", encoding="utf-8") as target:
            target.write(text)
    except OSError as error:
        fail("invalid_option", f"{output} cannot be written: {error.strerror}", as_json=False, exit_code=2)


def _apply(file: Path, workspace: str | None, *, prune: bool, dry_run: bool, as_json: bool) -> Outcome:
    async def act(desk: Desk) -> Outcome:
        declared = read_workspace_file(desk, file, os.environ)
        return await workspace_apply.apply(desk, declared, workspace_id=workspace, prune=prune, dry_run=dry_run)

    return at_the_desk(act, as_json=as_json)


def _print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_result(msgspec.to_builtins(outcome), as_json=True)
        return
    differences: list[dict[str, Value]] = [
        {"place": each.place, "before": shortened(each.before), "after": shortened(each.after)}
        for each in outcome.differences
    ]
    print_list(differences, ("place", "before", "after"), as_json=False, empty="Nothing differs.")
    shown: dict[str, Value] = {"workspace_id": outcome.workspace_id, "created": outcome.created}
    print_result({**shown, "kept": outcome.kept, **outcome.made}, as_json=False)


def _shown(workspace: Workspace) -> dict[str, Value]:
    return {
        "workspace_id": workspace.id,
        "name": workspace.name,
        "customer_id": workspace.customer_id,
        "widget_token": workspace.widget_token,
        "rate_limits": {"standard": workspace.rate_limits.standard, "streaming": workspace.rate_limits.streaming},
        "retention": {
            name: span_text(value) if (value := getattr(workspace.retention, name)) is not None else None
            for name in Retention.__struct_fields__
        },
        "created_at": rfc3339(workspace.created_at),
        "disabled_at": rfc3339(workspace.disabled_at),
    }
