"""The one way in: guard, verify, resolve, record, issue. A method supplies `verify` and cannot forget the rest; nothing
here knows a wire."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from vestibule import metrics
from vestibule.conversations.attach_identity import claim_proof
from vestibule.errors import InvalidGrant, InvalidProviderToken, WorkspaceDisabled
from vestibule.identity.matching import Decision, Outcome
from vestibule.ids import new_id
from vestibule.limits import Allowance
from vestibule.model.claims import Method, VerifiedClaims
from vestibule.model.contact import Contact
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import session_of
from vestibule.tokens.pending_identity import token_id_of
from vestibule.verification.method import VerificationMethod

Credential = TypeVar("Credential")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as far as limits go: `bucket` names what is counted, `per_minute` is how much of it."""

    workspace: Workspace
    bucket: str
    per_minute: int


class Authenticated(msgspec.Struct, frozen=True):
    """A visitor who is proven: their contact, what became of it, and the token that stands for them, for `life`
    seconds; under `token_id` it can be ended."""

    contact: Contact
    token: str
    token_id: str
    life: int
    outcome: Outcome
    fields: dict[str, str]


async def guard(runtime: Runtime, caller: Caller) -> Allowance:
    """What every attempt passes before its credential is looked into. Raises WorkspaceDisabled, RateLimited."""
    require_enabled(caller.workspace)
    return await runtime.rate_limiter.take(caller.workspace.id, caller.bucket, caller.per_minute)


def require_enabled(workspace: Workspace) -> None:
    """Raises WorkspaceDisabled."""
    if workspace.disabled_at is not None:
        raise WorkspaceDisabled(step="guard")


async def authenticate(
    runtime: Runtime, method: VerificationMethod[Credential], credential: Credential
) -> Authenticated:
    """Verifies the credential, finds or makes its contact and issues the contact's token.

    Raises what `prove` does, and NoSigningKey. No token exists unless the contact is stored.
    """
    claims, decision = await prove(runtime, method, credential)
    subject, token_id = claims.subject, new_id()
    life = runtime.contact_tokens.life(claims.token_until)
    token = runtime.contact_tokens.issue(
        claims.workspace_id,
        decision.contact.id,
        method=claims.method,
        auth_time_ms=claims.authenticated_at,
        life=life,
        token_id=token_id,
        session=session_of(subject.issuer, subject.session) if subject is not None else None,
    )
    return Authenticated(decision.contact, token, token_id, life, decision.outcome, decision.fields)


async def prove(
    runtime: Runtime, method: VerificationMethod[Credential], credential: Credential
) -> tuple[VerifiedClaims, Decision]:
    """Verifies the credential and finds or makes its contact. Nothing is stored unless the whole proof held.

    Raises what the method refuses with, and IdentityConflict, ContactBusy, StorageUnavailable."""
    claims = await method.verify(credential)
    subject = claims.subject
    if subject is not None and runtime.token_endings.is_over(
        claims.workspace_id, session_of(subject.issuer, subject.session)
    ):
        raise InvalidProviderToken(detail="its session at the provider has ended", step="session")
    decision = await runtime.resolver.resolve(claims)
    metrics.authentication(claims.method, decision.outcome)
    return claims, decision


async def redeem(
    runtime: Runtime, workspace_id: str, user_info_id: str, code_verifier: str, *, conversation: str, visitor: str
) -> Authenticated:
    """The second half of an exchange in two: whose proof it was, bound to conversation and visitor from now on, and the
    token that stands for them. Raises NoSigningKey, and what `claim_proof` does."""
    pending, contact = await claim_proof(
        runtime, workspace_id, user_info_id, code_verifier, conversation=conversation, visitor=visitor
    )
    token_id = token_id_of(user_info_id)
    # Nothing else leads from the end of the token back to the proof, which may be shown again.
    if runtime.token_endings.ended_by_itself(workspace_id, token_id):
        raise InvalidGrant(detail="its token has ended", step="contact")
    life = runtime.contact_tokens.life()
    token = runtime.contact_tokens.issue(
        workspace_id,
        contact.id,
        method=Method.TOKEN_EXCHANGE,
        auth_time_ms=pending.auth_time,
        life=life,
        token_id=token_id,
        session=session_of(pending.issuer, pending.provider_session),
    )
    return Authenticated(contact, token, token_id, life, Outcome.UNCHANGED, {})
