"""CX Genie's wire for mobile apps, `/api/v1` and `/socket.io`: what its public Flutter client calls and hears; nothing
here knows how a user token is proven."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.dialect import cxgenie_error
from vestibule.surfaces.cxgenie.files import Files
from vestibule.surfaces.cxgenie.messages import Messages
from vestibule.surfaces.cxgenie.sessions import Sessions
from vestibule.surfaces.cxgenie.sockets import PATH, Sockets
from vestibule.surfaces.cxgenie.thread import Thread

_PAGES = Cors(methods=("GET", "POST"), headers=("Authorization", "Content-Type"))


def surface(runtime: Runtime, runner: Runner) -> Surface:
    """For apps and pages; the guest token is a contact token, which may live there."""
    thread = Thread(runtime, runner)
    sockets = Sockets(runtime, thread)
    routes = [
        *Sessions(runtime).routes(),
        *Messages(runtime, thread).routes(),
        *Files(runtime).routes(),
        *sockets.routes(),
    ]
    return Surface("cxgenie", ("/api/v1", PATH), cxgenie_error, routes, _PAGES, sockets={PATH: sockets.hold})
