"""`/dashboard`: how things stand, and what to set up next; it must not look at a single person."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import auth_endpoints, conversations, coverage, identity_providers, responders, workspaces
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.model.conversation import Status
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.seat import Seat, view

# More than so many are not counted: the page has to be quick.
_MOST = 200


class Step(msgspec.Struct, frozen=True):
    """One thing to set up. `command` is what does it."""

    name: str
    about: str
    done: bool
    command: str


def routes(runtime: Runtime) -> Sequence[Route]:
    return [view(runtime, "", _show)]


async def _show(seat: Seat) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    await desk.audit.flush()
    found = await coverage.coverage(desk, workspace_id)
    opened, _ = await conversations.list_page(desk, workspace_id, status=Status.OPEN, most=_MOST)
    steps = await _steps(seat, keys=bool(found.keys))
    return seat.show(
        "overview.html",
        workspace=await workspaces.get(desk, workspace_id),
        contacts=await desk.contacts.count(workspace_id),
        open=_count(len(opened)),
        waiting=_count(sum(each.handed_off for each in opened)),
        coverage=found,
        replaced=[use for use in found.keys if use.should_have_gone],
        steps=steps,
        is_new=not found.issued and not found.refused,
    )


async def _steps(seat: Seat, *, keys: bool) -> list[Step]:
    desk, workspace_id = seat.desk, seat.workspace_id
    named = f"--workspace {workspace_id}"
    answering = await responders.read(desk, workspace_id)
    return [
        Step(
            "Server to server",
            "Your backend vouches for its signed-in user with an API key.",
            keys,
            f"vestibule api-key create {named} --scope widget:authenticate",
        ),
        Step(
            "Identity provider",
            "A page of yours exchanges the ID or access token of its visitor.",
            bool(await identity_providers.list_all(desk, workspace_id)),
            f"vestibule provider add NAME {named} --issuer URL --client-id ID",
        ),
        Step(
            "Auth endpoint",
            "Your own server says whose a session token is.",
            bool((await auth_endpoints.read(desk, workspace_id)).url),
            f"vestibule auth-endpoint set {named} --url URL",
        ),
        Step(
            "Responder",
            "A bot or a language model answers first; people take over when it hands a chat to them.",
            answering.answers,
            f"vestibule responder set {named} --kind webhook --url URL",
        ),
    ]


def _count(number: int) -> str:
    return f"{number}+" if number >= _MOST else str(number)
