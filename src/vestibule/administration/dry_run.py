"""Tries a provider's token for an operator: every step, which one failed and why, the claims as mapped and the contact
they would lead to; it must not write anything, and keeps no part of the token."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from vestibule.administration import identity_providers, provider_rules
from vestibule.administration.desk import Desk
from vestibule.errors import InvalidProviderToken, VestibuleError
from vestibule.identity.matching import Outcome
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import VerifiedClaims
from vestibule.model.identity_provider import TokenKind
from vestibule.oidc import access_token, id_token, introspection
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import Reading, TokenReader
from vestibule.outbound.client import Outbound
from vestibule.storage import spent_tokens, token_endings
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.store import Store
from vestibule.tokens.contact_token import session_of
from vestibule.verification.token_exchange import ProviderToken, TokenExchange, claims_of

_JWT = ("provider", "form", "algorithm", "keys", "key", "signature")
_END = ("subject", "mapping", "session", "single_use", "contact")
PLANS = {
    TokenKind.ID_TOKEN: (*_JWT, *(name for name, _ in id_token.RULES), *_END),
    TokenKind.JWT_ACCESS_TOKEN: (*_JWT, *(name for name, _ in access_token.RULES), *_END),
    TokenKind.OPAQUE_ACCESS_TOKEN: (
        "provider",
        "form",
        "introspection",
        *(name for name, _ in introspection.RULES),
        *_END,
    ),
}


class Step(msgspec.Struct, frozen=True):
    """`passed` None: not reached, because an earlier one failed."""

    name: str
    passed: bool | None
    detail: str = ""


class Trial(msgspec.Struct, frozen=True):
    """What came of a token. `contact_id` None: it would be a new one. `error` is the code that the caller would get."""

    passed: bool
    steps: tuple[Step, ...]
    error: str | None = None
    provider_id: int | None = None
    kind: str | None = None
    subject: str | None = None
    profile: dict[str, Any] = {}
    email_is_key: bool = False
    notes: dict[str, str] = {}
    outcome: str | None = None
    contact_id: str | None = None
    warnings: tuple[str, ...] = ()


async def try_at_desk(
    desk: Desk,
    workspace_id: str,
    *,
    provider_id: int | None = None,
    access_token: str | None = None,
    id_token: str | None = None,
) -> Trial:
    """For the command line, which has nothing running. Raises NotFound for a workspace that does not exist."""
    outbound = Outbound(desk.settings.private_hosts, desk.settings.ca_file or None)
    exchange = TokenExchange(TokenReader(outbound, ProviderKeys(outbound)))
    try:
        return await try_by(
            exchange, desk, workspace_id, provider_id=provider_id, access_token=access_token, id_token=id_token
        )
    finally:
        await outbound.close()


async def try_by(
    exchange: TokenExchange,
    desk: Desk,
    workspace_id: str,
    *,
    provider_id: int | None = None,
    access_token: str | None = None,
    id_token: str | None = None,
) -> Trial:
    """By a server's own exchange: what bounds calls for visitors bounds them for trials as well. Raises NotFound for a
    workspace that does not exist."""
    providers = await identity_providers.list_all(desk, workspace_id)
    resolver = Resolver(desk.contacts, ProviderIdentities(desk.store, desk.contacts))
    credential = ProviderToken(workspace_id, providers, provider_id, access_token, id_token)
    return await _try_token(exchange, resolver, desk.store, credential)


async def _try_token(exchange: TokenExchange, resolver: Resolver, store: Store, credential: ProviderToken) -> Trial:
    """The same path as a visitor's, up to the point where it would write."""
    steps: list[Step] = []
    reading: Reading | None = None
    claims: VerifiedClaims | None = None
    try:
        reading = await exchange.read(credential, lambda name, detail: _note(steps, name, detail))
        claims = claims_of(credential.workspace_id, reading)
        steps.append(Step("mapping", passed=True, detail=_fates(claims.notes)))
        await _look_back(store, claims, steps)
        decision = await resolver.preview(claims)
    except VestibuleError as error:
        return _trial(_with_failure(steps, error, credential), reading, claims, error=error.code)
    created = decision.outcome is Outcome.CREATED
    steps.append(Step("contact", passed=True, detail=decision.outcome.value))
    trial = _trial(steps, reading, claims)
    return msgspec.structs.replace(
        trial,
        outcome=decision.outcome.value,
        contact_id=None if created else decision.contact.id,
        notes=decision.fields,
    )


async def _look_back(store: Store, claims: VerifiedClaims, steps: list[Step]) -> None:
    """What `authenticate.prove` asks beyond the token itself. By the rows, as nothing runs at a command's desk; and
    without spending the token. Raises InvalidProviderToken."""
    subject = claims.subject
    session = session_of(subject.issuer, subject.session) if subject is not None else None
    if session is not None and await token_endings.is_session_over(store, claims.workspace_id, session):
        raise InvalidProviderToken(detail="its session at the provider has ended", step="session")
    steps.append(Step("session", passed=True, detail="" if session is not None else "the token names none"))
    once = subject.once if subject is not None else None
    if once is not None and await spent_tokens.is_spent(store, claims.workspace_id, once):
        raise InvalidProviderToken(detail="used before, and its provider's tokens are good once", step="single_use")
    steps.append(Step("single_use", passed=True, detail="" if once is not None else "good more than once"))


def _note(steps: list[Step], name: str, detail: str) -> None:
    if name == "provider" and steps:
        # The one before said that the token is for another audience, or of another kind: its steps are no news.
        steps.clear()
    steps.append(Step(name, passed=True, detail=detail))


def _with_failure(steps: list[Step], error: VestibuleError, credential: ProviderToken) -> list[Step]:
    """The steps that were passed, the one that was not, and those that were not reached."""
    passed = [step.name for step in steps]
    kind = _kind(steps, credential)
    rest = [name for name in PLANS[kind] if name not in passed]
    where = f"{error.step}: " if error.step and error.step != (rest or [""])[0] else ""
    failed = Step(rest[0] if rest else error.step, passed=False, detail=f"{where}{error.detail or error.message}")
    return [*steps, failed, *(Step(name, passed=None) for name in rest[1:])]


def _kind(steps: list[Step], credential: ProviderToken) -> TokenKind:
    if steps:
        return TokenKind(steps[0].detail.rpartition(": ")[2])
    return TokenKind.ID_TOKEN if credential.id_token is not None else TokenKind.OPAQUE_ACCESS_TOKEN


def _trial(
    steps: list[Step], reading: Reading | None, claims: VerifiedClaims | None, *, error: str | None = None
) -> Trial:
    trial = Trial(passed=error is None, steps=tuple(steps), error=error)
    if reading is not None:
        trial = msgspec.structs.replace(
            trial,
            provider_id=reading.provider.id,
            kind=reading.kind.value,
            subject=reading.subject,
            warnings=tuple(provider_rules.warnings(reading.provider)),
        )
    if claims is not None:
        profile = msgspec.structs.asdict(claims.profile)
        trial = msgspec.structs.replace(
            trial,
            profile={name: value for name, value in profile.items() if value is not UNSET},
            email_is_key=claims.email_key is not None,
            notes=claims.notes,
        )
    return trial


def _fates(notes: dict[str, str]) -> str:
    return "; ".join(f"{name} {fate}" for name, fate in notes.items())
