"""The one way in: guard, verify, resolve, record, issue. A method supplies `verify` and cannot forget the rest; nothing
here knows a wire or a method."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from vestibule import metrics
from vestibule.errors import WorkspaceDisabled
from vestibule.identity.matching import Outcome
from vestibule.limits import Allowance
from vestibule.model.contact import Contact
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.verification.method import VerificationMethod

Credential = TypeVar("Credential")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, as far as limits go: `bucket` names what is counted, `per_minute` is how much of it."""

    workspace: Workspace
    bucket: str
    per_minute: int


class Authenticated(msgspec.Struct, frozen=True):
    """A visitor who is proven: their contact, what became of it, and the token that stands for them, for `life`
    seconds."""

    contact: Contact
    token: str
    life: int
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
    life = runtime.contact_tokens.life(claims.token_until)
    token = runtime.contact_tokens.issue(
        claims.workspace_id, decision.contact.id, method=claims.method, auth_time_ms=claims.proven_at, life=life
    )
    metrics.authentication(claims.method, decision.outcome)
    return Authenticated(decision.contact, token, life, decision.outcome, decision.fields)
