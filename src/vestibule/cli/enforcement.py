"""`vestibule enforcement …`; prints, and leaves the rest to `administration.enforcement`."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from vestibule.administration import enforcement
from vestibule.cli.opening import InWorkspace, Json, at_the_desk, duration
from vestibule.cli.output import print_result, rfc3339
from vestibule.clock import now_ms
from vestibule.model.auth_endpoint import Enforcement

app = typer.Typer(help="Whether visitors without proof are let in.", no_args_is_help=True)


@app.command("show")
def show(
    workspace: InWorkspace,
    since: Annotated[str, typer.Option(help="How far back, such as 7d.")] = "24h",
    as_json: Json = False,
) -> None:
    """Show the step, and the requests that enforcing would refuse, by surface, origin and reason."""
    span = duration(since, as_json=as_json)
    found = at_the_desk(lambda desk: enforcement.preview(desk, workspace, since=now_ms() - span), as_json=as_json)
    items = [{**msgspec.structs.asdict(each), "last_hour": rfc3339(each.last_hour)} for each in found.items]
    shown = msgspec.to_builtins(found) | {"since": rfc3339(found.since), "until": rfc3339(found.until), "items": items}
    print_result(shown, as_json=as_json)


@app.command("set")
def set_(
    workspace: InWorkspace,
    step: Annotated[Enforcement, typer.Argument(help="observe, warn or enforce.")],
    as_json: Json = False,
) -> None:
    """Let visitors without proof in, announce that it ends, or refuse them."""
    now = at_the_desk(lambda desk: enforcement.change(desk, workspace, step), as_json=as_json)
    print_result({"step": now.value}, as_json=as_json)
