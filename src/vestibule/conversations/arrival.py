"""Lets a visitor in who only says who they are, whichever wire they come by: a token that opens this device's chats; it
must not believe a word of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations.admission import Facts, Reason, admit_page, admit_unverified
from vestibule.conversations.visitor import remember_said
from vestibule.identity.unverified_id import unverified_contact_id
from vestibule.ids import new_id
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import Said

# What of a visitor's claims may travel in their token; a browser keeps it, and every request carries it.
_LONGEST_SAID = 1200
_ENCODER = msgspec.json.Encoder()


class Arrived(msgspec.Struct, frozen=True):
    """The token of this device, with what it can be ended under, and the contact that there will be once its visitor
    writes."""

    token: str
    token_id: str
    contact_id: str

    def __repr__(self) -> str:
        return f"Arrived({self.contact_id})"


async def admit(runtime: Runtime, workspace_id: str, address: str, origins: Sequence[bytes], facts: Facts) -> None:
    """Whether somebody may come in without proof. `address` is who is counted, `origins` are the page's, `facts` the
    request's. Raises DomainNotAllowed, AuthUnavailable, LoginRequired, RateLimited, StorageUnavailable."""
    await admit_page(runtime, workspace_id, origins)
    await admit_unverified(runtime, workspace_id, Reason.ARRIVE, facts)
    await runtime.rate_limiter.take(workspace_id, f"new_visitors:{address}", runtime.settings.rate_limit_new_visitors)


async def arrive(runtime: Runtime, workspace_id: str, said: Said) -> Arrived:
    """Lets in who was admitted. Stores nothing, unless what was said is too large to travel in the token. Raises
    NoSigningKey, StorageUnavailable."""
    contact_id, token_id = new_id(), new_id()
    if said.email is not None:
        contact_id = unverified_contact_id(await runtime.unverified_secret.get(), workspace_id, said.email)
    carried: Said | None = said if said != Said() else None
    if len(_ENCODER.encode(said)) > _LONGEST_SAID:
        await remember_said(runtime, workspace_id, contact_id, said)
        carried = None
    token = runtime.contact_tokens.issue_unverified(workspace_id, contact_id, carried, token_id=token_id)
    return Arrived(token, token_id, contact_id)
