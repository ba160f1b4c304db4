"""`/dashboard/debugger`: tries a token, and tells every check and why it failed; it must not write anything, nor show
the token again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule.administration import auth_endpoint_trial, auth_endpoints, dry_run, identity_providers
from vestibule.administration.auth_endpoint_trial import AuthTrial
from vestibule.administration.dry_run import Step, Trial
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard import words
from vestibule.surfaces.dashboard.seat import Seat, action, view

_KINDS = {"id_token": "ID token", "access_token": "Access token", "user_token": "User token (auth endpoint)"}
_LONGEST = 16_384


class Finding(msgspec.Struct, frozen=True):
    """What came of a token, of whichever kind."""

    passed: bool
    steps: tuple[Step, ...]
    error: str | None
    subject: str | None
    profile: dict[str, Any]
    notes: dict[str, str]
    outcome: str | None
    contact_id: str | None
    warnings: tuple[str, ...]


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, "/debugger", _ask, Role.ADMIN),
        action(runtime, "/debugger", _try, Role.ADMIN),
    ]


async def _ask(seat: Seat) -> Reply:
    return await _page(seat, None, "id_token", None)


async def _try(seat: Seat) -> Reply:
    token, kind = seat.text("token").strip(), seat.text("kind")
    if kind not in _KINDS:
        raise InvalidField("kind", f"must be one of {', '.join(_KINDS)}")
    if not token or len(token) > _LONGEST:
        raise InvalidField("token", f"must have 1 to {_LONGEST} characters")
    if kind == "user_token":
        tried = await auth_endpoint_trial.try_at_desk(seat.desk, seat.workspace_id, token, {})
        return await _page(seat, _of_endpoint(tried), kind, None)
    provider = _provider(seat.text("provider"))
    trial = await dry_run.try_at_desk(seat.desk, seat.workspace_id, provider_id=provider, **{kind: token})
    return await _page(seat, _of_provider(trial), kind, provider)


async def _page(seat: Seat, finding: Finding | None, kind: str, provider: int | None) -> Reply:
    match = None
    if finding is not None and finding.contact_id is not None:
        match = await seat.desk.contacts.find(seat.workspace_id, finding.contact_id)
    return seat.show(
        "debugger.html",
        finding=finding,
        kinds=_KINDS,
        kind=kind,
        provider=provider,
        providers=await identity_providers.list_all(seat.desk, seat.workspace_id),
        has_endpoint=bool((await auth_endpoints.read(seat.desk, seat.workspace_id)).url),
        match=match,
        match_name=words.name_of(match),
    )


def _of_provider(trial: Trial) -> Finding:
    return Finding(
        trial.passed,
        trial.steps,
        trial.error,
        trial.subject,
        trial.profile,
        trial.notes,
        trial.outcome,
        trial.contact_id,
        trial.warnings,
    )


def _of_endpoint(trial: AuthTrial) -> Finding:
    """A call has three ends, and they are its steps: an answer came, it says yes, it says who."""
    steps = [
        Step(f"call {number}", passed=attempt.status == 200, detail=_attempt(attempt.status, attempt.milliseconds))
        for number, attempt in enumerate(trial.attempts, 1)
    ]
    if trial.error is not None:
        steps.append(Step(trial.step or trial.verdict, passed=False, detail=trial.detail or words.plain(trial.error)))
        steps.append(Step("contact", passed=None))
    else:
        steps.append(Step("answer", passed=True, detail="the customer's server says whose it is"))
        steps.append(Step("contact", passed=True, detail=trial.outcome or ""))
    keys = {f"key: {name}": value for name, value in trial.keys.items() if value is not None}
    profile = {**keys, **trial.profile}
    error, warnings = trial.error, trial.warnings
    subject = trial.keys.get("id")
    return Finding(
        trial.passed, tuple(steps), error, subject, profile, trial.fields, trial.outcome, trial.contact_id, warnings
    )


def _attempt(status: int, milliseconds: int) -> str:
    return f"HTTP {status}, {milliseconds} ms" if status else f"no answer, {milliseconds} ms"


def _provider(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidField("provider", "must be the number of an identity provider")
    return int(text)
