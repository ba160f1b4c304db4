"""Stores what a visitor writes, together with the answer that is owed to it, and starts on the answer; it must not wait
for it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.conversations.messages import Appended, Draft, append
from vestibule.conversations.visitor import Visitor, ensure_contact
from vestibule.model.conversation import Authorship, Conversation, Message, Sender
from vestibule.responder.question import JobInput
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage.responder_jobs import Job


async def post(
    runtime: Runtime,
    runner: Runner,
    author: Visitor,
    conversation: Conversation,
    *,
    drafts: Sequence[Draft],
    given: JobInput,
) -> Appended:
    """Appends the drafts, of which the last is the visitor's message. Raises ConversationClosed, InvalidContactToken,
    NotFound, AlreadyExists, StorageUnavailable."""
    responder = await runtime.tenancy.responder(author.workspace_id)
    # Who asks is what their token says, whatever the caller has put there.
    proof = {"method": author.method.value, "auth_time": author.auth_time, "said": author.said}
    given = msgspec.structs.replace(given, **proof)

    def make_job(current: Conversation, message: Message) -> Job | None:
        return runner.new_job(message, given) if responder.answers and not current.handed_off else None

    def change(current: Conversation) -> Conversation:
        language = given.language or current.language
        mode = None if given.exit_mode_prompt else current.mode_id
        return msgspec.structs.replace(current, language=language, mode_id=mode)

    # Each time: an unverified contact is kept for as long as somebody writes.
    contact = await ensure_contact(runtime, author)
    claims = not author.verified and bool(contact.name or contact.email or contact.phone)
    authorship = Authorship(author.method.value, author.auth_time * SECOND_MS, claims)
    written = [
        msgspec.structs.replace(draft, author=authorship) if draft.sender is Sender.USER else draft for draft in drafts
    ]
    appended = await append(runtime, conversation, written, change=change, make_job=make_job)
    if appended.job is not None:
        runner.start(appended.job)
    return appended
