"""Attaches a proven person to a conversation, and lets its visitor act as them there and nowhere else (DESIGN rules
2.5, 2.6); it must not fall back to anything when a proof fails.

A visitor's session stays one of which nothing is proven: the proof holds for one conversation, as long as a contact
token would be good, and until it is cleared or the contact is signed out. What was written before keeps the trust it
was written with.
"""

from __future__ import annotations

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.files import give_attached
from vestibule.conversations.opening import open_conversation
from vestibule.conversations.visitor import Visitor, recognise
from vestibule.errors import ConversationClosed, IdentityConflict, InvalidContactToken, InvalidGrant, NotFound
from vestibule.ids import new_id
from vestibule.model.claims import Ground, Method
from vestibule.model.contact import Contact
from vestibule.model.conversation import Conversation
from vestibule.model.webhook import conversation_identified
from vestibule.runtime import Runtime
from vestibule.storage import attached_identities, pending_identities, webhooks
from vestibule.storage import conversations as rows
from vestibule.storage.attached_identities import AttachedRow
from vestibule.storage.contacts import hold
from vestibule.storage.pending_identities import PendingRow
from vestibule.storage.store import Query, Work
from vestibule.storage.token_endings import Ending
from vestibule.tokens.contact_token import session_of
from vestibule.tokens.endings import end_one
from vestibule.tokens.pending_identity import fingerprint

_NOT_HERE = "There is no such conversation."


class Proven(msgspec.Struct, frozen=True):
    """Who a proof has shown to be there. `people` are the contact and what was merged into it; `holder` is who may
    act as them: a visitor's token, or whoever holds the userInfoId. `auth_time` is epoch milliseconds, `session` is
    the provider's (`session_of`)."""

    workspace_id: str
    contact_id: str
    people: frozenset[str]
    auth_time: int
    holder: str
    session: str | None

    def visitor(self) -> Visitor:
        return Visitor(
            workspace_id=self.workspace_id,
            contact_id=self.contact_id,
            verified=True,
            token_id=self.holder,
            method=Method.TOKEN_EXCHANGE,
            auth_time=self.auth_time // SECOND_MS,
            session=self.session,
            grounds=(Ground(self.contact_id, self.holder, now_ms()),),
        )


class Attached(msgspec.Struct, frozen=True):
    """The conversation as it is now, and the contact token for what follows."""

    conversation: Conversation
    contact_token: str


async def claim_proof(
    runtime: Runtime, workspace_id: str, user_info_id: str, code_verifier: str, *, conversation: str, visitor: str
) -> tuple[PendingRow, Contact]:
    """Whose proof a userInfoId is, as long as it counts. Raises InvalidGrant, CannotUnseal, StorageUnavailable."""
    pending = await runtime.pending_identities.claim(
        workspace_id, user_info_id, code_verifier, conversation=conversation, visitor=visitor
    )
    # Also where it was answered before: each answer is a new token, for as long as any, on the word of somebody who is
    # believed no more.
    providers = await runtime.tenancy.providers(workspace_id)
    if not any(provider.id == pending.provider_id and provider.enabled for provider in providers):
        raise InvalidGrant(detail="its provider is disabled or removed", step="provider")
    contact = await runtime.contacts.find_leading(workspace_id, pending.contact_id)
    session = session_of(pending.issuer, pending.provider_session)
    if contact is None or runtime.token_endings.ended(
        workspace_id, pending.contact_id, pending.created_at, session=session
    ):
        raise InvalidGrant(detail="its contact is gone or signed out", step="contact")
    return pending, contact


async def prove(
    runtime: Runtime,
    workspace_id: str,
    user_info_id: str,
    code_verifier: str,
    *,
    conversation_id: str,
    visitor: Visitor | None,
) -> Proven:
    """Takes the userInfoId, for this conversation and visitor alone. Raises IdentityConflict, and what `claim_proof`
    does."""
    bound_visitor = visitor.token_id if visitor is not None else ""
    pending, contact = await claim_proof(
        runtime, workspace_id, user_info_id, code_verifier, conversation=conversation_id, visitor=bound_visitor
    )
    merged = await runtime.contacts.merged_into(workspace_id, contact.id)
    people = frozenset({contact.id, *(other.id for other in merged)})
    if visitor is not None and visitor.verified and visitor.contact_id not in people:
        raise IdentityConflict("The bearer token belongs to another person.", step="bearer")
    return Proven(
        workspace_id=workspace_id,
        contact_id=contact.id,
        people=people,
        auth_time=pending.auth_time,
        holder=bound_visitor or fingerprint(user_info_id),
        session=session_of(pending.issuer, pending.provider_session),
    )


async def own(runtime: Runtime, visitor: Visitor, conversation_id: str) -> Conversation:
    """The conversation, if it is this visitor's to say who they are in: theirs still, or identified by them before.
    Knowing its id is no right to it. Raises NotFound."""
    try:
        return await open_conversation(runtime, visitor, conversation_id)
    except NotFound:
        # In this order: what somebody identifies at this moment is found in one of the two places.
        if visitor.verified or await _note_of(runtime, visitor, conversation_id) is None:
            raise
        conversation = await rows.get(runtime.store, visitor.workspace_id, conversation_id)
        if conversation is None or not conversation.verified:
            raise
        return conversation


async def open_to_identify(runtime: Runtime, visitor: Visitor, conversation_id: str) -> Conversation:
    """`own`, where something can still be written into it. Raises NotFound, ConversationClosed."""
    conversation = await own(runtime, visitor, conversation_id)
    if not conversation.is_open:
        raise ConversationClosed(step="conversation")
    return conversation


def attachment(runtime: Runtime, conversation_id: str, proven: Proven, *, acts: bool = True) -> Query:
    """What notes that the holder is the person in this conversation, for the unit of work that starts it. Who does not
    act as the person is known to have been here, as after `clear_identity`."""
    now = now_ms()
    return attached_identities.put(
        AttachedRow(
            workspace_id=proven.workspace_id,
            conversation_id=conversation_id,
            holder=proven.holder,
            contact_id=proven.contact_id,
            token_id=new_id(),
            auth_time=proven.auth_time,
            created_at=now,
            expires_at=now + runtime.contact_tokens.lifetime_ms,
            cleared_at=None if acts else now,
            session=proven.session,
        )
    )


async def attach_identity(
    runtime: Runtime, conversation: Conversation, proven: Proven, visitor: Visitor | None
) -> Attached:
    """Makes the conversation the person's from now on. `visitor` has been asked whether it is theirs
    (`open_to_identify`); without one it must be the person's already. Raises InvalidGrant where the person was erased
    meanwhile, IdentityConflict, NotFound."""

    def work() -> Work[tuple[Conversation, str]]:
        current = yield from _made_theirs(conversation, proven, visitor)
        kept = yield attachment(runtime, current.id, proven)
        return current, str(kept[0][0])

    attached, token_id = await runtime.store.transact(work)
    runtime.live.changed(attached.workspace_id, attached.id)
    token = runtime.contact_tokens.issue(
        proven.workspace_id,
        proven.contact_id,
        method=Method.TOKEN_EXCHANGE,
        auth_time_ms=proven.auth_time,
        token_id=token_id,
        session=proven.session,
    )
    return Attached(attached, token)


def _made_theirs(conversation: Conversation, proven: Proven, visitor: Visitor | None) -> Work[Conversation]:
    """The conversation as it is afterwards. Raises InvalidGrant, IdentityConflict, NotFound."""
    current = conversation
    if not (yield hold(proven.workspace_id, proven.contact_id)):
        raise InvalidGrant(detail="its contact is gone", step="contact")
    if not conversation.verified:
        if visitor is None:
            raise NotFound(_NOT_HERE, detail="another visitor's", step="conversation")
        taken = yield rows.take_numbers(conversation.workspace_id, conversation.id, 0, now_ms(), 0)
        if not taken:
            raise NotFound(_NOT_HERE, step="conversation")
        current = rows.conversation_from(taken[0])  # as it is now that nobody else can change it
    if not current.verified:
        current = msgspec.structs.replace(current, contact_id=proven.contact_id, verified=True)
        yield rows.update(current)
        yield from give_attached(current.workspace_id, current.id, current.contact_id)
        yield webhooks.note(conversation_identified(current))
    elif current.contact_id not in proven.people:
        if visitor is None:
            raise NotFound(_NOT_HERE, detail="another person's", step="conversation")
        raise IdentityConflict("This conversation belongs to another person.", step="attach")
    return current


async def prove_by_token(runtime: Runtime, visitor: Visitor, contact_token: str) -> Proven:
    """The person for whom the customer, or their provider, has vouched before: who has their token is they. Raises
    InvalidGrant, in the same words whatever is wrong with it; WorkspaceDisabled, StorageUnavailable."""
    try:
        claims = await recognise(runtime, contact_token)
    except InvalidContactToken as error:
        raise _no_proof(error.detail or "not ours") from error
    if claims.org_id != visitor.workspace_id or not claims.contact.verified:
        raise _no_proof("of another workspace, or of nobody")
    contact = await runtime.contacts.find_leading(claims.org_id, claims.sub)
    if contact is None or not contact.verified:
        raise _no_proof("its contact is gone")
    merged = await runtime.contacts.merged_into(claims.org_id, contact.id)
    return Proven(
        workspace_id=claims.org_id,
        contact_id=contact.id,
        people=frozenset({contact.id, *(other.id for other in merged)}),
        auth_time=claims.auth_time * SECOND_MS,
        holder=visitor.token_id,
        session=claims.sid,
    )


def _no_proof(detail: str) -> InvalidGrant:
    return InvalidGrant("The contact token is not one of a verified contact here.", detail=detail, step="contact_token")


async def attach_bearer(runtime: Runtime, visitor: Visitor, conversation_id: str, proven: Proven) -> Conversation:
    """Makes the visitor's conversation that of a person whose contact token they hold, too. What is noted lets them
    ask the same again and nothing else: the person acts by their own token, so that with it all of this ends. Raises
    NotFound, ConversationClosed, InvalidGrant, IdentityConflict."""
    conversation = await open_to_identify(runtime, visitor, conversation_id)

    def work() -> Work[Conversation]:
        current = yield from _made_theirs(conversation, proven, visitor)
        if not conversation.verified:
            yield attachment(runtime, current.id, proven, acts=False)
        return current

    attached = await runtime.store.transact(work)
    runtime.live.changed(attached.workspace_id, attached.id)
    return attached


async def open_as(runtime: Runtime, visitor: Visitor, conversation_id: str) -> tuple[Visitor, Conversation]:
    """The conversation, and the visitor as who they are in it: the person that they have proven to be there, or as they
    came. Raises NotFound."""
    try:
        return visitor, await open_conversation(runtime, visitor, conversation_id)
    except NotFound:
        if visitor.verified:
            raise
        note = await _note_of(runtime, visitor, conversation_id)
        if (
            note is None
            or note.cleared_at is not None
            or note.expires_at <= now_ms()
            or runtime.token_endings.ended(note.workspace_id, note.contact_id, note.created_at, session=note.session)
        ):
            raise
    acting = msgspec.structs.replace(
        visitor,
        contact_id=note.contact_id,
        verified=True,
        method=Method.TOKEN_EXCHANGE,
        auth_time=note.auth_time // SECOND_MS,
        said=None,
        session=note.session,
        # Beside the token that they came with: without that they would not be here, and it may be the one that is lost.
        grounds=(*visitor.grounds, Ground(note.contact_id, note.token_id, note.created_at)),
    )
    return acting, await open_conversation(runtime, acting, conversation_id)


async def _note_of(runtime: Runtime, visitor: Visitor, conversation_id: str) -> AttachedRow | None:
    return await attached_identities.find(runtime.store, visitor.workspace_id, conversation_id, visitor.token_id)


async def clear_identity(runtime: Runtime, visitor: Visitor, conversation_id: str) -> None:
    """The visitor is nobody in this conversation any more, which stays the person's; the contact tokens that were given
    for it end, and no userInfoId that opened it does so again."""

    def work() -> Work[None]:
        now = now_ms()
        found = yield attached_identities.clear(visitor.workspace_id, conversation_id, visitor.token_id, now)
        cleared = [AttachedRow(*columns) for columns in found]
        ended = {(row.contact_id, row.token_id) for row in cleared}
        # Who clears by the contact token that was given here did not claim the userInfoId: the row's holder did.
        holders = {visitor.token_id, *(row.holder for row in cleared)}
        if visitor.verified:
            ended.add((visitor.contact_id, visitor.token_id))
            holders.add("")
        for contact_id, token_id in sorted(ended):
            yield from end_one(Ending(visitor.workspace_id, contact_id, token_id, 0), now)
        for holder in sorted(holders):
            yield pending_identities.end(visitor.workspace_id, conversation_id, holder)

    await runtime.store.transact(work)
