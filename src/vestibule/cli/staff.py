"""`vestibule staff …`; prints, and leaves the rest to `administration.staff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vestibule.administration import staff
from vestibule.administration.desk import Desk
from vestibule.cli.opening import InWorkspace, Json, at_the_desk, read_file
from vestibule.cli.output import Value, members, print_list, print_result
from vestibule.model.staff import Role, Staff

app = typer.Typer(help="People who sign in at the dashboard.", no_args_is_help=True)
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="A file that holds the password. Without it, a link is made at which they choose one, once."),
]
_ROLES = ", ".join(Role)


@app.command("add")
def add(
    email: str,
    workspace: InWorkspace,
    role: Annotated[str, typer.Option(help=f"What they may do: {_ROLES}.")] = Role.VIEWER.value,
    name: Annotated[str, typer.Option(help="What visitors see as the name of who answers.")] = "",
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Let somebody in. The link that is printed is good once, for a day."""
    password = _read(password_file, as_json=as_json)

    async def work(desk: Desk) -> tuple[Staff, str | None]:
        made = await staff.add(desk, workspace, email=email, name=name, role=role)
        if password is None:
            return made, await staff.invite(desk, workspace, made.id)
        return await _with_password(desk, made, password)

    _print(at_the_desk(work, as_json=as_json), as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List the staff of a workspace."""
    found = at_the_desk(lambda desk: staff.list_all(desk, workspace), as_json=as_json)
    columns = ("id", "email", "name", "role", "has_password", "signed_in_at", "disabled_at")
    empty = "Nobody yet. Let somebody in: vestibule staff add EMAIL --role owner --workspace ID"
    print_list([_shown(member) for member in found], columns, as_json=as_json, empty=empty)


@app.command("role")
def role_(staff_id: str, role: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """Change what somebody may do, from their next request on."""
    changed = at_the_desk(lambda desk: staff.set_role(desk, workspace, staff_id, role), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


@app.command("password")
def password_(staff_id: str, workspace: InWorkspace, password_file: PasswordFile = None, as_json: Json = False) -> None:
    """Print a link for another password, or set one. Setting it signs them out everywhere."""
    password = _read(password_file, as_json=as_json)

    async def work(desk: Desk) -> tuple[Staff, str | None]:
        return await _with_password(desk, await staff.get(desk, workspace, staff_id), password)

    _print(at_the_desk(work, as_json=as_json), as_json=as_json)


@app.command("disable")
def disable(staff_id: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """Shut somebody out at once, until they are enabled again."""
    work = at_the_desk(lambda desk: staff.set_disabled(desk, workspace, staff_id, disabled=True), as_json=as_json)
    print_result(_shown(work), as_json=as_json)


@app.command("enable")
def enable(staff_id: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """Undo `disable`; their password is the one they had."""
    work = at_the_desk(lambda desk: staff.set_disabled(desk, workspace, staff_id, disabled=False), as_json=as_json)
    print_result(_shown(work), as_json=as_json)


@app.command("sign-out")
def sign_out(staff_id: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """Sign somebody out in every browser."""
    work = at_the_desk(lambda desk: staff.end_sessions(desk, workspace, staff_id), as_json=as_json)
    print_result(_shown(work), as_json=as_json)


@app.command("remove")
def remove(staff_id: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """Shut somebody out at once."""
    removed = at_the_desk(lambda desk: staff.remove(desk, workspace, staff_id), as_json=as_json)
    print_result(_shown(removed), as_json=as_json)


async def _with_password(desk: Desk, member: Staff, password: str | None) -> tuple[Staff, str | None]:
    if password is None:
        return member, await staff.make_link(desk, member.workspace_id, member.id)
    return await staff.set_password(desk, member.workspace_id, member.id, password), None


def _read(path: Path | None, *, as_json: bool) -> str | None:
    return read_file(path, as_json=as_json).rstrip("\r\n") if path is not None else None


def _print(made: tuple[Staff, str | None], *, as_json: bool) -> None:
    member, link = made
    print_result({**({"link": link} if link is not None else {}), **_shown(member)}, as_json=as_json)


def _shown(member: Staff) -> dict[str, Value]:
    return members(member, "id workspace_id email name role has_password created_at signed_in_at disabled_at")
