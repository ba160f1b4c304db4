"""The admin API, `/v1/admin`: what operators' programs do with an admin key; it must not do what the command line could
not (`administration/`)."""

from __future__ import annotations

from vestibule.edge.description import described
from vestibule.edge.openapi import Security
from vestibule.edge.problem import problem
from vestibule.edge.surface import Surface
from vestibule.errors import (
    AmbiguousCredentials,
    InsufficientScope,
    InvalidAdminKey,
    MissingCredentials,
    NotAllowed,
    RateLimited,
)
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.admin_api import (
    auth_endpoint,
    belongings,
    enforcement,
    oversight,
    people,
    providers,
    queues,
    responding,
    staff,
    threads,
    webhooks,
    workspaces,
)
from vestibule.surfaces.admin_api.seat import PREFIX

_ADMIN_KEY = Security(
    "adminKey",
    "A key that `vestibule admin-key create` has made, with the scope `admin:read`, `admin:write` or both.",
    (AmbiguousCredentials, MissingCredentials, InvalidAdminKey, InsufficientScope, NotAllowed, RateLimited),
)
_ABOUT = (
    "Sets up workspaces, looks after contacts and conversations, reads the audit. Times are RFC 3339 in UTC. Errors are"
    " RFC 9457 problems with a stable `code`. What belongs to another workspace than the key's is answered as if it did"
    " not exist."
)


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    """For programs. No page may call it: an admin key does not belong into a browser."""
    routes = [
        *workspaces.routes(runtime),
        *providers.routes(runtime),
        *auth_endpoint.routes(runtime),
        *enforcement.routes(runtime),
        *responding.routes(runtime),
        *queues.routes(runtime),
        *webhooks.routes(runtime),
        *staff.routes(runtime),
        *people.routes(runtime),
        *belongings.routes(runtime),
        *threads.routes(runtime),
        *oversight.routes(runtime),
    ]
    every = described(
        routes,
        path=f"{PREFIX}/openapi.json",
        title="Vestibule admin API",
        about=_ABOUT,
        server=runtime.settings.public_url,
        security=_ADMIN_KEY,
    )
    return Surface("admin_api", (PREFIX,), problem, every)
