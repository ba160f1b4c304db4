"""What several wires do alike where a visitor comes in: lets in who says who they are, and notes for the audit who it
was; it must not decide who may."""

from __future__ import annotations

from collections.abc import Callable

from vestibule.authenticate import Authenticated
from vestibule.conversations.arrival import Arrived, admit, arrive
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.model.claims import Method
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import Said


async def let_in(runtime: Runtime, request: Request, workspace_id: str, said: Callable[[], Said]) -> Arrived:
    """A visitor by their own word, which is read once they may come in: who may not is told so, whatever their form
    lacks. Raises what `admit`, `said` and `arrive` do."""
    address = address_bucket(client_address(request, runtime.settings.trusted_proxies))
    await admit(runtime, workspace_id, address, request.headers(b"origin"), request.facts)
    arrived = await arrive(runtime, workspace_id, said())
    note_unproven(request, arrived.contact_id, arrived.token_id)
    return arrived


def note_unproven(request: Request, contact_id: str, token_id: str) -> None:
    request.facts |= {"method": Method.UNVERIFIED.value, "contact": contact_id, "token_id": token_id}


def note_proven(request: Request, method: Method, done: Authenticated) -> None:
    """Also what became of the fields that were not taken as they came."""
    noted = {name: fate for name, fate in done.fields.items() if fate not in {"accepted", "cleared"}}
    if noted:
        request.facts["fields"] = "; ".join(f"{name} {fate}" for name, fate in noted.items())
    request.facts |= {"method": method.value, "outcome": done.outcome.value}
    request.facts |= {"contact": done.contact.id, "token_id": done.token_id}
