"""Our own wire, `/v1`: how a page gets a contact token, in the standard way too, and what one opens; nothing here
speaks a vendor's dialect."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.problem import problem
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.native import backchannel_logout, files, identity, me, user_tokens
from vestibule.surfaces.native.conversations import Conversations
from vestibule.surfaces.native.description import described
from vestibule.surfaces.native.events import Events
from vestibule.surfaces.native.messages import Messages
from vestibule.surfaces.native.token import Token
from vestibule.surfaces.native.visitors import Visitors

_PAGES = Cors(
    methods=("GET", "POST"),
    headers=("Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"),
    exposed=("ETag", "Location"),
)


def surface(runtime: Runtime, runner: Runner) -> Surface:
    """For pages and apps of the customer's own; a contact token may live in a browser."""
    routes = [
        *me.routes(runtime),
        *user_tokens.routes(runtime),
        *Visitors(runtime).routes(),
        *Conversations(runtime).routes(),
        *identity.routes(runtime),
        *Messages(runtime, runner).routes(),
        *Events(runtime).routes(),
        *files.routes(runtime),
        *Token(runtime).routes(),
        *backchannel_logout.routes(runtime),
    ]
    return Surface("native", ("/v1",), problem, described(runtime, routes), _PAGES)
