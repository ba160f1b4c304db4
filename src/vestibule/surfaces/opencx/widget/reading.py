"""What an open widget asks for again and again: config, sessions, poll, history; nothing here writes.

An idle chat polls for ever, so what has not changed is rendered once and kept by its versions (`rendered.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.conversations.opening import glance_at, glance_over, list_conversations, open_conversation
from vestibule.conversations.pages import read_cursor
from vestibule.edge.entity_tags import digest_of, is_known
from vestibule.edge.http import Reply, Request, constant, json_reply
from vestibule.edge.request_limits import count_stranger
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, ScopeRequired
from vestibule.model.conversation import Conversation, Glance
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.surfaces.opencx.widget.caller import visitor, workspace_of
from vestibule.surfaces.opencx.widget.rendered import Rendered, RenderedAnswers
from vestibule.surfaces.opencx.widget.shapes import Session, history_of, session_of

PREFIX = "/backend/widget/v2"
LONGEST_SCOPE = 256
_VARY = constant(b"vary", b"Authorization")
_ENCODER = msgspec.json.Encoder()


class _Org(msgspec.Struct, frozen=True):
    id: str
    name: str


class _Mode(msgspec.Struct, frozen=True):
    id: str
    name: str
    slug: str | None


class _Config(msgspec.Struct, frozen=True):
    org: _Org
    sessionsPollingIntervalSeconds: float  # noqa: N815 - the wire's names
    sessionPollingIntervalSeconds: float  # noqa: N815
    modes: tuple[_Mode, ...]


class _Filters(msgspec.Struct, frozen=True):
    external_id: str | None = None


class _Sessions(msgspec.Struct, frozen=True):
    items: list[Session]
    next: str | None


_FILTERS = msgspec.json.Decoder(_Filters)


class Reading:
    """The handlers, with what they keep."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rendered = RenderedAnswers()

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", f"{PREFIX}/config", self.config),
            Route("GET", f"{PREFIX}/sessions", self.sessions),
            Route("GET", f"{PREFIX}/poll/{{session_id}}", self.poll),
            Route("GET", f"{PREFIX}/session/history/{{session_id}}", self.history),
        ]

    async def config(self, request: Request) -> Reply:
        """Needs the bot token only: a stale user token must not keep the widget from showing itself."""
        count_stranger(self._runtime, request)
        workspace = await workspace_of(self._runtime, request)
        widget = await self._runtime.tenancy.widget(workspace.id)
        modes = tuple(_Mode(mode.id, mode.name, mode.slug) for mode in widget.modes)
        answer = _Config(_Org(workspace.id, workspace.name), widget.list_seconds, widget.poll_seconds, modes)
        return json_reply(200, _ENCODER.encode(answer))

    async def sessions(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        scope = scope_of(request.query("filters"))
        if scope is None and not viewer.verified:
            raise ScopeRequired(step="scope")
        # One opaque value under two names: 4.0 sends `cursor`, its own OpenAPI and 5.x say `offset`.
        field = "cursor" if request.query("cursor") else "offset"
        before = read_cursor(request.query(field), field)
        asked = (viewer.workspace_id, viewer.contact_id, scope, before)
        seen, following = await glance_over(self._runtime, viewer, scope=scope, before=before)
        rendered = self._rendered.find(asked, _state_of_page(seen, following))
        if rendered is None:
            found, following = await list_conversations(self._runtime, viewer, scope=scope, before=before)
            body = _ENCODER.encode(_Sessions([session_of(conversation) for conversation in found], following))
            rendered = self._rendered.keep(asked, Rendered(_state_of_page(found, following), digest_of(body), body))
        return _unless_known(request, rendered)

    async def poll(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        conversation_id = request.params["session_id"]
        seen = await glance_at(self._runtime, viewer, conversation_id)
        asked = (seen.workspace_id, seen.id)
        rendered = self._rendered.find(asked, _state_of(seen))
        if rendered is None:
            conversation = await open_conversation(self._runtime, viewer, conversation_id)
            rendered = self._rendered.keep(asked, await self._render(conversation))
        return _unless_known(request, rendered)

    async def history(self, request: Request) -> Reply:
        viewer = await visitor(self._runtime, request)
        conversation = await open_conversation(self._runtime, viewer, request.params["session_id"])
        messages = await rows.history(self._runtime.store, conversation.workspace_id, conversation.id)
        return json_reply(200, _ENCODER.encode(history_of(messages)))

    async def _render(self, conversation: Conversation) -> Rendered:
        # The row was read before the messages: what was appended in between is in the history already, and the version
        # is the older one, so the next poll renders again. Never the other way round.
        messages = await rows.history(self._runtime.store, conversation.workspace_id, conversation.id)
        body = _ENCODER.encode({"session": session_of(conversation), "history": history_of(messages)})
        return Rendered(_state_of(conversation), digest_of(body), body)


def _state_of(conversation: Glance) -> tuple[int, int, str]:
    """What no two answers about one id share. The version alone would do, were ids not free again after an erasure, and
    the client's own choice on Puzzel's wire: another person's chat begins with the same one."""
    return (conversation.version, conversation.created_at, conversation.contact_id)


def _state_of_page(page: Sequence[Glance], following: str | None) -> object:
    return [(conversation.id, conversation.version, conversation.created_at) for conversation in page], following


def scope_of(filters: str | None) -> str | None:
    """The conversation scope in the widget's `filters`, a JSON text. Raises InvalidField."""
    if not filters:
        return None
    try:
        scope = _FILTERS.decode(filters).external_id
    except (msgspec.DecodeError, RecursionError):
        raise InvalidField("filters", 'must be a JSON object such as {} or {"external_id": "…"}') from None
    return checked_scope("filters.external_id", scope)


def checked_scope(field: str, scope: str | None) -> str | None:
    """An external id, or None where it is absent or empty. Raises InvalidField."""
    if scope is not None and (len(scope) > LONGEST_SCOPE or "\0" in scope):
        raise InvalidField(field, f"must be a text of at most {LONGEST_SCOPE} characters")
    return scope or None


def _unless_known(request: Request, rendered: Rendered) -> Reply:
    """304 where the client has this very answer (RFC 9110 section 13.1.2). Weak tags compare equal here."""
    quoted = b'"' + rendered.tag + b'"'
    headers = ((b"etag", quoted), _VARY)
    if is_known(request, quoted):
        return Reply(304, b"", ((b"cache-control", b"no-store"), *headers))
    return json_reply(200, rendered.body, *headers)
