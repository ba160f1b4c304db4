"""Our own wire, `/v1`: what a contact token opens; nothing here speaks a vendor's dialect."""

from __future__ import annotations

from vestibule.edge.problem import problem
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.native.me import routes


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    return Surface("native", ("/v1",), problem, routes(runtime))
