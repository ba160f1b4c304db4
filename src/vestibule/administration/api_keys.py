"""Makes, rotates and ends API keys, and tells which are still in use; it never sees a stored secret."""

from __future__ import annotations

import enum

import msgspec

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import InvalidField, NotFound
from vestibule.ids import new_id
from vestibule.model.workspace import ApiKey, RateLimits, Scope
from vestibule.storage import api_keys as rows
from vestibule.tokens.api_key import NewApiKey, generate

_LONGEST_NAME = 100


class KeyState(enum.StrEnum):
    ACTIVE = "active"
    ENDING = "ending"  # replaced, and still good until its overlap is over
    EXPIRED = "expired"
    REVOKED = "revoked"


class KeyReport(msgspec.Struct, frozen=True):
    """A key as an operator sees it. `used_since_replaced` is what to watch before the old key's end: true means that
    somebody still calls with it."""

    key: ApiKey
    state: KeyState
    replaced_by: str | None
    used_since_replaced: bool


async def create(
    desk: Desk,
    workspace_id: str,
    *,
    scopes: tuple[str, ...],
    name: str = "",
    lifetime_ms: int | None = None,
    rate_limits: RateLimits | None = None,
) -> tuple[ApiKey, NewApiKey]:
    """A new key; its text exists in the second part, and nowhere else ever again. Raises NotFound, InvalidField."""
    if lifetime_ms is not None and lifetime_ms <= 0:
        raise InvalidField("lifetime", "must be more than 0")
    made = await _make(
        desk,
        workspace_id,
        scopes=scopes,
        name=name,
        lifetime_ms=lifetime_ms,
        rate_limits=rate_limits or RateLimits(),
        replaces=None,
    )
    await desk.record("api_key.create", workspace_id, made[0].id, detail=", ".join(made[0].scopes))
    return made


async def _make(
    desk: Desk,
    workspace_id: str,
    *,
    scopes: tuple[str, ...],
    name: str,
    lifetime_ms: int | None,
    rate_limits: RateLimits,
    replaces: str | None,
) -> tuple[ApiKey, NewApiKey]:
    await workspaces.get(desk, workspace_id)
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        raise InvalidField("scope", f"must be one or more of {', '.join(Scope)}")
    name = _checked_name(name)
    secret = generate(workspace_id)
    now = now_ms()
    key = ApiKey(
        workspace_id=workspace_id,
        id=new_id(),
        name=name,
        hint=secret.hint,
        scopes=tuple(sorted(set(scopes))),
        rate_limits=rate_limits,
        created_at=now,
        expires_at=now + lifetime_ms if lifetime_ms is not None else None,
        replaces=replaces,
    )
    await rows.insert(desk.store, key, secret.secret_hash)
    return key, secret


async def rotate(desk: Desk, workspace_id: str, key_id: str, *, overlap_ms: int) -> tuple[ApiKey, NewApiKey]:
    """A key that takes over from another one, which stays good for `overlap_ms`. Raises NotFound."""
    old = await get(desk, workspace_id, key_id)
    lifetime = old.expires_at - old.created_at if old.expires_at is not None else None
    made = await _make(
        desk,
        workspace_id,
        scopes=old.scopes,
        name=old.name,
        lifetime_ms=lifetime,
        rate_limits=old.rate_limits,
        replaces=old.id,
    )
    await rows.end(desk.store, workspace_id, key_id, now_ms() + overlap_ms)
    await desk.record("api_key.rotate", workspace_id, made[0].id, detail=f"replaces {old.id}")
    return made


async def settings(desk: Desk, workspace_id: str, key_id: str) -> tuple[str, RateLimits]:
    """What of a key may be changed: its name and limits. Raises NotFound."""
    found = await rows.settings(desk.store, workspace_id, key_id)
    if found is None:
        raise NotFound("There is no such API key.")
    return found


async def change(
    desk: Desk, workspace_id: str, key_id: str, *, name: str | None = None, rate_limits: RateLimits | None = None
) -> None:
    """Changes what is given; limits hold on every worker within 5 s. Raises NotFound, InvalidField."""
    known = await settings(desk, workspace_id, key_id)
    wanted = (known[0] if name is None else _checked_name(name), known[1] if rate_limits is None else rate_limits)
    if wanted == known:
        return
    await rows.set_settings(desk.store, workspace_id, key_id, *wanted)
    names = [each for each, differs in (("name", name), ("rate_limits", rate_limits)) if differs is not None]
    await desk.record("api_key.change", workspace_id, key_id, detail=", ".join(names))


async def revoke(desk: Desk, workspace_id: str, key_id: str) -> ApiKey:
    """Ends a key now; every worker refuses it within 5 s. Raises NotFound."""
    if await rows.end(desk.store, workspace_id, key_id, now_ms()) is None:
        raise NotFound("There is no such API key.")
    await desk.record("api_key.revoke", workspace_id, key_id)
    return await get(desk, workspace_id, key_id)


async def get(desk: Desk, workspace_id: str, key_id: str) -> ApiKey:
    """Raises NotFound."""
    found = await rows.find(desk.store, workspace_id, key_id)
    if found is None:
        raise NotFound("There is no such API key.")
    return found


async def report(desk: Desk, workspace_id: str) -> list[KeyReport]:
    """All keys of a workspace, oldest first. Raises NotFound."""
    await workspaces.get(desk, workspace_id)
    keys = await rows.list_all(desk.store, workspace_id)
    successors = {key.replaces: key for key in keys if key.replaces is not None}
    return [_report(key, successors.get(key.id), now_ms()) for key in keys]


def _checked_name(name: str) -> str:
    if len(name) > _LONGEST_NAME or (name and not name.isprintable()):
        raise InvalidField("name", f"must have at most {_LONGEST_NAME} printable characters")
    return name


def _report(key: ApiKey, successor: ApiKey | None, now: int) -> KeyReport:
    if key.revoked_at is not None and key.revoked_at <= now:
        state = KeyState.REVOKED
    elif key.expires_at is not None and key.expires_at <= now:
        state = KeyState.EXPIRED
    else:
        state = KeyState.ENDING if key.revoked_at is not None else KeyState.ACTIVE
    used = successor is not None and key.last_used_at is not None and key.last_used_at > successor.created_at
    return KeyReport(key, state, successor.id if successor is not None else None, used)
