"""`vestibule api-key …`; prints, and leaves the rest to `administration.api_keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import api_keys
from vestibule.cli.opening import InWorkspace, Json, at_the_desk, duration
from vestibule.cli.output import Value, members, print_list, print_result, rfc3339
from vestibule.model.workspace import ApiKey, RateLimits, Scope

app = typer.Typer(help="Keys that customers' backends call with.", no_args_is_help=True)


@app.command("create")
def create(
    workspace: InWorkspace,
    scope: Annotated[list[str] | None, typer.Option(help=f"What it may do: {', '.join(Scope)}. Repeatable.")] = None,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires_in: Annotated[
        str | None, typer.Option(help="How long it is good, such as 90d; for ever if absent.")
    ] = None,
    rate_limit: Annotated[int | None, typer.Option(min=1, help="Requests a minute, standard endpoints.")] = None,
    streaming_rate_limit: Annotated[int | None, typer.Option(min=1, help="Likewise, streaming endpoints.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. Its text is shown now and never again."""
    lifetime = duration(expires_in, as_json=as_json) if expires_in is not None else None
    key, secret = at_the_desk(
        lambda desk: api_keys.create(
            desk,
            workspace,
            scopes=tuple(scope or [Scope.AUTHENTICATE]),
            name=name,
            lifetime_ms=lifetime,
            rate_limits=RateLimits(rate_limit, streaming_rate_limit),
        ),
        as_json=as_json,
    )
    print_result({"api_key": secret.text, **_shown(key)}, as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List a workspace's keys, with their last use and what replaced them."""
    reports = at_the_desk(lambda desk: api_keys.report(desk, workspace), as_json=as_json)
    items = [
        {
            **_shown(report.key),
            "state": report.state.value,
            "replaced_by": report.replaced_by,
            "used_since_replaced": report.used_since_replaced,
        }
        for report in reports
    ]
    columns = ("id", "hint", "name", "state", "scopes", "last_used_at", "ends_at", "used_since_replaced")
    print_list(items, columns, as_json=as_json, empty="No key yet. Make one: vestibule api-key create --workspace ID")


@app.command("rotate")
def rotate(
    key_id: str,
    workspace: InWorkspace,
    overlap: Annotated[str, typer.Option(help="How long the old key stays good.")] = "24h",
    as_json: Json = False,
) -> None:
    """Make a key that takes over from another one; both are good during the overlap."""
    overlap_ms = duration(overlap, as_json=as_json)
    key, secret = at_the_desk(
        lambda desk: api_keys.rotate(desk, workspace, key_id, overlap_ms=overlap_ms), as_json=as_json
    )
    print_result({"api_key": secret.text, **_shown(key)}, as_json=as_json)


@app.command("revoke")
def revoke(key_id: str, workspace: InWorkspace, as_json: Json = False) -> None:
    """End a key now; every worker refuses it within 5 seconds."""
    print_result(
        _shown(at_the_desk(lambda desk: api_keys.revoke(desk, workspace, key_id), as_json=as_json)), as_json=as_json
    )


def _shown(key: ApiKey) -> dict[str, Value]:
    ends = [time for time in (key.expires_at, key.revoked_at) if time is not None]
    return members(
        key,
        "id workspace_id name hint scopes rate_limits created_at expires_at revoked_at ends_at last_used_at replaces",
        rate_limits={"standard": key.rate_limits.standard, "streaming": key.rate_limits.streaming},
        ends_at=rfc3339(min(ends, default=None)),
    )
