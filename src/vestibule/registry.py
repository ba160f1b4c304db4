"""The verification methods and the surfaces, as two visible lists: a new one is a file, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces import admin_api, cxgenie, dashboard, files, native, opencx, puzzel, well_known, widget
from vestibule.verification.auth_endpoint import AuthEndpoint
from vestibule.verification.server_to_server import ServerToServer
from vestibule.verification.token_exchange import TokenExchange

VERIFICATION_METHODS = (ServerToServer, TokenExchange, AuthEndpoint)

# The last one answers for everything that no other prefix claims.
SURFACES: tuple[Callable[[Runtime, Runner], Surface], ...] = (
    opencx.widget_surface,
    opencx.surface,
    admin_api.surface,  # before native, below whose prefix it lies
    cxgenie.surface,
    native.surface,
    puzzel.surface,
    puzzel.connect_surface,
    dashboard.surface,
    files.surface,
    widget.surface,
    well_known.surface,
)
