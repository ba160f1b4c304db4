"""Finds the workspace that a request names, with its settings, and remembers them a moment; it decides nothing."""

from __future__ import annotations

from typing import TypeVar

from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.identity_provider import IdentityProvider
from vestibule.model.responder import ResponderSettings, WidgetSettings
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import KeptFor, Retention, Workspace
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.short_memory import ShortMemory
from vestibule.storage import identity_providers, workspace_settings
from vestibule.storage import workspaces as rows
from vestibule.storage.store import Store

T = TypeVar("T")

RESPONDER = "responder"
WIDGET = "widget"
VISITOR_SESSIONS = "visitor_sessions"
AUTH_ENDPOINT = "auth_endpoint"
LONGEST_CUSTOMER_ID = 25


def kept_for(settings: Settings, own: Retention) -> KeptFor:
    """How long a workspace's things are kept: its own times, the installation's where it has none."""
    return KeptFor(
        _either(own.unverified_contacts, settings.unverified_retention),
        _either(own.closed_conversations, settings.conversation_retention),
        _either(own.audit, settings.audit_retention),
    )


def _either(own: int | None, default: int) -> int:
    return default if own is None else own


class Tenancy:
    """The workspaces of an installation, as one process sees them. Every method raises StorageUnavailable."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._by_id: ShortMemory[str, Workspace] = ShortMemory()
        self._by_token: ShortMemory[str, Workspace] = ShortMemory()
        self._by_customer: ShortMemory[str, Workspace] = ShortMemory()
        self._providers: ShortMemory[str, tuple[IdentityProvider, ...]] = ShortMemory()
        self._settings: ShortMemory[tuple[str, str], object] = ShortMemory()

    async def by_id(self, workspace_id: str) -> Workspace | None:
        return self._by_id.get(workspace_id) or self._remember(await rows.find(self._store, workspace_id))

    async def by_widget_token(self, token: str) -> Workspace | None:
        """By what the widget carries. It is public, and names a workspace without proving anything."""
        return self._by_token.get(token) or self._remember(await rows.find_by_widget_token(self._store, token))

    async def by_customer_id(self, customer_id: str) -> Workspace | None:
        """By its public short name (Puzzel's customerId); None as well for what can be nobody's, and no database's
        text."""
        if len(customer_id) > LONGEST_CUSTOMER_ID or not (customer_id.isascii() and customer_id.isprintable()):
            return None
        known = self._by_customer.get(customer_id)
        return known or self._remember(await rows.find_by_customer_id(self._store, customer_id))

    async def providers(self, workspace_id: str) -> tuple[IdentityProvider, ...]:
        """The workspace's identity providers in their order, disabled ones among them. Raises CannotUnseal."""
        known = self._providers.get(workspace_id)
        if known is not None:
            return known
        found = await identity_providers.list_all(self._store, self._sealer, workspace_id)
        return self._providers.keep(workspace_id, found)

    async def responder(self, workspace_id: str) -> ResponderSettings:
        """Raises CannotUnseal."""
        return await self._setting(workspace_id, RESPONDER, ResponderSettings)

    async def widget(self, workspace_id: str) -> WidgetSettings:
        """Raises CannotUnseal."""
        return await self._setting(workspace_id, WIDGET, WidgetSettings)

    async def visitor_sessions(self, workspace_id: str) -> VisitorSessionSettings:
        """Raises CannotUnseal."""
        return await self._setting(workspace_id, VISITOR_SESSIONS, VisitorSessionSettings)

    async def auth_endpoint(self, workspace_id: str) -> AuthEndpointSettings:
        """Raises CannotUnseal."""
        return await self._setting(workspace_id, AUTH_ENDPOINT, AuthEndpointSettings)

    async def _setting(self, workspace_id: str, kind: str, type_: type[T]) -> T:
        known = self._settings.get((workspace_id, kind))
        if isinstance(known, type_):
            return known
        found = await workspace_settings.find(self._store, self._sealer, workspace_id, kind, type_) or type_()
        self._settings.keep((workspace_id, kind), found)
        return found

    def _remember(self, workspace: Workspace | None) -> Workspace | None:
        if workspace is not None:
            self._by_id.keep(workspace.id, workspace)
            self._by_token.keep(workspace.widget_token, workspace)
            self._by_customer.keep(workspace.customer_id, workspace)
        return workspace
