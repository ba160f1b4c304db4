"""`route`, `setIdentity` and `clearIdentity`: a proven person starts a chat, joins one, and leaves it; it must not
start an anonymous chat where a proof was shown."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations import queues
from vestibule.conversations.admission import admit_exchange
from vestibule.conversations.attach_identity import (
    Attached,
    Proven,
    attach_identity,
    attachment,
    clear_identity,
    open_as,
    open_to_identify,
    own,
    prove,
)
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.routing import move
from vestibule.conversations.start import start_conversation
from vestibule.conversations.visitor import Visitor
from vestibule.edge.contact_bearer import admit
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.surface import Route
from vestibule.errors import (
    AlreadyExists,
    AuthenticationRequired,
    ConversationClosed,
    InvalidGrant,
    InvalidRequest,
    MissingCredentials,
    QueueClosed,
    WorkspaceDisabled,
)
from vestibule.model.conversation import Conversation
from vestibule.model.queue import Queue
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage.store import Query
from vestibule.surfaces.puzzel import caller
from vestibule.surfaces.puzzel.caller import Proof
from vestibule.tokens.pending_identity import workspace_of

T = TypeVar("T")
_ROUTE = "/api/conversation/{conversation_id}/route/{queue_key}"


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`conversationId` is the client's, `id` the same conversation's elsewhere here. Who showed a proof gets a contact
    token, for what follows without a visitor session, and its seconds."""

    conversationId: str  # noqa: N815 - the wire's way of writing
    id: str
    status: str
    identified: bool
    queueKey: str | None = None  # noqa: N815
    contactId: str | None = None  # noqa: N815
    contactToken: str | None = None  # noqa: N815
    expiresIn: int | None = None  # noqa: N815

    def __repr__(self) -> str:
        return f"_Answer({self.id!r})"


_ENCODER = msgspec.json.Encoder()


class _Arrival(msgspec.Struct, frozen=True):
    """Who wants which conversation where."""

    workspace_id: str
    conversation_id: str
    visitor: Visitor | None
    queue: Queue


class Identity:
    """The handlers."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        return [
            Route("POST", _ROUTE, self.route),
            Route("PUT", _ROUTE, self.route),
            Route("POST", "/api/visitor/setIdentity/{conversation_id}", self.set_identity),
            Route("POST", "/api/visitor/clearIdentity/{conversation_id}", self.clear_identity),
        ]

    async def route(self, request: Request) -> Reply:
        runtime = self._runtime
        await caller.limit_proofs(runtime, request)
        visitor = await caller.visitor_if_any(runtime, request)
        proof = await caller.read_proof(runtime, request)
        workspace_id = await self._workspace(request, visitor, proof)
        if proof is not None:  # it gives a contact token, whether or not a session was begun before
            await admit_exchange(runtime, workspace_id, request.headers(b"origin"))
        conversation_id = caller.conversation_id(workspace_id, request)
        queue = await queues.find_queue(runtime.store, workspace_id, request.params["queue_key"])
        arrival = _Arrival(workspace_id, conversation_id, visitor, queue)
        if proof is not None:
            done = await self._route_proven(request, arrival, proof)
            return self._reply(request, done.conversation, done)
        return self._reply(request, await self._route_bearer(request, arrival), None)

    async def set_identity(self, request: Request) -> Reply:
        runtime = self._runtime
        await caller.limit_proofs(runtime, request)
        visitor = await caller.visitor(runtime, request)
        proof = await caller.read_proof(runtime, request)
        if proof is None:
            raise InvalidRequest("Send userInfoId and codeVerifier.", step="proof")
        await admit_exchange(runtime, visitor.workspace_id, request.headers(b"origin"))
        conversation_id = caller.conversation_id(visitor.workspace_id, request)
        conversation = await open_to_identify(runtime, visitor, conversation_id)
        proven = await self._prove(request, visitor.workspace_id, proof, conversation_id, visitor)
        done = await attach_identity(runtime, conversation, proven, visitor)
        return self._reply(request, done.conversation, done)

    async def clear_identity(self, request: Request) -> Reply:
        """For a sign-out. Nobody is identified afterwards, whoever was before."""
        visitor = await caller.visitor(self._runtime, request)
        conversation_id = caller.conversation_id(visitor.workspace_id, request)
        conversation = await own(self._runtime, visitor, conversation_id)
        if conversation.verified:
            await clear_identity(self._runtime, visitor, conversation_id)
        return self._reply(request, conversation, None, identified=False)

    async def _workspace(self, request: Request, visitor: Visitor | None, proof: Proof | None) -> str:
        """The bearer's, or the one that the userInfoId says; a wrong one finds nothing there."""
        if visitor is not None:
            return visitor.workspace_id
        if proof is None:
            raise MissingCredentials(step="credentials")
        named = await self._counted(request, self._named(proof))
        request.facts["workspace"] = named.id
        if named.disabled_at is not None:
            raise WorkspaceDisabled(step="workspace")
        return named.id

    async def _named(self, proof: Proof) -> Workspace:
        workspace = await self._runtime.tenancy.by_id(workspace_of(proof.user_info_id))
        if workspace is None:
            raise InvalidGrant(detail="of no workspace", step="workspace")
        return workspace

    async def _counted(self, request: Request, proving: Awaitable[T]) -> T:
        """A proof that fails counts as a wrong key does. Raises InvalidGrant, RateLimited."""
        try:
            return await proving
        except InvalidGrant:
            await caller.count_refused_proof(self._runtime, request)
            raise

    async def _prove(
        self, request: Request, workspace_id: str, proof: Proof, conversation_id: str, visitor: Visitor | None
    ) -> Proven:
        proving = prove(
            self._runtime,
            workspace_id,
            proof.user_info_id,
            proof.code_verifier,
            conversation_id=conversation_id,
            visitor=visitor,
        )
        proven = await self._counted(request, proving)
        request.facts["contact"] = proven.contact_id
        return proven

    async def _route_proven(self, request: Request, arrival: _Arrival, proof: Proof) -> Attached:
        """Whose chat it would be is looked at first: a proof is not spent on somebody else's."""
        runtime, visitor, queue = self._runtime, arrival.visitor, arrival.queue
        existing = await rows.get(runtime.store, arrival.workspace_id, arrival.conversation_id)
        if existing is not None and visitor is not None:
            existing = await open_to_identify(runtime, visitor, arrival.conversation_id)
        # Without a bearer nothing of what exists is shown before the proof.
        _admit(queue, existing if visitor is not None else None)
        proven = await self._prove(request, arrival.workspace_id, proof, arrival.conversation_id, visitor)
        if existing is None:
            noted = attachment(runtime, arrival.conversation_id, proven)
            existing = await self._start(arrival, proven.visitor(), scope=None, also=(noted,))
        elif existing.verified and existing.contact_id in proven.people and not existing.is_open:
            # Only now: of what exists nothing was to be shown before.
            raise ConversationClosed(step="conversation")
        attached = await attach_identity(runtime, existing, proven, visitor)
        return msgspec.structs.replace(attached, conversation=await move(runtime, attached.conversation, queue.key))

    async def _route_bearer(self, request: Request, arrival: _Arrival) -> Conversation:
        runtime, visitor, queue = self._runtime, arrival.visitor, arrival.queue
        if visitor is None:
            raise MissingCredentials(step="credentials")
        existing = await rows.get(runtime.store, arrival.workspace_id, arrival.conversation_id)
        acting = visitor
        if existing is not None:
            acting, existing = await open_as(runtime, visitor, arrival.conversation_id)
        await admit(runtime, request, acting)
        if queue.settings.identified_only and not acting.verified:
            raise AuthenticationRequired(step="queue")
        _admit(queue, existing)
        if existing is None:
            # The scope ties an unverified chat to this device (conversations/visibility.py). Never its id: that is the
            # page's choice, perhaps an order's number, and whoever says the same e-mail has the same contact.
            scope = None if acting.verified else f"puzzel:{acting.token_id}"
            existing = await self._start(arrival, acting, scope=scope)
        return await move(runtime, existing, queue.key)

    async def _start(
        self, arrival: _Arrival, person: Visitor, *, scope: str | None, also: Sequence[Query] = ()
    ) -> Conversation:
        """A new conversation, or what a call at the same moment has made of it. Raises NotFound."""
        try:
            return await start_conversation(
                self._runtime,
                person,
                scope=scope,
                custom_data={},
                conversation_id=arrival.conversation_id,
                queue_key=arrival.queue.key,
                also=also,
            )
        except AlreadyExists:
            # Its own visitor may have started it anonymous meanwhile; without one it must be the person's.
            if arrival.visitor is None:
                return await open_conversation(self._runtime, person, arrival.conversation_id)
            return await own(self._runtime, arrival.visitor, arrival.conversation_id)

    def _reply(
        self, request: Request, conversation: Conversation, attached: Attached | None, *, identified: bool | None = None
    ) -> Reply:
        request.facts["conversation"] = conversation.id
        answer = _Answer(
            conversationId=request.params["conversation_id"],
            id=conversation.id,
            status=conversation.status.value,
            identified=conversation.verified if identified is None else identified,
            queueKey=conversation.queue_key,
            contactId=conversation.contact_id if attached is not None else None,
            contactToken=attached.contact_token if attached is not None else None,
            expiresIn=self._runtime.contact_tokens.lifetime_ms // SECOND_MS if attached is not None else None,
        )
        return json_reply(200, _ENCODER.encode(answer))


def _admit(queue: Queue, existing: Conversation | None) -> None:
    """Before a proof is spent. What waits in the queue already may be routed to it again: networks repeat."""
    if existing is not None and not existing.is_open:
        raise ConversationClosed(step="conversation")
    if (existing is None or existing.queue_key != queue.key) and not queues.is_open(queue.settings, now_ms()):
        raise QueueClosed(step="queue")
