"""Tries an API key, or a contact token, for an operator: each check in its order, and the contact it would lead to; it
must not write anything, not even that a key was used, and keeps neither."""

from __future__ import annotations

from vestibule.administration import dry_run, token_inspection
from vestibule.administration.desk import Desk
from vestibule.administration.dry_run import Step, Trial
from vestibule.clock import now_ms
from vestibule.errors import InsufficientScope, InvalidApiKey, InvalidContactToken, VestibuleError
from vestibule.identity.matching import Outcome
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import ProfileClaims
from vestibule.model.workspace import ApiKey
from vestibule.storage import api_keys as rows
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.tokens.api_key import fingerprint, workspace_of
from vestibule.verification.server_to_server import ServerToServer, Vouching

_OF_KEY = ("form", "workspace", "known", "good", "scope", "body", "contact")
# What a token itself tells, and what is stored about it: that is the workspace's alone.
_OF_TEXT, _OF_STORED = ("form", "header", "signature", "claims", "exp"), ("ended", "contact")
_OF_TOKEN = (*_OF_TEXT, "workspace", *_OF_STORED)


async def try_key(desk: Desk, workspace_id: str, text: str, email: str) -> Trial:
    """As a backend would call with it, for whoever has this e-mail. Of another workspace's key nothing is told but
    that it is one."""
    steps: list[Step] = []
    try:
        key = await _key(desk, workspace_id, text, steps)
        method = ServerToServer()
        method.admit(key)
        steps.append(Step("scope", passed=True, detail=", ".join(key.scopes)))
        claims = await method.verify(Vouching(key, ProfileClaims(email=email) if email else ProfileClaims()))
        steps.append(Step("body", passed=True))
        resolver = Resolver(
            desk.contacts, ProviderIdentities(desk.store, desk.contacts), UnverifiedSecret(desk.store, desk.sealer)
        )
        decision = await resolver.preview(claims)
    except VestibuleError as error:
        return _failed(steps, _OF_KEY, error)
    created = decision.outcome is Outcome.CREATED
    steps.append(Step("contact", passed=True, detail=decision.outcome.value))
    return Trial(
        passed=True,
        steps=tuple(steps),
        profile={"email": email},
        outcome=decision.outcome.value,
        contact_id=None if created else decision.contact.id,
        notes=decision.fields,
    )


async def _key(desk: Desk, workspace_id: str, text: str, steps: list[Step]) -> ApiKey:
    named = workspace_of(text)
    steps.append(Step("form", passed=True))
    if named != workspace_id:
        raise InvalidApiKey(detail="a key of another workspace", step="workspace")
    steps.append(Step("workspace", passed=True))
    found = await rows.find_by_hash(desk.store, workspace_id, fingerprint(text))
    if found is None:
        raise InvalidApiKey(detail="no key here reads so", step="known")
    key = found[0]
    steps.append(Step("known", passed=True, detail=f"{key.name or 'unnamed'} {key.hint}"))
    now = now_ms()
    if not key.usable_at(now):
        over = "it has run out" if key.expires_at is not None and key.expires_at <= now else "it was revoked"
        raise InvalidApiKey(detail=over, step="good")
    steps.append(Step("good", passed=True))
    return key


async def try_contact_token(desk: Desk, workspace_id: str, text: str) -> Trial:
    """As our own door reads it. Of another workspace's token nothing is told but that it is one."""
    found = await token_inspection.inspect(desk, text)
    failed = next((check for check in found.checks if not check["passed"]), None)
    name = str(failed["check"]) if failed is not None else ""
    if name in {"", *_OF_STORED} and found.claims.get("org_id") != workspace_id:
        before = [Step(each, passed=True) for each in _OF_TEXT]
        return _failed(before, _OF_TOKEN, InvalidContactToken(detail="another workspace's", step="workspace"))
    if failed is None:
        steps = tuple(Step(each, passed=True) for each in _OF_TOKEN)
        subject = str(found.claims.get("sub", ""))
        profile = {member: value for member, value in found.claims.items() if member != "sub"}
        return Trial(passed=True, steps=steps, subject=subject, profile=profile, contact_id=subject)
    passed = [Step(each, passed=True) for each in _OF_TOKEN[: _OF_TOKEN.index(name)]] if name in _OF_TOKEN else []
    return _failed(passed, _OF_TOKEN, InvalidContactToken(detail=str(failed["reason"]), step=name))


def _failed(passed: list[Step], plan: tuple[str, ...], error: VestibuleError) -> Trial:
    names = [step.name for step in passed]
    rest = [name for name in plan if name not in names]
    check = "scope" if isinstance(error, InsufficientScope) else error.step if error.step in rest else rest[0]
    later = rest[rest.index(check) + 1 :]
    failed = Step(check, passed=False, detail=error.detail or error.message)
    steps = (*passed, failed, *(Step(name, passed=None) for name in later))
    return dry_run.Trial(passed=False, steps=steps, error=error.code)
