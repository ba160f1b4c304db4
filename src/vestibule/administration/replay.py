"""Tells again how a recorded decision was come to: the checks that were passed, the one that was not, those that were
not reached; it must not decide anew, for no credential is kept."""

from __future__ import annotations

import msgspec

from vestibule import errors
from vestibule.administration import identity_providers
from vestibule.administration.desk import Desk
from vestibule.administration.dry_run import PLANS, Step
from vestibule.errors import NotFound
from vestibule.model.audit import REFUSED, AuditEntry, AuditKind, StoredEntry
from vestibule.model.claims import Method
from vestibule.model.identity_provider import IdentityProvider, TokenKind
from vestibule.storage import audit as rows

_BEFORE = ("limits", "page", "body")
_OTHERS = {
    Method.SERVER_TO_SERVER: ("known", "scope", "limits", "body", "contact"),
    Method.AUTH_ENDPOINT: ("limits", "page", "body", "call", "answer", "identity", "contact"),
    Method.UNVERIFIED: ("limits", "page", "login", "body"),
}
# Where a refusal stands among the checks, whatever the step within it was.
_BY_CODE: tuple[tuple[type[errors.VestibuleError], str], ...] = (
    (errors.RateLimited, "limits"),
    (errors.WorkspaceDisabled, "limits"),
    (errors.DomainNotAllowed, "page"),
    (errors.OriginNotAllowed, "page"),
    (errors.InsufficientScope, "scope"),
    (errors.InvalidApiKey, "known"),
    (errors.LoginRequired, "login"),
    (errors.IdentityConflict, "contact"),
    (errors.ContactBusy, "contact"),
    (errors.AuthUnavailable, "call"),
    (errors.AuthTimeout, "call"),
    (errors.AuthRejected, "answer"),
    (errors.AuthBadResponse, "answer"),
    (errors.AuthIdentityMissing, "identity"),
)
_CHECK_OF_CODE = {kind.code: check for kind, check in _BY_CODE}
_OF_THE_TOKEN = frozenset(
    kind.code
    for kind in (
        errors.InvalidProviderToken,
        errors.BoundTokenNotSupported,
        errors.EncryptedTokenNotSupported,
        errors.OpaqueTokenNotSupported,
        errors.ProviderRequired,
    )
)
_OF_THE_PROVIDER = frozenset(
    kind.code
    for kind in (
        errors.ProviderUnavailable,
        errors.UpstreamFailed,
        errors.UpstreamTimeout,
        errors.UpstreamTooLarge,
        errors.UpstreamRedirect,
        errors.UpstreamForbidden,
    )
)
# What says nothing about who asked: the database, the keys, the process. At which check it came up is not recorded.
_SERVICE = "service"
_OF_THE_SERVICE = frozenset(
    kind.code
    for kind in (
        errors.StorageUnavailable,
        errors.NoSigningKey,
        errors.CannotUnseal,
        errors.Stopping,
        errors.OutOfMemory,
        errors.VestibuleError,
    )
)
# Steps within a check.
_WITHIN = {"azp": "aud", "auth_time": "authentication", "acr": "authentication", "typ": "kind", "scp": "scope"}


class Replay(msgspec.Struct, frozen=True):
    """What was recorded, check by check. `failed` names the check; `provider` is as it is now, None where it was not
    recorded, or is gone. `kind` is how the debugger takes such a credential; empty: it takes none."""

    stored: StoredEntry
    steps: tuple[Step, ...]
    failed: str
    kind: str
    provider: IdentityProvider | None


async def read(desk: Desk, workspace_id: str, seq: int) -> Replay:
    """Raises NotFound, also where the entry decided nothing about a visitor."""
    found = await rows.chain(desk.store, workspace_id, after=seq - 1, to=seq, most=1)
    if not found or found[0].entry.kind is not AuditKind.AUTHENTICATION:
        raise NotFound("There is no such decision.")
    entry = found[0].entry
    providers = await identity_providers.list_all(desk, workspace_id)
    provider = next((each for each in providers if str(each.id) == entry.provider_id), None)
    steps = steps_of(entry, provider)
    failed = next((step.name for step in steps if step.passed is False), "")
    return Replay(found[0], steps, failed, _kind(entry, provider), provider)


def steps_of(entry: AuditEntry, provider: IdentityProvider | None) -> tuple[Step, ...]:
    """What became of each check, in their order."""
    plan = _plan(entry, provider)
    if entry.outcome != REFUSED:
        return tuple(Step(name, passed=True) for name in plan)
    check = _check(entry, plan)
    if check == _SERVICE:  # first: of no other check can it be said that it was passed
        plan = (check, *plan)
    elif check not in plan:  # such as userinfo, which not every provider is asked for: after what is always looked at
        at = plan.index("contact") if "contact" in plan else len(plan)
        plan = (*plan[:at], check, *plan[at:])
    at = plan.index(check)
    where = f"{entry.step}: " if entry.step and entry.step != check else ""
    failed = Step(check, passed=False, detail=f"{where}{entry.detail or entry.reason}")
    before = tuple(Step(name, passed=True) for name in plan[:at])
    return (*before, failed, *(Step(name, passed=None) for name in plan[at + 1 :]))


def _plan(entry: AuditEntry, provider: IdentityProvider | None) -> tuple[str, ...]:
    if entry.method == Method.TOKEN_EXCHANGE:
        return (*_BEFORE, *PLANS[_token_kind(entry, provider)])
    return next((plan for method, plan in _OTHERS.items() if method == entry.method), ("limits", "credential"))


def _token_kind(entry: AuditEntry, provider: IdentityProvider | None) -> TokenKind:
    """The first that the provider takes and that has such a step: which kind it was is not recorded."""
    taken: tuple[TokenKind, ...] = provider.accepts if provider is not None else tuple(TokenKind)
    step = _WITHIN.get(entry.step, entry.step)
    every: list[TokenKind] = [*taken, *TokenKind]
    for kind in every:
        if step in PLANS[kind]:
            return kind
    return taken[0] if taken else TokenKind.ID_TOKEN


def _check(entry: AuditEntry, plan: tuple[str, ...]) -> str:
    known = _SERVICE if entry.code in _OF_THE_SERVICE else _CHECK_OF_CODE.get(entry.code)
    if known is not None:
        return known
    step = _WITHIN.get(entry.step, entry.step)
    if entry.method != Method.TOKEN_EXCHANGE:
        return "body" if "body" in plan else "credential"
    if entry.code in _OF_THE_TOKEN:
        return step or "form"
    if entry.code in _OF_THE_PROVIDER:
        return step if step in plan else "keys" if "keys" in plan else "introspection"
    # Other things may not be there as well: a queue, say, that a proof was sent along to.
    return "provider" if entry.code == errors.NotFound.code and step == "provider" else "body"


def _kind(entry: AuditEntry, provider: IdentityProvider | None) -> str:
    if entry.method == Method.TOKEN_EXCHANGE:
        return "id_token" if _token_kind(entry, provider) is TokenKind.ID_TOKEN else "access_token"
    return {Method.AUTH_ENDPOINT.value: "user_token", Method.SERVER_TO_SERVER.value: "api_key"}.get(entry.method, "")
