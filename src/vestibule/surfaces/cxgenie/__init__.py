"""CX Genie's wire for mobile apps, `/api/v1`: what its public Flutter client calls over HTTP; nothing here knows how a
user token is proven."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.dialect import cxgenie_error
from vestibule.surfaces.cxgenie.files import Files
from vestibule.surfaces.cxgenie.messages import Messages
from vestibule.surfaces.cxgenie.sessions import Sessions

_PAGES = Cors(methods=("GET", "POST"), headers=("Authorization", "Content-Type"))


def surface(runtime: Runtime, runner: Runner) -> Surface:
    """For apps and pages; the guest token is a contact token, which may live there."""
    routes = [*Sessions(runtime).routes(), *Messages(runtime, runner).routes(), *Files(runtime).routes()]
    return Surface("cxgenie", ("/api/v1",), cxgenie_error, routes, _PAGES)
