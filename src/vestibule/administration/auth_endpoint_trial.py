"""Tries a user token at a workspace's auth endpoint for an operator: what is sent, what comes back, what becomes of
each field, and the contact it would lead to; it must not write anything, and shows no secret and no token."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from vestibule.administration import auth_endpoint_rules, auth_endpoints
from vestibule.administration.desk import Desk
from vestibule.auth_endpoint.calls import AuthCalls
from vestibule.auth_endpoint.question import Question, redacted
from vestibule.auth_endpoint.user_token import usable
from vestibule.errors import AuthRejected, InvalidField, NotFound, VestibuleError
from vestibule.identity.matching import Decision, Outcome
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import VerifiedClaims
from vestibule.outbound.client import Outbound
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.verification.auth_endpoint import claims_of


class Attempt(msgspec.Struct, frozen=True):
    """One call. `status` 0: no answer came."""

    status: int
    milliseconds: int


class Sent(msgspec.Struct, frozen=True):
    """The request without its secrets."""

    url: str
    headers: dict[str, str]
    body: str


class AuthTrial(msgspec.Struct, frozen=True):
    """What came of a user token. `verdict` is accepted, rejected or could_not_tell; `error` is the code that a visitor
    would get, `step` and `detail` say why. `fields` tells of each member what would become of it; `contact_id` None: it
    would be a new one."""

    verdict: str
    request: Sent
    attempts: tuple[Attempt, ...]
    error: str | None = None
    step: str = ""
    detail: str = ""
    identity_method: str = ""
    profile: dict[str, Any] = {}
    keys: dict[str, str | None] = {}
    fields: dict[str, str] = {}
    outcome: str | None = None
    contact_id: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.error is None


async def try_at_desk(desk: Desk, workspace_id: str, token: str, fields: dict[str, str]) -> AuthTrial:
    """For the command line, which has nothing running. Raises NotFound, InvalidField."""
    outbound = Outbound(desk.settings.private_hosts, desk.settings.ca_file or None)
    try:
        return await try_by(AuthCalls(outbound), desk, workspace_id, token, fields)
    finally:
        await outbound.close()


async def try_by(calls: AuthCalls, desk: Desk, workspace_id: str, token: str, fields: dict[str, str]) -> AuthTrial:
    """By a server's own calls: what bounds them for visitors bounds them for trials as well. Raises NotFound,
    InvalidField."""
    settings = await auth_endpoints.read(desk, workspace_id)
    if not settings.url:
        raise NotFound("This workspace has no auth endpoint: vestibule auth-endpoint set.")
    found = usable(token)
    if found is None:
        raise InvalidField("user_token", "is none: empty, a placeholder, or over-long")
    secret = UnverifiedSecret(desk.store, desk.sealer)
    resolver = Resolver(desk.contacts, ProviderIdentities(desk.store, desk.contacts), secret)
    return await try_token(calls, resolver, Question(workspace_id, settings, found, fields))


async def try_token(calls: AuthCalls, resolver: Resolver, question: Question) -> AuthTrial:
    """The same path as a visitor's, up to the point where it would write, and without what is remembered."""
    attempts: list[Attempt] = []
    sent: dict[str, str] = {}

    def note(headers: dict[str, str], status: int, milliseconds: float) -> None:
        sent.update(headers)
        attempts.append(Attempt(status, round(milliseconds)))

    claims: VerifiedClaims | None = None
    decision: Decision | None = None
    failure: VestibuleError | None = None
    try:
        claims = claims_of(question, await calls.ask(question, note))
        decision = await resolver.preview(claims)
    except VestibuleError as error:
        failure = error
    trial = _trial(question, sent, attempts, failure)
    if claims is not None:
        trial = _with_claims(trial, claims)
    if decision is not None:
        new = decision.outcome is Outcome.CREATED
        trial = msgspec.structs.replace(
            trial,
            fields=decision.fields,
            outcome=decision.outcome.value,
            contact_id=None if new else decision.contact.id,
        )
    return trial


def _trial(
    question: Question, sent: dict[str, str], attempts: list[Attempt], failure: VestibuleError | None
) -> AuthTrial:
    headers, body = redacted(question, sent)
    verdict = "accepted"
    if failure is not None and failure.code != "identity_conflict":
        verdict = "rejected" if isinstance(failure, AuthRejected) else "could_not_tell"
    shown = auth_endpoints.shown(question.settings)
    return AuthTrial(
        verdict=verdict,
        request=Sent(shown["url"], headers, body.decode()),
        attempts=tuple(attempts),
        error=failure.code if failure is not None else None,
        step=failure.step if failure is not None else "",
        detail=failure.detail if failure is not None else "",
        identity_method=question.settings.identity_method.value,
        warnings=tuple(auth_endpoint_rules.warnings(question.settings)),
    )


def _with_claims(trial: AuthTrial, claims: VerifiedClaims) -> AuthTrial:
    profile = msgspec.structs.asdict(claims.profile)
    return msgspec.structs.replace(
        trial,
        profile={name: value for name, value in profile.items() if value is not UNSET},
        keys={"id": claims.external_id, "email": claims.email_key, "phone_number": claims.phone_key},
        fields=claims.notes,
    )
