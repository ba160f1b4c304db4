"""Says whether what is being found for a visitor is still to be found; it must not decide what is answered instead."""

from __future__ import annotations

from vestibule.conversations.visitor import require_open
from vestibule.errors import InvalidContactToken
from vestibule.model.claims import Method
from vestibule.responder.question import Question
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows


async def require_proof(runtime: Runtime, question: Question) -> None:
    """That what the message came with has not ended, as far as is known by now, and that its workspace is open. It is
    refused everywhere else from then on (SECURITY 3.2), and an answer may take minutes, or be taken over hours later:
    whoever wrote with a stolen token would go on being acted for. Raises InvalidContactToken, WorkspaceDisabled,
    StorageUnavailable while no ending is known yet."""
    await require_open(runtime, question.message.workspace_id)
    endings, given, message = runtime.token_endings, question.given, question.message
    workspace_id, of_provider = message.workspace_id, given.method == Method.TOKEN_EXCHANGE
    tokens = (given.token_id, *(ground.token_id for ground in given.grounds))
    # An ending is known here up to two seconds late: what was written in between came after it, its grounds did not.
    # Those whose chat it is count from the message on: it may have been a guest's, by a token that is older than an
    # ending of the person to whom the chat was given meanwhile.
    asked = [(ground.contact_id, ground.since) for ground in given.grounds]
    asked += [(each, message.sent_at) for each in (question.conversation.contact_id, question.contact.id)]
    if any(endings.ended_by_itself(workspace_id, each) for each in tokens) or any(
        endings.ended(workspace_id, contact_id, since, session=given.session, of_provider=of_provider)
        for contact_id, since in asked
    ):
        raise InvalidContactToken(detail="ended", step="ended")


async def is_left_to_it(runtime: Runtime, question: Question) -> bool:
    """Whether people have not taken over, closed or erased the conversation since the responder was asked: what it
    wants by then happens behind their backs. Raises StorageUnavailable."""
    asked = question.conversation
    now = await rows.get(runtime.store, asked.workspace_id, asked.id)
    return now is not None and now.is_open and not now.handed_off
