"""Says whether what is being found for a visitor is still to be found; it must not decide what is answered instead."""

from __future__ import annotations

from vestibule.errors import InvalidContactToken
from vestibule.model.claims import Method
from vestibule.responder.question import Question
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows


def require_proof(runtime: Runtime, question: Question) -> None:
    """That what the message came with has not ended since it was written. It is refused everywhere else from then on
    (SECURITY 3.2), and an answer may take minutes, or be taken over hours later: whoever wrote with a stolen token
    would go on being acted for. Raises InvalidContactToken, StorageUnavailable while no ending is known yet."""
    endings, given, message = runtime.token_endings, question.given, question.message
    of_provider = given.method == Method.TOKEN_EXCHANGE
    if endings.ended_by_itself(message.workspace_id, given.token_id) or any(
        endings.ended(message.workspace_id, each, message.sent_at, session=given.session, of_provider=of_provider)
        for each in (question.conversation.contact_id, question.contact.id)
    ):
        raise InvalidContactToken(detail="ended since the message was written", step="ended")


async def is_left_to_it(runtime: Runtime, question: Question) -> bool:
    """Whether people have not taken over, closed or erased the conversation since the responder was asked: what it
    wants by then happens behind their backs. Raises StorageUnavailable."""
    asked = question.conversation
    now = await rows.get(runtime.store, asked.workspace_id, asked.id)
    return now is not None and now.is_open and not now.handed_off
