"""Makes, lists and ends admin keys; it must not be reachable with one of them, or a key could outlive its own end."""

from __future__ import annotations

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import InvalidField, NotFound
from vestibule.ids import new_id
from vestibule.model.audit import INSTALLATION
from vestibule.model.workspace import AdminKey, AdminScope
from vestibule.storage import admin_keys as rows
from vestibule.tokens.api_key import ADMIN_KEY, NewApiKey, generate

_LONGEST_NAME = 100


async def create(
    desk: Desk, workspace_id: str | None, *, scopes: tuple[str, ...], name: str = "", lifetime_ms: int
) -> tuple[AdminKey, NewApiKey]:
    """A new key, of one workspace or (None) of the installation; its text exists in the second part, and nowhere else
    ever again. Raises NotFound, InvalidField."""
    if workspace_id is not None:
        await workspaces.get(desk, workspace_id)
    if lifetime_ms <= 0:
        raise InvalidField("lifetime", "must be more than 0")
    if not scopes or set(scopes) - set(AdminScope):
        raise InvalidField("scope", f"must be one or more of {', '.join(AdminScope)}")
    if len(name) > _LONGEST_NAME or (name and not name.isprintable()):
        raise InvalidField("name", f"must have at most {_LONGEST_NAME} printable characters")
    secret = generate(workspace_id or INSTALLATION, ADMIN_KEY)
    now = now_ms()
    key = AdminKey(
        workspace_id=workspace_id or INSTALLATION,
        id=new_id(),
        name=name,
        hint=secret.hint,
        scopes=tuple(sorted(set(scopes))),
        created_at=now,
        expires_at=now + lifetime_ms,
    )
    await rows.insert(desk.store, key, secret.secret_hash)
    await desk.record("admin_key.create", key.workspace_id, key.id, detail=", ".join(key.scopes))
    return key, secret


async def list_all(desk: Desk, workspace_id: str | None) -> list[AdminKey]:
    """Of one workspace, or (None) of the installation; oldest first. Raises NotFound."""
    if workspace_id is not None:
        await workspaces.get(desk, workspace_id)
    return await rows.list_all(desk.store, workspace_id or INSTALLATION)


async def revoke(desk: Desk, workspace_id: str | None, key_id: str) -> AdminKey:
    """Ends a key at once. Raises NotFound."""
    ended = await rows.end(desk.store, workspace_id or INSTALLATION, key_id, now_ms())
    if ended is None:
        raise NotFound("There is no such admin key.")
    await desk.record("admin_key.revoke", ended.workspace_id, key_id)
    return ended
