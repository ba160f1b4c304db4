"""The bearer of a contact token inside conversations, and the contact row that they get when they need one; it must not
read a request."""

from __future__ import annotations

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.admission import Reason, admit_unverified
from vestibule.errors import InvalidContactToken, WorkspaceDisabled
from vestibule.model.claims import CustomData, Ground, Method
from vestibule.model.contact import Contact, Provenance
from vestibule.model.conversation import Trust
from vestibule.model.workspace import Retention
from vestibule.runtime import Runtime
from vestibule.storage.contacts import hold
from vestibule.storage.store import Work
from vestibule.tenancy import kept_for
from vestibule.tokens.contact_token import ContactClaims, Said

# An unverified contact's clock is wound again only when this much of it has run down, so not at every message.
_WIND_SHARE = 10


class Visitor(msgspec.Struct, frozen=True):
    """Who writes. `token_id` stands for the device of an unverified visitor; `session` is the provider's that the token
    came of, as `session_of` names it. Where one of `grounds` has ended, they are nobody any more."""

    workspace_id: str
    contact_id: str
    verified: bool
    token_id: str
    method: Method
    auth_time: int
    said: Said | None = None
    session: str | None = None
    grounds: tuple[Ground, ...] = ()

    @property
    def seat(self) -> str:
        """Whom limits count. Who has proven nothing is a device: whoever merely says the same e-mail has the same
        contact, and must not use up another's."""
        return self.contact_id if self.verified else self.token_id

    @property
    def trust(self) -> Trust:
        return Trust.VERIFIED if self.verified else Trust.UNVERIFIED


def visitor_of(claims: ContactClaims) -> Visitor:
    return Visitor(
        workspace_id=claims.org_id,
        contact_id=claims.sub,
        verified=claims.contact.verified,
        token_id=claims.jti,
        method=claims.method,
        auth_time=claims.auth_time,
        said=claims.said,
        session=claims.sid,
        grounds=(Ground(claims.sub, claims.jti, claims.iat * SECOND_MS),),
    )


async def recognise(runtime: Runtime, token: str) -> ContactClaims:
    """The claims of a token that is ours, in time, not ended, and of a workspace that is open. Raises
    InvalidContactToken, WorkspaceDisabled."""
    claims = await runtime.contact_tokens.check(token)
    runtime.token_endings.check(claims)
    await require_open(runtime, claims.org_id)
    return claims


async def require_open(runtime: Runtime, workspace_id: str) -> None:
    """Whether the workspace of a good token is there. Raises InvalidContactToken, WorkspaceDisabled."""
    workspace = await runtime.tenancy.by_id(workspace_id)
    if workspace is None:
        raise InvalidContactToken(detail="its workspace is gone", step="workspace")
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="workspace")


def unverified_contact(
    workspace_id: str, contact_id: str, said: Said | None, *, retention_ms: int, now: int
) -> Contact:
    """A contact of claims. No key is set: it can never be found by what its visitor typed (DESIGN rule 2.2)."""
    said = said or Said()
    origin = Provenance(Method.UNVERIFIED, now)
    custom: CustomData | None = said.custom_data or None
    names = {"name": said.name, "email": said.email, "non_verified_custom_data": custom}
    return Contact(
        workspace_id=workspace_id,
        id=contact_id,
        version=1,
        verified=False,
        created_at=now,
        updated_at=now,
        name=said.name,
        email=said.email,
        non_verified_custom_data=custom,
        provenance={name: origin for name, value in names.items() if value is not None},
        expires_at=now + retention_ms,
    )


async def ensure_contact(runtime: Runtime, visitor: Visitor) -> Contact:
    """The contact of a visitor who writes; an unverified one is made, or given more time. Raises InvalidContactToken
    where a verified one is gone, LoginRequired where there may be no unverified one."""
    if not visitor.verified:
        # Whatever the surface has looked at: what runs later, or by another way, does not write either.
        await admit_unverified(runtime, visitor.workspace_id, Reason.WRITE, {})
    found = await runtime.contacts.find_leading(visitor.workspace_id, visitor.contact_id)
    retention = await _retention(runtime, visitor.workspace_id)
    if found is None:
        if visitor.verified:
            raise InvalidContactToken(detail="its contact is gone", step="contact")
        fresh = _of(visitor, retention)
        await runtime.contacts.insert(fresh)
        return fresh
    if not found.verified and found.expires_at is not None:
        found = await _renew(runtime, visitor, found, retention)
        until = now_ms() + retention
        if found.expires_at is not None and found.expires_at < until - retention // _WIND_SHARE:
            await runtime.contacts.extend(found.workspace_id, found.id, until, until - retention // _WIND_SHARE)
    return found


def owner_of(visitor: Visitor, lead: Contact) -> str:
    """Whose it is that a visitor makes: the person's, of whom they are known to be. Somebody unverified is nobody but
    who their token says (visibility.py), whomever that was merged into."""
    return lead.id if visitor.verified else visitor.contact_id


def hold_owner(workspace_id: str, contact_id: str) -> Work[None]:
    """Before something of a contact is stored, in the same unit of work: it must not outlive an erasure that came in
    between. Raises InvalidContactToken."""
    if not (yield hold(workspace_id, contact_id)):
        raise InvalidContactToken(detail="its contact is gone", step="contact")


async def _retention(runtime: Runtime, workspace_id: str) -> int:
    workspace = await runtime.tenancy.by_id(workspace_id)
    own = workspace.retention if workspace is not None else Retention()
    return kept_for(runtime.settings, own).unverified_contacts


def _of(visitor: Visitor, retention_ms: int) -> Contact:
    now, said_at = now_ms(), visitor.auth_time * SECOND_MS
    contact = unverified_contact(
        visitor.workspace_id, visitor.contact_id, visitor.said, retention_ms=retention_ms, now=now
    )
    # Said when the token was made, which may be long before the first message.
    return msgspec.structs.replace(
        contact, provenance={name: Provenance(Method.UNVERIFIED, said_at) for name in contact.provenance}
    )


async def _renew(runtime: Runtime, visitor: Visitor, found: Contact, retention_ms: int) -> Contact:
    """The contact with what its visitor's page said last: a page that names its visitor does so on every load."""
    renewed = _with_said(found, _of(visitor, retention_ms)) if found.id == visitor.contact_id else None
    # A write that loses a race is lost: it was a claim, and the next message makes it again.
    return renewed if renewed is not None and await runtime.contacts.update(renewed) else found


def _with_said(found: Contact, said: Contact) -> Contact | None:
    """The contact with what `said` has that is other and not older; what it does not have stays, as an operator's
    correction does. None where that is nothing."""
    newer = {
        name: getattr(said, name)
        for name, origin in said.provenance.items()
        if getattr(said, name) != getattr(found, name)
        and (name not in found.provenance or found.provenance[name].at <= origin.at)
    }
    if not newer:
        return None
    provenance = found.provenance | {name: said.provenance[name] for name in newer}
    return msgspec.structs.replace(found, **newer, provenance=provenance, updated_at=now_ms())


async def remember_said(runtime: Runtime, workspace_id: str, contact_id: str, said: Said) -> None:
    """Stores claims that are too large to travel in a token."""
    now = now_ms()
    found = await runtime.contacts.find(workspace_id, contact_id)
    retention = await _retention(runtime, workspace_id)
    fresh = unverified_contact(workspace_id, contact_id, said, retention_ms=retention, now=now)
    if found is None:
        await runtime.contacts.insert(fresh)
    elif not found.verified and (renewed := _with_said(found, fresh)) is not None:
        # A write that loses a race is lost: it was a claim, and the next page load says it again.
        await runtime.contacts.update(msgspec.structs.replace(renewed, expires_at=fresh.expires_at))
