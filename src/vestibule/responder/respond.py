"""Finds the answer to a question in the way its workspace has chosen; it must not store it."""

from __future__ import annotations

from vestibule.model.responder import ResponderKind, ResponderSettings
from vestibule.responder import language_model, webhook
from vestibule.responder.question import Answer, Made, Question
from vestibule.runtime import Runtime


async def respond(runtime: Runtime, settings: ResponderSettings, question: Question, made: Made) -> Answer:
    """`made` is told of each call of an action. Raises Upstream errors, CannotUnseal, StorageUnavailable."""
    if settings.kind is ResponderKind.WEBHOOK:
        return await webhook.ask(runtime, settings, question)
    if settings.kind is ResponderKind.OPENAI:
        return await language_model.ask(runtime, settings, question, made)
    return Answer(handoff=True)  # switched off since the message came: people answer
