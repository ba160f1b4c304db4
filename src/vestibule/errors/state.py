"""Refusals because of what is known: it is not there, contradicts, or is asked for too often."""

from __future__ import annotations

from vestibule.errors.root import VestibuleError


class NotFound(VestibuleError):
    code = "not_found"
    sentence = "There is no such thing here."


class Conflict(VestibuleError):
    code = "conflict"
    sentence = "This contradicts what is already known."


class AlreadyExists(Conflict):
    code = "already_exists"
    sentence = "This exists already."


class IdentityConflict(Conflict):
    code = "identity_conflict"
    sentence = "This identity belongs to another person here."


class ConversationClosed(Conflict):
    code = "conversation_closed"
    sentence = "This conversation is closed."


class ConversationFull(Conflict):
    code = "conversation_full"
    sentence = "This conversation holds as much as one may: start a new conversation."


class QueueClosed(Conflict):
    code = "queue_closed"
    sentence = "This queue is closed at this hour."


class ContactBusy(Conflict):
    code = "contact_busy"
    sentence = "This contact is being changed by other requests; try again."


class RequestUnderWay(Conflict):
    code = "request_under_way"
    sentence = "A request with this Idempotency-Key is being answered at this moment; try again."


class StaleEdit(Conflict):
    code = "stale_edit"
    sentence = "This was changed since you read it: read it again."


class RateLimited(VestibuleError):
    """`limit` is in requests a minute."""

    code = "rate_limited"
    sentence = "Too many requests; try again later."

    def __init__(self, limit: int, retry_after: int, *, detail: str = "") -> None:
        self.limit = limit
        super().__init__(detail=detail, step="rate_limit", retry_after=retry_after)
