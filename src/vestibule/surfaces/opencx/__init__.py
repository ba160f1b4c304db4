"""OpenCX's wire: `/widget/authenticate-user` for customers' backends; nothing here knows how a contact is kept."""

from __future__ import annotations

from vestibule.edge.cors import Cors
from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.opencx.authenticate_user import routes
from vestibule.surfaces.opencx.dialect import opencx_error
from vestibule.surfaces.opencx.widget import executing, files
from vestibule.surfaces.opencx.widget.reading import Reading
from vestibule.surfaces.opencx.widget.sending import Sending
from vestibule.surfaces.opencx.widget.writing import Writing

_WIDGET = Cors(
    methods=("GET", "POST"),
    headers=("Authorization", "Content-Type", "X-Bot-Token", "If-None-Match"),
    exposed=("ETag",),
)


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    """For customers' backends. No page may call it: an API key does not belong into a browser."""
    return Surface("opencx", ("/widget",), opencx_error, routes(runtime))


def widget_surface(runtime: Runtime, runner: Runner) -> Surface:
    """For the widget, on whatever page it stands. An upload has one slash more: the widget keeps `apiUrl`'s."""
    handlers = [
        *Reading(runtime).routes(),
        *Writing(runtime).routes(),
        *Sending(runtime, runner).routes(),
        *executing.routes(runtime),
        *files.routes(runtime),
    ]
    return Surface("opencx_widget", ("/backend/widget/v2", "//backend/widget/v2"), opencx_error, handlers, _WIDGET)
