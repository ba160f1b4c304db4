"""`vestibule admin-key …`; prints, and leaves the rest to `administration.admin_keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import admin_keys
from vestibule.cli.opening import Json, at_the_desk, duration
from vestibule.cli.output import Value, members, print_list, print_result
from vestibule.model.audit import INSTALLATION
from vestibule.model.workspace import AdminKey, AdminScope

app = typer.Typer(help="Keys that open the admin API.", no_args_is_help=True)
OfWorkspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The one workspace it is for; the whole installation if absent.")
]


@app.command("create")
def create(
    workspace: OfWorkspace = None,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What it may do: {', '.join(AdminScope)}. Repeatable; both if absent.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_in: Annotated[str, typer.Option(help="How long it is good.")] = "90d",
    as_json: Json = False,
) -> None:
    """Make a key. Its text is shown now and never again."""
    lifetime = duration(expires_in, as_json=as_json)
    scopes = tuple(scope or AdminScope)
    key, secret = at_the_desk(
        lambda desk: admin_keys.create(desk, workspace, scopes=scopes, name=name, lifetime_ms=lifetime),
        as_json=as_json,
    )
    print_result({"admin_key": secret.text, **_shown(key)}, as_json=as_json)


@app.command("list")
def list_(workspace: OfWorkspace = None, as_json: Json = False) -> None:
    """List the keys of a workspace, or those of the installation."""
    found = at_the_desk(lambda desk: admin_keys.list_all(desk, workspace), as_json=as_json)
    columns = ("id", "hint", "name", "scopes", "last_used_at", "expires_at", "revoked_at")
    empty = "No admin key yet. Make one: vestibule admin-key create"
    print_list([_shown(key) for key in found], columns, as_json=as_json, empty=empty)


@app.command("revoke")
def revoke(key_id: str, workspace: OfWorkspace = None, as_json: Json = False) -> None:
    """End a key at once."""
    ended = at_the_desk(lambda desk: admin_keys.revoke(desk, workspace, key_id), as_json=as_json)
    print_result(_shown(ended), as_json=as_json)


def _shown(key: AdminKey) -> dict[str, Value]:
    return members(
        key,
        "id workspace_id name hint scopes created_at expires_at revoked_at last_used_at",
        workspace_id=key.workspace_id if key.workspace_id != INSTALLATION else None,
    )
