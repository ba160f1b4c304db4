"""Puzzel's wire: an identity provider's token becomes a one-time userInfoId; nothing here knows how a token is read."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.problem import problem
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.puzzel.authenticate import Authenticate

# Each one whole: other wires live below `/api`, too.
_PREFIXES = ("/api/authenticate",)
_PAGES = Cors(methods=("GET", "POST", "PUT"), headers=("Authorization", "Content-Type"))


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    """For the customer's pages and apps."""
    return Surface("puzzel", _PREFIXES, problem, Authenticate(runtime).routes(), _PAGES)
