"""Puzzel's wire: an identity provider's token becomes a one-time userInfoId, and the userInfoId a chat of a proven
person; nothing here knows how a token is read or a chat is kept."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.oauth import oauth_error
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.puzzel.authenticate import Authenticate
from vestibule.surfaces.puzzel.chat import Chat
from vestibule.surfaces.puzzel.connect import Connect
from vestibule.surfaces.puzzel.dialect import puzzel_problem
from vestibule.surfaces.puzzel.identity import Identity

# Each one whole: other wires live below `/api`, too.
_PREFIXES = ("/api/authenticate", "/api/conversation", "/api/visitor", "/api/queue")
_PAGES = Cors(methods=("GET", "POST", "PUT"), headers=("Authorization", "Content-Type"))
_FORMS = Cors(methods=("POST",), headers=("Content-Type",))


def surface(runtime: Runtime, runner: Runner) -> Surface:
    """For the customer's pages and apps."""
    routes = [*Authenticate(runtime).routes(), *Identity(runtime).routes(), *Chat(runtime, runner).routes()]
    return Surface("puzzel", _PREFIXES, puzzel_problem, routes, _PAGES)


def connect_surface(runtime: Runtime, _runner: Runner) -> Surface:
    """Where a visitor's session begins."""
    return Surface("puzzel_connect", ("/connect",), oauth_error, Connect(runtime).routes(), _FORMS)
