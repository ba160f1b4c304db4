"""Answers what is owed: runs work items at once, takes over those whose process died, and stores each answer exactly
once; it must not know how an answer is found.

A job is owned for a short lease, which its process renews while it works. The answer and the end of the job are one
transaction on the condition that the job is still this owner's, so two processes can both work on it by accident, and
only one answer is ever stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.course import handed_off
from vestibule.conversations.messages import Appended, Draft, append_work
from vestibule.errors import ConversationClosed, StorageUnavailable, VestibuleError
from vestibule.ids import new_id
from vestibule.model.conversation import Conversation, Message, Sender, Trust
from vestibule.responder.question import Answer, JobInput, Question
from vestibule.responder.respond import respond
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import responder_jobs as jobs
from vestibule.storage.responder_jobs import Job
from vestibule.storage.store import Work

LEASE_MS = 8 * SECOND_MS
_RENEW_SECONDS = 2.5
_LOOK_SECONDS = 2.0
_AT_ONCE = 20
_MOST_ATTEMPTS = 3
_WAIT_FOR_EARLIER_SECONDS = 0.25
NOTICE = "I cannot answer this right now. A member of our team will take over and reply here."
_log = logging.getLogger(__name__)

Key = tuple[str, str, int]


class Runner:
    """The responder of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.owner = new_id()
        self._running: dict[Key, asyncio.Task[Message | None]] = {}

    def new_job(self, message: Message, given: JobInput) -> Job:
        """The work item for a visitor's message, already this process's own."""
        now = now_ms()
        sealed = self._runtime.sealer.seal(msgspec.json.encode(given).decode(), _context(message.conversation_id))
        return Job(
            workspace_id=message.workspace_id,
            conversation_id=message.conversation_id,
            seq=message.seq,
            sealed_input=sealed,
            owner=self.owner,
            leased_until=now + LEASE_MS,
            attempts=1,
            created_at=now,
        )

    def start(self, job: Job) -> asyncio.Task[Message | None]:
        """Works on a job this process owns, in a task of its own: a client that hangs up does not stop it."""
        key = (job.workspace_id, job.conversation_id, job.seq)
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._work(job))
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def answer_of(self, message: Message, within: float) -> Message | None:
        """The answer to a message whose job may be under way here or elsewhere; None if there is none in time."""
        key = (message.workspace_id, message.conversation_id, message.seq)
        task = self._running.get(key)
        if task is not None:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(task), within)
        return await rows.answer_to(self._runtime.store, *key)

    async def run(self) -> None:
        """Takes over abandoned jobs until cancelled."""
        while True:
            try:
                await self._take_over()
            except VestibuleError as error:
                _log.warning("abandoned answers cannot be looked for: %s", error.code)
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Lets answers under way finish for a moment; what does not is taken over by the next process."""
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=5.0)

    async def _take_over(self) -> None:
        now = now_ms()
        for found in await jobs.abandoned(self._runtime.store, now, _AT_ONCE):
            job = await jobs.take_over(self._runtime.store, found, self.owner, now + LEASE_MS, now)
            if job is not None:
                self.start(job)

    async def _work(self, job: Job) -> Message | None:
        renewing = asyncio.create_task(self._renew(job))
        try:
            # Answers keep the order of the questions. Asked again and again: the earlier one may be another process's.
            while await jobs.earlier(self._runtime.store, job):  # noqa: ASYNC110
                await asyncio.sleep(_WAIT_FOR_EARLIER_SECONDS)
            return await self._answer(job)
        except StorageUnavailable:
            return None  # the lease runs out, and somebody tries again
        except Exception:
            _log.exception("an answer failed unexpectedly")
            return None
        finally:
            renewing.cancel()

    async def _renew(self, job: Job) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with contextlib.suppress(StorageUnavailable):
                await jobs.renew(self._runtime.store, job, now_ms() + LEASE_MS)

    async def _answer(self, job: Job) -> Message | None:
        question = await self._question(job)
        answer = Answer()
        if question is not None and question.conversation.is_open and not question.conversation.handed_off:
            answer = await self._ask(job, question)
        return await self._store(job, question, answer)

    async def _ask(self, job: Job, question: Question) -> Answer:
        if job.attempts > _MOST_ATTEMPTS:
            return Answer(NOTICE, handoff=True)
        settings = await self._runtime.tenancy.responder(job.workspace_id)
        try:
            return await respond(self._runtime, settings, question)
        except StorageUnavailable:
            raise
        except Exception as error:
            # Never silent: people take over, and the visitor is told.
            code = error.code if isinstance(error, VestibuleError) else type(error).__name__
            _log.warning("the responder failed: %s", code, extra={"conversation": job.conversation_id})
            return Answer(NOTICE, handoff=True)

    async def _question(self, job: Job) -> Question | None:
        store = self._runtime.store
        conversation = await rows.get(store, job.workspace_id, job.conversation_id)
        if conversation is None:
            return None
        contact = await self._runtime.contacts.find_leading(job.workspace_id, conversation.contact_id)
        history = await rows.history(store, job.workspace_id, job.conversation_id)
        upto = [line for line in history if line.seq <= job.seq or line.answers is not None]
        message = next((line for line in history if line.seq == job.seq), None)
        if contact is None or message is None:
            return None
        text = self._runtime.sealer.unseal(job.sealed_input, _context(job.conversation_id))
        given = msgspec.json.decode(text, type=JobInput)
        return Question(conversation, contact, upto, message, given)

    async def _store(self, job: Job, question: Question | None, answer: Answer) -> Message | None:
        drafts = _drafts(job, answer)

        def work() -> Work[Appended | None]:
            ours = yield jobs.finish(job)
            if not ours or question is None or not drafts:
                return None
            return (
                yield from append_work(
                    question.conversation,
                    drafts,
                    change=lambda current: _changed(current, answer),
                )
            )

        try:
            done = await self._runtime.store.transact(work)
        except ConversationClosed:
            # Closed while the answer was being found: it is not wanted any more.
            await self._runtime.store.transact(lambda: _forget(job))
            return None
        if done is None:
            return await rows.answer_to(self._runtime.store, job.workspace_id, job.conversation_id, job.seq)
        self._runtime.live.changed(job.workspace_id, job.conversation_id)
        return next((message for message in done.messages if message.sender is Sender.AI), None)


def _drafts(job: Job, answer: Answer) -> list[Draft]:
    drafts = []
    if answer.text or answer.action_calls:
        drafts.append(
            Draft(
                Sender.AI,
                Trust.SYSTEM,
                text=answer.text,
                action_calls=answer.action_calls,
                payload={"type": "none", "might_solve": answer.might_solve},
                answers=job.seq,
            )
        )
    if answer.handoff:
        drafts.append(Draft(Sender.SYSTEM, Trust.SYSTEM, type="handoff", payload={"type": "none"}))
    return drafts


def _changed(current: Conversation, answer: Answer) -> Conversation:
    return handed_off(current) if answer.handoff else current


def _forget(job: Job) -> Work[None]:
    yield jobs.finish(job)


def _context(conversation_id: str) -> str:
    return f"responder_jobs.input:{conversation_id}"
