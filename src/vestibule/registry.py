"""The verification methods and the surfaces, as two visible lists: a new one is a file, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces import files, native, opencx, well_known, widget
from vestibule.verification.server_to_server import ServerToServer

VERIFICATION_METHODS = (ServerToServer,)

# The last one answers for everything that no other prefix claims.
SURFACES: tuple[Callable[[Runtime, Runner], Surface], ...] = (
    opencx.widget_surface,
    opencx.surface,
    native.surface,
    files.surface,
    widget.surface,
    well_known.surface,
)
