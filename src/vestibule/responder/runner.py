"""Answers what is owed: runs work items at once, takes over those whose process died, and stores each answer exactly
once; it must not know how an answer is found.

A job is owned for a short lease, which its process renews while it works. The answer and the end of the job are one
transaction on the condition that the job is still this owner's, so two processes can both work on it by accident, and
only one answer is ever stored. A process that finds its lease taken stops at once, before it calls another action.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable

import msgspec
from msgspec import UNSET

from vestibule.clock import MINUTE_MS, SECOND_MS, elapsed, now_ms
from vestibule.conversations.course import handed_off
from vestibule.conversations.messages import Appended, Draft, append_work
from vestibule.errors import ConversationClosed, NotFound, StorageUnavailable, VestibuleError
from vestibule.ids import new_id
from vestibule.model.conversation import Assignee, Conversation, Document, Message, Sender, Trust
from vestibule.responder import action_desk
from vestibule.responder.question import ACTION_EXECUTED, Answer, JobInput, Made, Question, in_order
from vestibule.responder.respond import respond
from vestibule.responder.standing import require_proof
from vestibule.runtime import Runtime
from vestibule.storage import conversations as rows
from vestibule.storage import responder_jobs as jobs
from vestibule.storage.responder_jobs import Job, Lease
from vestibule.storage.store import Work

LEASE_MS = 8 * SECOND_MS
# A lease that ends later than any could was given by a clock that was wrong, and does not hold for as long.
_CLOCKS_APART_MS = MINUTE_MS
_RENEW_SECONDS = 2.5
_LOOK_SECONDS = 2.0
# Whoever is alive moves its lease twice in this time, whatever the clocks say. A lease is watched from so long before
# its end that this costs nobody any time.
_UNMOVED_SECONDS = 5.5
_WATCHED_MS = 6 * SECOND_MS
# More than are taken: of nodes whose clocks are wrong, those of the living are among them.
_MOST_WATCHED = 200
_AT_ONCE = 20
_MOST_ATTEMPTS = 3
_ASK_AGAIN_SECONDS = 0.25
# For everything together: each step has a time-out of its own, and a model may take many steps.
_LONGEST_SECONDS = 300.0
# More rows than any responder is told of, some of which say nothing to it.
_LOOKED_AT = 200
_CLOSING_SECONDS = 5.0
NOTICE = "I cannot answer this right now. A member of our team will take over and reply here."
HANDOFF_NOTICE = "A member of our team will take over and reply here."
_log = logging.getLogger(__name__)

Key = tuple[str, str, int]


class _Superseded(Exception):
    """Another process has taken the job over."""


class _HandedOff(Exception):
    """People answer in this conversation."""


class Runner:
    """The responder of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.owner = new_id()
        self._running: dict[Key, tuple[Job, asyncio.Task[None]]] = {}
        self._watched: dict[Lease, float] = {}  # since when each is as it is

    def new_job(self, message: Message, given: JobInput) -> Job:
        """The work item for a visitor's message, already this process's own."""
        now = now_ms()
        sealed = self._runtime.sealer.seal(
            msgspec.json.encode(given).decode(), jobs.sealing_context(message.conversation_id)
        )
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

    def start(self, job: Job) -> None:
        """Works on a job this process owns, in a task of its own: a client that hangs up does not stop it."""
        key = (job.workspace_id, job.conversation_id, job.seq)
        if key not in self._running:
            task = asyncio.create_task(self._work(job))
            self._running[key] = (job, task)
            task.add_done_callback(lambda _: self._running.pop(key, None))

    async def answer_of(self, message: Message, within: float) -> Message | None:
        """The answer to a message whose job may be under way here or elsewhere; None if there is none in time."""
        key = (message.workspace_id, message.conversation_id, message.seq)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                # Asked again and again only where another process works on it.
                while key in self._running or await jobs.exists(self._runtime.store, *key):
                    await _pause([self._running[key][1]] if key in self._running else [])
        return await rows.answer_to(self._runtime.store, *key)

    async def run(self) -> None:
        """Takes over abandoned jobs until cancelled."""
        while True:
            try:
                await self._take_over()
            except VestibuleError as error:
                _log.warning("abandoned answers cannot be looked for: %s", error.code)
            except Exception:
                _log.exception("looking for abandoned answers failed unexpectedly")
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Lets answers under way finish for a moment, and gives the others back, for the next process to take over."""
        if not self._running:
            return
        await asyncio.wait([task for _, task in self._running.values()], timeout=_CLOSING_SECONDS)
        left = list(self._running.values())
        for _, task in left:
            task.cancel()
        await asyncio.gather(*(task for _, task in left), return_exceptions=True)
        for job, _ in left:
            with contextlib.suppress(StorageUnavailable):
                await jobs.renew(self._runtime.store, job, 0)

    async def _take_over(self) -> None:
        now = now_ms()
        furthest = now + LEASE_MS + _CLOCKS_APART_MS
        found = await jobs.abandoned(self._runtime.store, now + _WATCHED_MS, furthest, _MOST_WATCHED)
        at = elapsed()
        self._watched = {lease: self._watched.get(lease, at) for lease in found}
        over = [
            lease
            for lease, since in self._watched.items()
            if not now <= lease.leased_until <= furthest and self._is_left(lease, at - since)
        ]
        for lease in over[:_AT_ONCE]:
            job = await jobs.take_over(self._runtime.store, lease, self.owner, now_ms() + LEASE_MS)
            if job is not None:
                self.start(job)

    def _is_left(self, lease: Lease, unmoved: float) -> bool:
        """Whether nobody works on it any more. That its time is over does not tell: it was given by another clock,
        and two at work would ask the bot twice, and call actions twice."""
        if lease.owner == self.owner:
            return lease.key not in self._running
        return lease.leased_until == 0 or unmoved >= _UNMOVED_SECONDS

    async def _work(self, job: Job) -> None:
        try:
            async with self._holding(job):
                await self._turn(job)
                conversation, answer = await self._find_answer(job)
            await self._store(job, conversation, answer)
        except _Superseded:
            _log.info("another process answers in conversation %s", job.conversation_id)
        except StorageUnavailable as error:
            # The lease runs out, and somebody tries again.
            _log.warning("an answer in conversation %s waits: %s", job.conversation_id, error.code)
        except Exception:
            _log.exception("an answer in conversation %s failed unexpectedly", job.conversation_id)

    @contextlib.asynccontextmanager
    async def _holding(self, job: Job) -> AsyncIterator[None]:
        """Renews the lease while the block runs. Ends the block, and raises _Superseded, where the job was lost."""
        try:
            async with asyncio.timeout(None) as end:
                renewing = asyncio.create_task(self._renew(job, end))
                try:
                    yield
                finally:
                    renewing.cancel()
        except TimeoutError:
            raise _Superseded from None

    async def _renew(self, job: Job, end: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with contextlib.suppress(StorageUnavailable):
                if not await jobs.renew(self._runtime.store, job, now_ms() + LEASE_MS):
                    end.reschedule(0)
                    return

    async def _turn(self, job: Job) -> None:
        """Returns when no earlier message of the conversation waits for its answer, here or in another process."""
        while await jobs.earlier(self._runtime.store, job):
            here = (job.workspace_id, job.conversation_id)
            before = [task for key, (_, task) in self._running.items() if key[:2] == here and key[2] < job.seq]
            await _pause(before)

    async def _find_answer(self, job: Job) -> tuple[Conversation | None, Answer]:
        conversation = await rows.get(self._runtime.store, job.workspace_id, job.conversation_id)
        if conversation is None or not conversation.is_open or conversation.handed_off:
            return conversation, Answer()
        notice, made = NOTICE, Made()
        try:
            settings = await self._runtime.tenancy.responder(job.workspace_id)
            notice = settings.notice or NOTICE
            if job.attempts > _MOST_ATTEMPTS:
                _log.warning("the responder failed: %s attempts in conversation %s", job.attempts - 1, conversation.id)
                return conversation, Answer(notice, handoff=True)
            async with asyncio.timeout(_LONGEST_SECONDS):
                question = await self._question(job, conversation)
                if question is not None:
                    await require_proof(self._runtime, question)
                answer = Answer() if question is None else await respond(self._runtime, settings, question, made)
        except StorageUnavailable:
            raise
        except Exception as error:
            # Never silent: people take over, the visitor is told, and so is the history of what was done by then.
            code, detail = type(error).__name__, ""
            if isinstance(error, VestibuleError):
                code, detail = error.code, error.detail
            _log.warning("the responder failed: %s in conversation %s: %s", code, conversation.id, detail)
            calls = _carried_out(made.calls)
            return conversation, Answer(notice, handoff=True, action_calls=calls, action_requests=tuple(made.requests))
        if answer.handoff and not answer.text:
            answer = msgspec.structs.replace(answer, text=settings.handoff_notice or HANDOFF_NOTICE)
        return conversation, answer

    async def _question(self, job: Job, conversation: Conversation) -> Question | None:
        contact = await self._runtime.contacts.find_leading(job.workspace_id, conversation.contact_id)
        history = await self._latest(job, 2**62)
        if history and history[0].seq > job.seq:  # more has come since than is looked at
            history = [*await self._latest(job, job.seq + 1), *history]
        message = next((line for line in history if line.seq == job.seq), None)
        if contact is None or message is None:  # erased since
            return None
        text = self._runtime.sealer.unseal(job.sealed_input, jobs.sealing_context(job.conversation_id))
        given = msgspec.json.decode(text, type=JobInput)
        return Question(conversation, contact, in_order(history, job.seq), message, given)

    async def _latest(self, job: Job, before: int) -> list[Message]:
        store = self._runtime.store
        return await rows.latest(store, job.workspace_id, job.conversation_id, before=before, most=_LOOKED_AT)

    async def _store(self, job: Job, conversation: Conversation | None, answer: Answer) -> None:
        try:
            done = await self._keep(job, conversation, answer)
        except NotFound:  # erased while the answer was being found
            await self._runtime.store.transact(lambda: _forget(job))
            return
        if done is not None:
            self._runtime.live.changed(job.workspace_id, job.conversation_id)

    async def _keep(self, job: Job, conversation: Conversation | None, answer: Answer) -> Appended | None:
        try:
            return await self._runtime.store.transact(lambda: _answered(job, conversation, answer))
        except (ConversationClosed, _HandedOff):
            # Closed or taken by people while the answer was being found: it is not wanted any more. What was done for
            # it is part of the history.
            return await self._runtime.store.transact(lambda: _unanswered(job, conversation, answer))


async def _pause(tasks: list[asyncio.Task[None]]) -> None:
    """Until there may be something new: one of `tasks` has ended, or another process has had a moment."""
    if tasks:
        await asyncio.wait(tasks)  # unlike waiting for them directly, this cancels none when it is cancelled
    else:
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _answered(job: Job, conversation: Conversation | None, answer: Answer) -> Work[Appended | None]:
    drafts = _drafts(job, answer)
    if not (yield jobs.finish(job)):
        raise _Superseded
    silent = not drafts and answer.mode_id is UNSET
    if conversation is None or (silent and conversation.assignee_kind is Assignee.NONE):
        return None
    return (yield from append_work(conversation, drafts, change=lambda now: _changed(now, answer)))


def _unanswered(job: Job, conversation: Conversation | None, answer: Answer) -> Work[Appended | None]:
    if not (yield jobs.finish(job)):
        raise _Superseded
    calls = _carried_out(answer.action_calls)
    if conversation is None or not calls:
        return None
    # Not as the answer to the message: whoever waits for that one is told that there is none.
    row = Draft(
        Sender.SYSTEM,
        Trust.SYSTEM,
        type=ACTION_EXECUTED,
        action_calls=calls,
        action_requests=answer.action_requests,
    )
    return (yield from append_work(conversation, [row], closed_too=True))


def _carried_out(calls: Iterable[Document]) -> tuple[Document, ...]:
    """Those that were made: a form that was to be shown has done nothing."""
    return tuple(call for call in calls if not action_desk.is_form(call))


def _drafts(job: Job, answer: Answer) -> list[Draft]:
    drafts = []
    if answer.text or answer.action_calls:
        drafts.append(
            Draft(
                Sender.AI,
                Trust.SYSTEM,
                text=answer.text,
                action_calls=answer.action_calls,
                action_requests=answer.action_requests,
                payload={"type": "none", "might_solve": answer.might_solve},
                answers=job.seq,
            )
        )
    if answer.handoff:
        drafts.append(Draft(Sender.SYSTEM, Trust.SYSTEM, type="handoff", payload={"type": "none"}))
    return drafts


def _changed(current: Conversation, answer: Answer) -> Conversation:
    if current.handed_off:
        raise _HandedOff
    if answer.mode_id is not UNSET:
        current = msgspec.structs.replace(current, mode_id=answer.mode_id)
    if answer.handoff:
        return handed_off(current)
    # While the AI is the assignee and the last word is the visitor's, the widget's composer waits for an answer
    # (contracts/opencx.md 4.2). A responder that chose to say nothing must not lock the visitor out.
    assignee = Assignee.AI if answer.text else Assignee.NONE
    return msgspec.structs.replace(current, assignee_kind=assignee)


def _forget(job: Job) -> Work[None]:
    yield jobs.finish(job)
