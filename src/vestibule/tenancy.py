"""Finds the workspace that a request names, and remembers it a moment; it must not decide what may be done there."""

from __future__ import annotations

from vestibule.clock import elapsed
from vestibule.model.workspace import Workspace
from vestibule.storage import workspaces as rows
from vestibule.storage.store import Store

# A disabled workspace is refused by every worker within this (the promise is 5 s).
_FRESH_SECONDS = 2.0
_MOST_KNOWN = 10_000


class Tenancy:
    """The workspaces of an installation, as one process sees them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: dict[str, tuple[float, Workspace]] = {}
        self._by_token: dict[str, tuple[float, Workspace]] = {}

    async def by_id(self, workspace_id: str) -> Workspace | None:
        """Raises StorageUnavailable."""
        known = self._by_id.get(workspace_id)
        if known is not None and elapsed() - known[0] < _FRESH_SECONDS:
            return known[1]
        return self._remember(await rows.find(self._store, workspace_id))

    async def by_widget_token(self, token: str) -> Workspace | None:
        """By what the widget carries. It is public, and names a workspace without proving anything."""
        known = self._by_token.get(token)
        if known is not None and elapsed() - known[0] < _FRESH_SECONDS:
            return known[1]
        return self._remember(await rows.find_by_widget_token(self._store, token))

    def _remember(self, workspace: Workspace | None) -> Workspace | None:
        if workspace is not None:
            if len(self._by_id) >= _MOST_KNOWN:
                self._by_id.clear()
                self._by_token.clear()
            self._by_id[workspace.id] = self._by_token[workspace.widget_token] = (elapsed(), workspace)
        return workspace
