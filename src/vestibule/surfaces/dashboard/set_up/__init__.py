"""`/dashboard/set-up`: one page a verification method, with forms for everything that is set there; it must not decide
what may be set, nor keep anything of its own."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.edge.surface import Route
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.set_up import answering, auth_endpoint, index, providers, server, widget


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        route for part in (index, server, providers, auth_endpoint, widget, answering) for route in part.routes(runtime)
    ]
