"""`vestibule action …`; prints, and leaves the rest to `administration.actions`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from vestibule.administration import actions
from vestibule.administration.action_file import read_action_file
from vestibule.administration.actions import Applied
from vestibule.administration.desk import Desk
from vestibule.cli.opening import InWorkspace, Json, at_the_desk, fail
from vestibule.cli.output import Value, print_list, print_result
from vestibule.errors import InvalidField
from vestibule.model.action import Action, MessageOverrides
from vestibule.responder.effective_request import Refusal, redacted

T = TypeVar("T")
app = typer.Typer(help="The HTTP operations that a workspace's responder may call.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The action's name.")]
_LARGEST_DOCUMENT = 16_777_216


@app.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="A TOML file with actions, policy and variables.")],
    workspace: InWorkspace,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the file does not declare.")] = False,
    as_json: Json = False,
) -> None:
    """Make a workspace's actions what a file declares; applying it again changes nothing."""

    async def act(desk: Desk) -> Applied:
        declared = read_action_file(file, os.environ, allow_http=bool(desk.settings.private_hosts))
        return await actions.apply(desk, workspace, declared, prune=prune)

    print_result(msgspec.structs.asdict(at_the_desk(act, as_json=as_json)), as_json=as_json)


@app.command("import")
def import_(
    document: Annotated[Path, typer.Argument(help="An OpenAPI 3 document, as JSON.")],
    workspace: InWorkspace,
    base_url: Annotated[str | None, typer.Option(help="Stands for the document's server.")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="Offer new actions to the responder at once.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    as_json: Json = False,
) -> None:
    """Make actions of an API's operations. They ask for verified contacts, and are disabled until you enable them."""
    try:
        content = document.read_bytes()[:_LARGEST_DOCUMENT]
    except OSError as error:
        fail("invalid_option", f"{document} cannot be read: {error.strerror}", as_json=as_json, exit_code=2)
    done = at_the_desk(
        lambda desk: actions.import_document(
            desk, workspace, content, base_url=base_url, enabled=enable, dry_run=dry_run
        ),
        as_json=as_json,
    )
    shown: dict[str, Value] = {"dry_run": dry_run}
    for name in ("created", "changed", "unchanged", "kept", "warnings"):
        shown[name] = getattr(done, name)
    print_result(shown, as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List a workspace's actions."""
    items = [
        {
            "name": action.name,
            "method": action.method,
            "url_template": action.url_template,
            "required_trust": action.required_trust.value,
            "enabled": action.enabled,
        }
        for action in at_the_desk(lambda desk: actions.list_all(desk, workspace), as_json=as_json)
    ]
    columns = ("name", "method", "url_template", "required_trust", "enabled")
    print_list(items, columns, as_json=as_json, empty="No action yet. Make some: vestibule action apply FILE.toml")


@app.command("show")
def show(name: Name, workspace: InWorkspace, as_json: Json = False) -> None:
    """Show an action as declared, with the workspace's policy and the names of its variables."""

    async def act(desk: Desk) -> dict[str, Value]:
        action = await actions.get(desk, workspace, name)
        policy = await actions.policy(desk, workspace)
        variables: dict[str, Value] = dict(await actions.variable_names(desk, workspace))
        form = action.name in policy.forms
        return {**_shown(action), "form": form, "policy": _plain(policy), "variables": variables}

    print_result(at_the_desk(act, as_json=as_json), as_json=as_json)


@app.command("enable")
def enable(name: Name, workspace: InWorkspace, as_json: Json = False) -> None:
    """Offer an action to the responder."""
    _enable(workspace, name, enabled=True, as_json=as_json)


@app.command("disable")
def disable(name: Name, workspace: InWorkspace, as_json: Json = False) -> None:
    """No longer offer an action to the responder."""
    _enable(workspace, name, enabled=False, as_json=as_json)


@app.command("remove")
def remove(name: Name, workspace: InWorkspace, as_json: Json = False) -> None:
    """Remove an action."""
    at_the_desk(lambda desk: actions.remove(desk, workspace, name), as_json=as_json)
    print_result({"removed": name}, as_json=as_json)


@app.command("request")
def request(
    name: Name,
    workspace: InWorkspace,
    contact: Annotated[str, typer.Option(help="The id of the contact for whom it would be called.")],
    arguments: Annotated[str, typer.Option(help="What the model would give, as a JSON object.")] = "{}",
    message_headers: Annotated[str, typer.Option(help="What the page would send as headers, as JSON.")] = "{}",
    message_query: Annotated[str, typer.Option(help="Likewise as query_params.")] = "{}",
    message_body: Annotated[str, typer.Option(help="Likewise as body_properties.")] = "{}",
    as_json: Json = False,
) -> None:
    """Show what a call would send, and where each value comes from. Secrets stay hidden, and nothing is sent. Exit
    code 1 if there would be no call."""

    async def act(desk: Desk) -> dict[str, Value]:
        message = MessageOverrides(
            headers=_json("message-headers", message_headers, dict[str, str]),
            query_params=_json("message-query", message_query, dict[str, str]),
            body_properties=_json("message-body", message_body, dict[str, Any]),
        )
        made = await actions.effective_request(
            desk, workspace, name, contact_id=contact, arguments=arguments, message=message
        )
        if isinstance(made, Refusal):
            return {"refused": made.code, "sentence": made.sentence}
        shown: dict[str, Value] = _plain(redacted(made))
        return shown

    found = at_the_desk(act, as_json=as_json)
    print_result(found, as_json=as_json)
    if "refused" in found:
        raise typer.Exit(1)


def _enable(workspace: str, name: str, *, enabled: bool, as_json: bool) -> None:
    changed = at_the_desk(lambda desk: actions.enable(desk, workspace, name, enabled=enabled), as_json=as_json)
    print_result({"name": changed.name, "enabled": changed.enabled}, as_json=as_json)


def _json(option: str, text: str, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=type_)
    except msgspec.DecodeError:
        raise InvalidField(f"--{option}", "must be a JSON object of texts") from None


def _shown(action: Action) -> dict[str, Value]:
    defaults: dict[str, Value] = {"timeout_ms": action.timeout_ms, "required_trust": action.required_trust.value}
    return {**defaults, "enabled": action.enabled, **_plain(action)}


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
