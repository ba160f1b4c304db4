"""`vestibule webhook …`; prints, and leaves the rest to `administration.webhooks`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vestibule.administration import webhooks, workspaces
from vestibule.administration.desk import Desk
from vestibule.administration.webhooks import Changed
from vestibule.cli.opening import ForgetOldSecret, InWorkspace, Json, RotateSecret, at_the_desk, fail
from vestibule.cli.output import members, print_list, print_result, rfc3339
from vestibule.model.webhook import EventKind, EventNames, WebhookEndpoint

app = typer.Typer(help="Your servers, which are told of what happens.", no_args_is_help=True)
Endpoint = Annotated[str, typer.Argument(help="The endpoint's id.")]


@app.command("set")
def set_(
    workspace: InWorkspace,
    endpoint_id: Annotated[str | None, typer.Option("--id", help="The endpoint to change; without: a new one.")] = None,
    url: Annotated[str | None, typer.Option(help="Where to send events.")] = None,
    name: Annotated[str | None, typer.Option(help="What a workspace's file knows it by.")] = None,
    event: Annotated[
        list[EventKind] | None, typer.Option(help="What to send. Repeatable; replaces all. A new one has every event.")
    ] = None,
    names: Annotated[EventNames | None, typer.Option(help="Whose event names and body.")] = None,
    rotate_secret: RotateSecret = False,
    forget_old_secret: ForgetOldSecret = False,
    as_json: Json = False,
) -> None:
    """Make an endpoint, or change what is given. The signing secret is shown when it is made and never again."""

    async def act(desk: Desk) -> Changed:
        if endpoint_id is None:
            given_names = names or EventNames.VESTIBULE
            return await webhooks.add(
                desk, workspace, url or "", events=event or (), names=given_names, name=name or ""
            )
        return await webhooks.change(
            desk,
            workspace,
            endpoint_id,
            url=url,
            events=event or (),
            names=names,
            name=name,
            new_signing_secret=rotate_secret,
            one_secret=forget_old_secret,
        )

    if endpoint_id is None and url is None:
        fail("invalid_option", "a new endpoint needs --url", as_json=as_json, exit_code=2)
    done = at_the_desk(act, as_json=as_json)
    shown = _shown(done.endpoint)
    if done.secret is not None:
        shown["secret"] = done.secret
    print_result(shown, as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List a workspace's endpoints, and how many events wait for each or are dead letters."""
    found = at_the_desk(lambda desk: webhooks.list_all(desk, workspace), as_json=as_json)
    shown = [{**_shown(each.endpoint), "waiting": each.waiting, "dead": each.dead} for each in found]
    if not as_json:
        shown = [each | ({"events": "all"} if len(each["events"]) == len(EventKind) else {}) for each in shown]
    empty = "No webhook yet. Make one: vestibule webhook set --workspace ID --url URL"
    print_list(shown, ("id", "name", "url", "names", "events", "waiting", "dead"), as_json=as_json, empty=empty)


@app.command("remove")
def remove(endpoint_id: Endpoint, workspace: InWorkspace, as_json: Json = False) -> None:
    """Remove an endpoint, with everything that was still to be sent there."""
    at_the_desk(lambda desk: webhooks.remove(desk, workspace, endpoint_id), as_json=as_json)
    print_result({"removed": endpoint_id}, as_json=as_json)


@app.command("dead")
def dead(
    endpoint_id: Endpoint,
    workspace: InWorkspace,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the oldest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List an endpoint's dead letters: events that every try has failed to deliver."""
    found = at_the_desk(
        lambda desk: webhooks.undelivered(desk, workspace, endpoint_id, state=webhooks.DEAD, most=limit),
        as_json=as_json,
    )
    shown = [members(letter, "id kind at attempts died_at problem", at=rfc3339(letter.at)) for letter in found]
    print_list(shown, ("id", "kind", "at", "died_at", "problem"), as_json=as_json, empty="No dead letter.")


@app.command("replay")
def replay(
    endpoint_id: Endpoint,
    workspace: InWorkspace,
    event: Annotated[str, typer.Option(help="One dead letter's id; without: all.")] = "",
    as_json: Json = False,
) -> None:
    """Send dead letters again, under the same ids."""
    count = at_the_desk(lambda desk: webhooks.replay(desk, workspace, endpoint_id, event), as_json=as_json)
    print_result({"replayed": count}, as_json=as_json)


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return members(
        endpoint,
        "id workspace_id name url events names secrets created_at",
        url=workspaces.shown_url(endpoint.url),
        secrets=len(endpoint.secrets),
    )
