"""`vestibule contact …`; prints, and leaves the rest to `administration.contacts`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import contacts
from vestibule.cli.opening import InWorkspace, Json, at_the_desk
from vestibule.cli.output import Value, print_json, print_result, rfc3339
from vestibule.model.claims import HttpOverrides
from vestibule.model.contact import Contact

app = typer.Typer(help="People that a workspace knows.", no_args_is_help=True)
ContactId = Annotated[str, typer.Argument(help="The contact's id.")]


@app.command("show")
def show(
    contact: Annotated[str, typer.Argument(help="The contact's id or verified e-mail.")],
    workspace: InWorkspace,
    as_json: Json = False,
) -> None:
    """Show a contact, with where each value came from. Values of HTTP overrides stay hidden."""
    print_result(
        _shown(at_the_desk(lambda desk: contacts.find(desk, workspace, contact), as_json=as_json)), as_json=as_json
    )


@app.command("export")
def export(contact: ContactId, workspace: InWorkspace) -> None:
    """Print everything kept about a person as JSON, including contacts merged into theirs."""
    found = at_the_desk(lambda desk: contacts.export(desk, workspace, contact), as_json=True)
    print_json({"contact": _shown(found[0]), "merged": [_shown(other) for other in found[1:]]})


@app.command("erase")
def erase(
    contact: ContactId,
    workspace: InWorkspace,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a person and everything merged into theirs. This cannot be undone."""
    if not yes and not as_json:
        typer.confirm(f"Erase contact {contact}?", abort=True)
    erased = at_the_desk(lambda desk: contacts.erase(desk, workspace, contact), as_json=as_json)
    print_result({"erased": erased}, as_json=as_json)


@app.command("merge")
def merge(
    contact: ContactId,
    into: Annotated[str, typer.Argument(help="The id of the contact that stays.")],
    workspace: InWorkspace,
    as_json: Json = False,
) -> None:
    """Make one person of two; `unmerge` undoes it."""
    changed = at_the_desk(lambda desk: contacts.merge(desk, workspace, contact, into), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


@app.command("unmerge")
def unmerge(contact: ContactId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Undo a merge."""
    changed = at_the_desk(lambda desk: contacts.unmerge(desk, workspace, contact), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


def _shown(contact: Contact) -> dict[str, Value]:
    return {
        "id": contact.id,
        "workspace_id": contact.workspace_id,
        "verified": contact.verified,
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "avatar_url": contact.avatar_url,
        "language": contact.language,
        "custom_data": contact.custom_data or {},
        "chat_context": contact.chat_context,
        "http_action_overrides": _names(contact.http_action_overrides),
        "identities": {"email": contact.email_key, "phone": contact.phone_key, "external_id": contact.external_id},
        "provenance": {
            name: {"source": origin.source.value, "at": rfc3339(origin.at)}
            for name, origin in contact.provenance.items()
        },
        "created_at": rfc3339(contact.created_at),
        "updated_at": rfc3339(contact.updated_at),
        "merged_into": contact.merged_into,
    }


def _names(overrides: HttpOverrides | None) -> Value:
    """Names only: the values are mostly credentials."""
    if overrides is None:
        return None
    return {
        "query_params": sorted(overrides.query_params),
        "path_params": sorted(overrides.path_params),
        "body_params": sorted(overrides.body_params),
        "headers": sorted(overrides.headers),
    }
