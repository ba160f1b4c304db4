"""The one way in: guard, verify, resolve, record, issue. A method supplies `verify` and cannot forget the rest; nothing
here knows a wire."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from vestibule.errors import InvalidGrant, WorkspaceDisabled
from vestibule.identity.matching import Outcome
from vestibule.limits import Allowance
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import session_of
from vestibule.verification.method import VerificationMethod

Credential = TypeVar("Credential")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as far as limits go: `bucket` names what is counted, `per_minute` is how much of it."""

    workspace: Workspace
    bucket: str
    per_minute: int


class Authenticated(msgspec.Struct, frozen=True):
    """A visitor who is proven: their contact, what became of it, and the token that stands for them."""

    contact: Contact
    token: str
    outcome: Outcome
    fields: dict[str, str]


async def guard(runtime: Runtime, caller: Caller) -> Allowance:
    """What every attempt passes before its credential is looked into. Raises WorkspaceDisabled, RateLimited."""
    if caller.workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="guard")
    return await runtime.rate_limiter.take(caller.workspace.id, caller.bucket, caller.per_minute)


async def authenticate(
    runtime: Runtime, method: VerificationMethod[Credential], credential: Credential
) -> Authenticated:
    """Verifies the credential, finds or makes its contact and issues the contact's token.

    Raises what the method refuses with, and ContactBusy, StorageUnavailable, NoSigningKey. Nothing is stored unless
    the whole proof held, and no token exists unless the contact is stored.
    """
    claims = await method.verify(credential)
    decision = await runtime.resolver.resolve(claims)
    subject = claims.subject
    token = runtime.contact_tokens.issue(
        claims.workspace_id,
        decision.contact.id,
        method=claims.method,
        auth_time_ms=claims.authenticated_at,
        session=session_of(subject.issuer, subject.session) if subject is not None else None,
    )
    return Authenticated(decision.contact, token, decision.outcome, decision.fields)


async def redeem(
    runtime: Runtime, workspace_id: str, user_info_id: str, code_verifier: str, *, conversation: str, visitor: str
) -> Authenticated:
    """The second half of an exchange in two: whose proof it was, bound to conversation and visitor from now on, and the
    token that stands for them. Raises InvalidGrant, StorageUnavailable, NoSigningKey."""
    pending = await runtime.pending_identities.claim(
        workspace_id, user_info_id, code_verifier, conversation=conversation, visitor=visitor
    )
    contact = await runtime.contacts.find_leading(workspace_id, pending.contact_id)
    if contact is None:
        raise InvalidGrant(detail="its contact is gone", step="contact")
    token = runtime.contact_tokens.issue(
        workspace_id,
        contact.id,
        method=Method.TOKEN_EXCHANGE,
        auth_time_ms=pending.auth_time,
        session=session_of(pending.issuer, pending.provider_session),
    )
    return Authenticated(contact, token, Outcome.UNCHANGED, {})
