"""`vestibule contact …`; prints, and leaves the rest to `administration.contacts`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from vestibule.administration import contact_export, contacts
from vestibule.administration.contact_export import Held
from vestibule.administration.desk import Desk
from vestibule.cli import conversations
from vestibule.cli.opening import InWorkspace, Json, at_the_desk
from vestibule.cli.output import Value, members, print_json, print_result, rfc3339
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
    """Print everything kept about a person as JSON, with sign-ins, chats and files, and contacts merged into theirs."""

    async def act(desk: Desk) -> list[dict[str, Value]]:
        return [_exported(*found) for found in await contact_export.gather(desk, workspace, contact)]

    first, *merged = at_the_desk(act, as_json=True)
    print_json({"contact": first, "merged": merged})


@app.command("sign-out")
def sign_out(
    contact: Annotated[str, typer.Argument(help="The contact's id or verified e-mail.")],
    workspace: InWorkspace,
    as_json: Json = False,
) -> None:
    """End every token of a person, on all devices; every worker refuses them within 5 seconds."""

    async def act(desk: Desk) -> list[str]:
        return await contacts.sign_out(desk, workspace, (await contacts.find(desk, workspace, contact)).id)

    print_result({"signed_out": at_the_desk(act, as_json=as_json)}, as_json=as_json)


@app.command("erase")
def erase(
    contact: ContactId,
    workspace: InWorkspace,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a person and everything merged into theirs, with chats and files. This cannot be undone."""
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
    """Undo a merge. If they are verified, both sign in anew."""
    changed = at_the_desk(lambda desk: contacts.unmerge(desk, workspace, contact), as_json=as_json)
    print_result(_shown(changed), as_json=as_json)


def _exported(contact: Contact, held: Held) -> dict[str, Value]:
    return {
        **_shown(contact),
        "provider_identities": [msgspec.structs.asdict(each) for each in held.provider_identities],
        "sign_ins": [{**msgspec.structs.asdict(each), "at": rfc3339(each.at)} for each in held.sign_ins],
        "conversations": [
            {
                **conversations.shown(thread),
                "title": thread.title,
                "checkpoint": thread.checkpoint,
                "messages": [conversations.message_shown(message) for message in messages],
            }
            for thread, messages in held.conversations
        ],
        "files": [members(file, "id name media_type size created_at") for file in held.files],
    }


def _shown(contact: Contact) -> dict[str, Value]:
    return members(
        contact,
        "id workspace_id verified name email phone phone_e164 avatar_url language custom_data non_verified_custom_data"
        " labels chat_context http_action_overrides identities provenance created_at updated_at merged_into",
        custom_data=contact.custom_data or {},
        non_verified_custom_data=contact.non_verified_custom_data or {},
        labels=contact.labels or (),
        http_action_overrides=_names(contact.http_action_overrides),
        identities={"email": contact.email_key, "phone": contact.phone_key, "external_id": contact.external_id},
        provenance={
            name: {"source": origin.source.value, "at": rfc3339(origin.at)}
            for name, origin in contact.provenance.items()
        },
    )


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
