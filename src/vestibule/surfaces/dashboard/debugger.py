"""`/dashboard/debugger`: tries a token, or tells again how one was refused: every check, why it failed, what helps; it
must not write anything, nor show the token again."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.administration import auth_endpoint_trial, auth_endpoints, dry_run, identity_providers, key_trial, replay
from vestibule.administration.auth_endpoint_trial import AuthTrial
from vestibule.administration.dry_run import Step, Trial
from vestibule.administration.replay import Replay
from vestibule.clock import now_ms
from vestibule.conversations.opening import list_conversations
from vestibule.conversations.visitor import Visitor
from vestibule.edge.http import Reply
from vestibule.edge.parameters import choice, number
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField
from vestibule.model.claims import Method
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard import words
from vestibule.surfaces.dashboard.seat import Seat, action, view

_KINDS = {
    "id_token": "ID token",
    "access_token": "Access token",
    "user_token": "User token (auth endpoint)",
    "api_key": "API key (server to server)",
    "contact_token": "Contact token (ours)",
}
_LONGEST = 16_384
_SHOWN_CHATS = 10


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        view(runtime, "/debugger", _ask, Role.ADMIN),
        action(runtime, "/debugger", _try, Role.ADMIN),
    ]


async def _ask(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    seq = number(seat.request, "entry", default=0)
    recorded = await replay.read(seat.desk, seat.workspace_id, seq) if seq else None
    kind = choice(seat.request, "kind", tuple(_KINDS)) or (recorded.kind if recorded is not None else "")
    provider = recorded.provider.id if recorded is not None and recorded.provider is not None else None
    return await _page(seat, None, kind or "id_token", provider, recorded)


async def _try(seat: Seat) -> Reply:
    token, kind = seat.text("token").strip(), seat.text("kind")
    if kind not in _KINDS:
        raise InvalidField("kind", f"must be one of {', '.join(_KINDS)}")
    if not token or len(token) > _LONGEST:
        raise InvalidField("token", f"must have 1 to {_LONGEST} characters")
    provider = _provider(seat.text("provider"))
    return await _page(seat, await _finding(seat, kind, token, provider), kind, provider)


async def _finding(seat: Seat, kind: str, token: str, provider: int | None) -> Trial:
    desk, workspace_id = seat.desk, seat.workspace_id
    if kind == "user_token":
        calls = seat.runtime.auth_endpoint.calls
        return _of_endpoint(await auth_endpoint_trial.try_by(calls, desk, workspace_id, token, {}))
    if kind == "api_key":
        return await key_trial.try_key(desk, workspace_id, token, seat.text("email").strip())
    if kind == "contact_token":
        return await key_trial.try_contact_token(desk, workspace_id, token)
    exchange = seat.runtime.token_exchange
    return await dry_run.try_by(exchange, desk, workspace_id, provider_id=provider, **{kind: token})


async def _page(
    seat: Seat, finding: Trial | None, kind: str, provider: int | None, recorded: Replay | None = None
) -> Reply:
    match = None
    if finding is not None and finding.contact_id is not None:
        match = await seat.desk.contacts.find_leading(seat.workspace_id, finding.contact_id)
        if match is not None and match.verified and _is_unproven(finding):
            match = words.as_claimed(match)
    return seat.show(
        "debugger.html",
        finding=finding,
        recorded=recorded,
        kinds=_KINDS,
        kind=kind,
        provider=provider,
        providers=await identity_providers.list_all(seat.desk, seat.workspace_id),
        has_endpoint=bool((await auth_endpoints.read(seat.desk, seat.workspace_id)).url),
        match=match,
        match_name=words.name_of(match),
        chats=await _chats(seat, match) if match is not None else [],
    )


def _is_unproven(finding: Trial) -> bool:
    """Of a contact token that says so: the contact may be a proven person's by now, and its bearer is not."""
    said = finding.profile.get("contact")
    return isinstance(said, dict) and said.get("verified") is False


async def _chats(seat: Seat, contact: Contact) -> list[Conversation]:
    """What a visitor with this proof would be shown, by the way that a visitor's own list is made."""
    visitor = Visitor(seat.workspace_id, contact.id, contact.verified, "", Method.TOKEN_EXCHANGE, now_ms())
    if not contact.verified:
        return []  # an unverified visitor's are their device's, and a token pasted here is on none
    found, _ = await list_conversations(seat.runtime, visitor, scope=None, most=_SHOWN_CHATS)
    return found


def _of_endpoint(trial: AuthTrial) -> Trial:
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
    return Trial(
        passed=trial.passed,
        steps=tuple(steps),
        error=trial.error,
        subject=trial.keys.get("id"),
        profile=profile,
        notes=trial.fields,
        outcome=trial.outcome,
        contact_id=trial.contact_id,
        warnings=trial.warnings,
    )


def _attempt(status: int, milliseconds: int) -> str:
    return f"HTTP {status}, {milliseconds} ms" if status else f"no answer, {milliseconds} ms"


def _provider(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidField("provider", "must be the number of an identity provider")
    return int(text)
