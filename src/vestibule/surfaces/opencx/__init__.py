"""OpenCX's wire: `/widget/authenticate-user` for customers' backends; nothing here knows how a contact is kept."""

from __future__ import annotations

from vestibule.edge.surface import Surface
from vestibule.runtime import Runtime
from vestibule.surfaces.opencx.authenticate_user import routes
from vestibule.surfaces.opencx.dialect import opencx_error


def surface(runtime: Runtime) -> Surface:
    return Surface("opencx", ("/widget",), opencx_error, routes(runtime))
