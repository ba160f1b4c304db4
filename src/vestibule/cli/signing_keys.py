"""`vestibule signing-keys …`; prints, and leaves the rest to `administration.signing_keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration import signing_keys
from vestibule.administration.signing_keys import KeyReport
from vestibule.cli.opening import Json, at_the_desk, duration
from vestibule.cli.output import Value, members, print_list, print_result, rfc3339

app = typer.Typer(help="The keys that sign contact tokens.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all keys, oldest first."""
    items = [_shown(report) for report in at_the_desk(signing_keys.list_all, as_json=as_json)]
    columns = ("kid", "status", "created_at", "signs_from", "published_until", "withdrawn_at")
    print_list(items, columns, as_json=as_json, empty="No key yet; `vestibule serve` makes the first one.")


@app.command("rotate")
def rotate(
    lead: Annotated[
        str | None,
        typer.Option(help="How long it is published before it signs; the setting signing_key_lead if absent."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a key: published at once, signing later. The older keys stay until the last token they signed has ended."""
    lead_ms = duration(lead, as_json=as_json) if lead is not None else None

    made = at_the_desk(lambda desk: signing_keys.rotate(desk, lead_ms=lead_ms), as_json=as_json)
    print_result(_shown(made), as_json=as_json)


@app.command("retire")
def retire(kid: str, as_json: Json = False) -> None:
    """Withdraw a key at once, with every token it signed; if it was the one that signs, a new one takes over."""
    retired = at_the_desk(lambda desk: signing_keys.retire(desk, kid), as_json=as_json)
    print_result(_shown(retired), as_json=as_json)


def _shown(report: KeyReport) -> dict[str, Value]:
    return members(
        report,
        "kid algorithm status created_at signs_from published_until withdrawn_at",
        signs_from=rfc3339(report.signs_from),
        published_until=rfc3339(report.published_until),
    )
