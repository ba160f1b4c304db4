"""`/dashboard`: pages for staff, made on the server; it must not hold an administrator's knowledge.

Every page and every form is wrapped by `seat.py` (who is signed in, what their role covers, whose form it is) and calls
`administration/`. Nothing is loaded from elsewhere, and nothing runs that is not a file of ours.
"""

from __future__ import annotations

from vestibule.edge.surface import Surface
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard import (
    account,
    audit,
    coverage,
    debugger,
    door,
    elsewhere,
    files,
    first_run,
    inbox,
    merging,
    overview,
    people,
    set_up,
    staff,
)
from vestibule.surfaces.dashboard.rendering import refusal
from vestibule.surfaces.dashboard.seat import PREFIX


def surface(runtime: Runtime, _runner: Runner) -> Surface:
    parts = (
        door, overview, coverage, inbox, people, merging, debugger, audit, set_up, first_run, elsewhere, staff, account,
    )  # fmt: skip
    routes = [route for part in parts for route in part.routes(runtime)]
    return Surface("dashboard", (PREFIX,), refusal, [*routes, *files.routes()])
