"""The customer's own bot answers: one signed request with the message, the reply in its body; it must not retry, as the
work item does."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.errors import UpstreamFailed
from vestibule.model.conversation import Document
from vestibule.model.responder import ResponderSettings
from vestibule.outbound.standard_webhooks import signature_headers
from vestibule.responder import action_desk
from vestibule.responder.question import Answer, Known, Question, known_of
from vestibule.responder.tools import mode_named
from vestibule.runtime import Runtime

_HISTORY = 50
_MOST_BYTES = 262_144
LONGEST_TEXT = 32_768


class _Line(msgspec.Struct, frozen=True):
    """`trust` is what was proven of its author; an AI's line that is `unverified` is a greeting which the page says it
    has shown."""

    sender: str
    text: str | None
    trust: str


class _Thread(msgspec.Struct, frozen=True):
    """Without its custom data: the page has set it, for people to read, and beside `verified` it would look proven."""

    id: str
    ticket_number: int
    verified: bool
    mode: str | None


class _Asked(msgspec.Struct, frozen=True):
    """What the bot receives. `contact.verified` says whether it is proven who asks; `client_context`,
    `exit_mode_prompt` and what is `claimed` of the contact are what the page says, and prove nothing. `language` is the
    page's, or else the contact's where it is proven who asks."""

    type: str
    workspace_id: str
    conversation: _Thread
    contact_id: str
    contact: Known
    message: _Line
    attachments: list[dict[str, Any]]
    history: list[_Line]
    language: str | None
    client_context: dict[str, Any] | None
    exit_mode_prompt: str | None


class _Form(msgspec.Struct, frozen=True):
    action: str
    arguments: dict[str, Any] = {}


class _Answered(msgspec.Struct, frozen=True):
    """What the bot answers: `text`, `handoff`, `form` (an action that the visitor shall complete and send), `mode` (one
    of the widget's to open) or `exit_mode`, or several; none means that it has nothing to say."""

    text: str | None = None
    handoff: bool = False
    might_solve: bool = False
    form: _Form | None = None
    mode: str | None = None
    exit_mode: bool = False


async def ask(runtime: Runtime, settings: ResponderSettings, question: Question) -> Answer:
    """Raises Upstream errors, StorageUnavailable."""
    conversation = question.conversation
    body = msgspec.json.encode(_asked(question))
    # The same id on every try, so that the bot can tell a repetition; the time is the try's own.
    message_id = f"msg_{conversation.id}_{question.message.seq}"
    answer = await runtime.outbound.request(
        "POST",
        settings.url,
        headers={"content-type": "application/json", **signature_headers(settings.secrets, message_id, body)},
        body=body,
        timeout=settings.timeout_ms / 1000,
        most_bytes=_MOST_BYTES,
        purpose="responder",
        tenant=conversation.workspace_id,
    )
    if answer.status == 204:
        return Answer()
    if not 200 <= answer.status < 300:
        raise UpstreamFailed(detail=f"the bot answered {answer.status}", step="responder")
    try:
        said = msgspec.json.decode(answer.body, type=_Answered)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed(detail="the bot's answer is not of the documented form", step="responder") from None
    forms = await _forms(runtime, said.form, conversation.workspace_id)
    mode_id = await _mode_id(runtime, said, conversation.workspace_id)
    return Answer(storable(said.text), said.handoff, mode_id, forms, might_solve=said.might_solve)


def storable(text: str | None) -> str | None:
    """A responder's text as it can be kept: not blank, not over-long, without NUL and lone surrogates."""
    if text is None or not text.strip():
        return None
    return text[:LONGEST_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


def _asked(question: Question) -> _Asked:
    conversation, message = question.conversation, question.message
    return _Asked(
        type="message.created",
        workspace_id=conversation.workspace_id,
        conversation=_Thread(conversation.id, conversation.ticket_number, conversation.verified, conversation.mode_id),
        contact_id=question.contact.id,
        contact=known_of(question),
        message=_Line(message.sender.value, message.text, message.trust.value),
        attachments=[msgspec.structs.asdict(item) for item in message.attachments],
        history=[
            _Line("greeting" if line.is_greeting else line.sender.value, line.text, line.trust.value)
            for line in question.history[-_HISTORY:]
            if line.text
        ],
        language=question.given.language or (question.contact.language if question.verified else None),
        client_context=question.given.client_context,
        exit_mode_prompt=question.given.exit_mode_prompt,
    )


async def _mode_id(runtime: Runtime, said: _Answered, workspace_id: str) -> str | None | UnsetType:
    if said.mode is None:
        return None if said.exit_mode else UNSET
    mode = mode_named((await runtime.tenancy.widget(workspace_id)).modes, said.mode)
    if mode is None:
        raise UpstreamFailed(detail="the bot asks for a mode that there is not", step="responder")
    return mode.id


async def _forms(runtime: Runtime, form: _Form | None, workspace_id: str) -> tuple[Document, ...]:
    if form is None:
        return ()
    for action in await action_desk.actions_of(runtime.store, workspace_id):
        if action.name == form.action and action.enabled:
            policy = await action_desk.policy_of(runtime.store, runtime.sealer, workspace_id)
            return (action_desk.as_form(action, policy, form.arguments),)
    raise UpstreamFailed(detail="the bot asks for the form of an action that there is not", step="responder")
