"""The customer's own bot answers: one signed request with the message, the reply in its body; it must not retry, as the
work item does."""

from __future__ import annotations

from typing import Any

import msgspec

from vestibule.errors import UpstreamFailed
from vestibule.model.responder import ResponderSettings
from vestibule.outbound.client import Outbound
from vestibule.outbound.standard_webhooks import signature_headers
from vestibule.responder.question import Answer, Known, Question, known_of

_HISTORY = 50
_MOST_BYTES = 262_144
_LONGEST_TEXT = 32_768


class _Line(msgspec.Struct, frozen=True):
    sender: str
    text: str | None
    trust: str


class _Thread(msgspec.Struct, frozen=True):
    id: str
    ticket_number: int
    verified: bool
    custom_data: dict[str, Any]


class _Asked(msgspec.Struct, frozen=True):
    """What the bot receives."""

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


class _Answered(msgspec.Struct, frozen=True):
    """What the bot answers: `text`, or `handoff`, or both; neither means that it has nothing to say."""

    text: str | None = None
    handoff: bool = False
    might_solve: bool = False


async def ask(outbound: Outbound, settings: ResponderSettings, question: Question) -> Answer:
    """Raises Upstream errors."""
    conversation = question.conversation
    asked = _Asked(
        type="message.created",
        workspace_id=conversation.workspace_id,
        conversation=_Thread(
            conversation.id, conversation.ticket_number, conversation.verified, dict(conversation.custom_data)
        ),
        contact_id=question.contact.id,
        contact=known_of(question.contact),
        message=_Line(question.message.sender.value, question.message.text, question.message.trust.value),
        attachments=[msgspec.structs.asdict(item) for item in question.message.attachments],
        history=[
            _Line(line.sender.value, line.text, line.trust.value) for line in question.history[-_HISTORY:] if line.text
        ],
        language=question.given.language or question.contact.language,
        client_context=question.given.client_context,
    )
    body = msgspec.json.encode(asked)
    # The same id on every try, so that the bot can tell a repetition; the time is the try's own.
    message_id = f"msg_{conversation.id}_{question.message.seq}"
    answer = await outbound.request(
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
    text = said.text[:_LONGEST_TEXT].replace("\0", "") if said.text else None
    return Answer(text, said.handoff, might_solve=said.might_solve)
