"""Stores what a visitor writes, together with the answer that is owed to it, and starts on the answer; it must not wait
for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule.clock import SECOND_MS
from vestibule.conversations.course import handed_off
from vestibule.conversations.messages import Appended, Draft, append
from vestibule.conversations.visitor import Visitor, ensure_contact
from vestibule.model.action import MessageOverrides
from vestibule.model.conversation import Attachment, Authorship, Conversation, Document, Message, Sender
from vestibule.responder.overrides import check_message_overrides
from vestibule.responder.question import JobInput
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.storage.responder_jobs import Job


class Written(msgspec.Struct, frozen=True):
    """What a visitor wrote. `public_id` is theirs: what comes again under it is the same message."""

    text: str
    public_id: str
    attachments: tuple[Attachment, ...] = ()
    custom_data: Document | None = None


def page_input(
    *,
    context: Document | None,
    language: str | None,
    headers: dict[str, str] | None,
    query_params: dict[str, str] | None,
    body_properties: dict[str, Any] | None,
    exit_mode_prompt: str | None = None,
) -> JobInput:
    """What a page sends with a message for its answer only. Raises InvalidField in the wire's names."""
    overrides = check_message_overrides(MessageOverrides(headers or {}, query_params or {}, body_properties or {}))
    return JobInput(
        client_context=context,
        language=language,
        exit_mode_prompt=exit_mode_prompt,
        headers=overrides.headers,
        query_params=overrides.query_params,
        body_properties=overrides.body_properties,
    )


async def post(
    runtime: Runtime,
    runner: Runner,
    author: Visitor,
    conversation: Conversation,
    written: Written,
    *,
    given: JobInput | None = None,
    greetings: Sequence[Draft] = (),
) -> Appended:
    """Appends the visitor's message, and before it the greetings that their page had shown. Raises ConversationClosed,
    ConversationFull, InvalidContactToken, NotFound, AlreadyExists, StorageUnavailable."""
    responder = await runtime.tenancy.responder(author.workspace_id)
    # Who asks is what their token says, whatever the caller has put there.
    asked = msgspec.structs.replace(
        given or JobInput(),
        method=author.method.value,
        auth_time=author.auth_time,
        said=author.said,
        token_id=author.token_id,
        session=author.session,
        grounds=author.grounds,
    )

    def make_job(current: Conversation, stored: Message) -> Job | None:
        return runner.new_job(stored, asked) if responder.answers and not current.handed_off else None

    def change(current: Conversation) -> Conversation:
        language = asked.language or current.language
        mode = None if asked.exit_mode_prompt else current.mode_id
        if not responder.answers:  # switched off since the conversation began: nobody else would tell people of it
            current = handed_off(current)
        return msgspec.structs.replace(current, language=language, mode_id=mode)

    # Each time: an unverified contact is kept for as long as somebody writes.
    contact = await ensure_contact(runtime, author)
    claims = not author.verified and bool(contact.name or contact.email or contact.phone)
    authorship = Authorship(author.method.value, author.auth_time * SECOND_MS, claims)
    message = Draft(
        Sender.USER,
        author.trust,
        text=written.text,
        public_id=written.public_id,
        attachments=written.attachments,
        custom_data=written.custom_data,
        author=authorship,
    )
    appended = await append(
        runtime, conversation, [*greetings, message], change=change, make_job=make_job, bounded=True
    )
    if appended.job is not None:
        runner.start(appended.job)
    return appended
