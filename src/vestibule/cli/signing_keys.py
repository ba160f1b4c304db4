"""`vestibule signing-keys …`; prints, and leaves the rest to `tokens.signing_keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration.desk import Desk
from vestibule.cli.opening import Json, at_the_desk, duration
from vestibule.cli.output import Value, print_list, print_result, rfc3339
from vestibule.clock import now_ms
from vestibule.errors import NotFound
from vestibule.storage.signing_keys import SigningKeyRow, list_all
from vestibule.tokens import signing_keys

app = typer.Typer(help="The keys that sign contact tokens.", no_args_is_help=True)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all keys, oldest first."""
    items = at_the_desk(_all, as_json=as_json)
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

    async def act(desk: Desk) -> dict[str, Value]:
        settings = desk.settings
        lead = settings.signing_key_lead if lead_ms is None else lead_ms
        row = await signing_keys.rotate(
            desk.store, desk.sealer, lifetime_ms=settings.contact_token_lifetime, lead_ms=lead
        )
        return _shown(row, await list_all(desk.store))

    print_result(at_the_desk(act, as_json=as_json), as_json=as_json)


@app.command("retire")
def retire(kid: str, as_json: Json = False) -> None:
    """Withdraw a key at once, with every token it signed; if it was the one that signs, a new one takes over."""

    async def act(desk: Desk) -> dict[str, Value]:
        lifetime = desk.settings.contact_token_lifetime
        if not await signing_keys.withdraw(desk.store, desk.sealer, kid, lifetime_ms=lifetime):
            raise NotFound("There is no such signing key.")
        rows = await list_all(desk.store)
        return _shown(next(row for row in rows if row.id == kid), rows)

    print_result(at_the_desk(act, as_json=as_json), as_json=as_json)


async def _all(desk: Desk) -> list[dict[str, Value]]:
    rows = await list_all(desk.store)
    return [_shown(row, rows) for row in rows]


def _shown(row: SigningKeyRow, rows: list[SigningKeyRow]) -> dict[str, Value]:
    return {
        "kid": row.id,
        "algorithm": signing_keys.ALGORITHM,
        "status": signing_keys.status_of(row, rows, now_ms()).value,
        "created_at": rfc3339(row.created_at),
        "signs_from": rfc3339(row.signs_from),
        "published_until": rfc3339(row.last_expiry),
        "withdrawn_at": rfc3339(row.withdrawn_at),
    }
