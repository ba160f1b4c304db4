"""`/dashboard/set-up`: the methods side by side, and how each fares; it must not change one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.administration import (
    api_keys,
    auth_endpoints,
    identity_providers,
    method_state,
    responders,
    workspaces,
)
from vestibule.administration.method_state import MethodState
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.model.claims import Method
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.seat import Seat, view


class Card(msgspec.Struct, frozen=True):
    """One way in. `state` is None for what is no method."""

    path: str
    name: str
    about: str
    ready: bool
    stands: str
    state: MethodState | None


def routes(runtime: Runtime) -> Sequence[Route]:
    return [view(runtime, "/set-up", _show, Role.ADMIN)]


async def _show(seat: Seat) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    states = await method_state.read(desk, workspace_id)
    keys = [key for key in await api_keys.report(desk, workspace_id) if key.state is api_keys.KeyState.ACTIVE]
    providers = await identity_providers.list_all(desk, workspace_id)
    enabled = sum(provider.enabled for provider in providers)
    endpoint = await auth_endpoints.read(desk, workspace_id)
    answering = await responders.read(desk, workspace_id)
    origins = (await responders.read_widget(desk, workspace_id)).allowed_origins
    cards = [
        Card(
            "server",
            "Server to server",
            "Your backend vouches for its signed-in user with an API key.",
            bool(keys),
            f"{len(keys)} active API {'key' if len(keys) == 1 else 'keys'}",
            states[Method.SERVER_TO_SERVER],
        ),
        Card(
            "providers",
            "Identity providers",
            "A page of yours exchanges the ID or access token of its visitor.",
            bool(enabled),
            f"{enabled} of {len(providers)} enabled" if providers else "none",
            states[Method.TOKEN_EXCHANGE],
        ),
        Card(
            "auth-endpoint",
            "Auth endpoint",
            "Your own server says whose a session token is.",
            bool(endpoint.url),
            "asked at its URL" if endpoint.url else "no URL",
            states[Method.AUTH_ENDPOINT],
        ),
        Card(
            "widget",
            "Widget and unverified visitors",
            "What pages embed, which pages may, and whether visitors without proof come in.",
            not endpoint.required_login,
            (f"{len(origins)} {'page' if len(origins) == 1 else 'pages'}" if origins else "any page")
            + (", login required" if endpoint.required_login else ""),
            states[Method.UNVERIFIED],
        ),
        Card(
            "responder",
            "Responder and actions",
            "A bot or a language model answers first; people take over when it hands a chat to them.",
            answering.answers,
            answering.kind.value if answering.answers else "people answer",
            None,
        ),
    ]
    return seat.show("set_up/index.html", workspace=await workspaces.get(desk, workspace_id), cards=cards)
