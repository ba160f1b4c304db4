"""The responder's work items as rows, their input sealed; it must not run one.

A work item is made in the transaction that stores the visitor's message and removed in the one that stores the answer:
whatever crashes in between, the message is answered once.
"""

from __future__ import annotations

import msgspec

from vestibule.storage.statement import statement
from vestibule.storage.store import Query, Store, query


class Job(msgspec.Struct, frozen=True):
    """An answer that is owed to message `seq`. `owner` works on it until `leased_until` (epoch ms)."""

    workspace_id: str
    conversation_id: str
    seq: int
    sealed_input: str
    owner: str
    leased_until: int
    attempts: int
    created_at: int


class Lease(msgspec.Struct, frozen=True):
    """Who works on a job, and until when (epoch ms, by their clock); 0: it was given back."""

    workspace_id: str
    conversation_id: str
    seq: int
    owner: str
    leased_until: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.workspace_id, self.conversation_id, self.seq


def sealing_context(conversation_id: str) -> str:
    return f"responder_jobs.input:{conversation_id}"


_COLUMNS = "workspace_id, conversation_id, seq, sealed_input, owner, leased_until, attempts, created_at"

INSERT = statement(
    "responder_jobs.insert",
    f"INSERT INTO responder_jobs ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING seq",
)
# Not the input, which may be large: these are looked at again and again, and few are taken over.
ABANDONED = statement(
    "responder_jobs.abandoned",
    """
    SELECT workspace_id, conversation_id, seq, owner, leased_until FROM responder_jobs
    WHERE leased_until < $1 OR leased_until > $2 ORDER BY leased_until, seq LIMIT $3
    """,
)
TAKE_OVER = statement(
    "responder_jobs.take_over",
    f"""
    UPDATE responder_jobs SET owner = $6, leased_until = $7, attempts = attempts + 1
    WHERE workspace_id = $1 AND conversation_id = $2 AND seq = $3 AND owner = $4 AND leased_until = $5
    RETURNING {_COLUMNS}
    """,
)
RENEW = statement(
    "responder_jobs.renew",
    """
    UPDATE responder_jobs SET leased_until = $5
    WHERE workspace_id = $1 AND conversation_id = $2 AND seq = $3 AND owner = $4 RETURNING seq
    """,
)
FINISH = statement(
    "responder_jobs.finish",
    """
    DELETE FROM responder_jobs WHERE workspace_id = $1 AND conversation_id = $2 AND seq = $3 AND owner = $4
    RETURNING seq
    """,
)
EARLIER = statement(
    "responder_jobs.earlier",
    "SELECT COUNT(*) FROM responder_jobs WHERE workspace_id = $1 AND conversation_id = $2 AND seq < $3",
)
EXISTS = statement(
    "responder_jobs.exists",
    "SELECT COUNT(*) FROM responder_jobs WHERE workspace_id = $1 AND conversation_id = $2 AND seq = $3",
)


def insert(job: Job) -> Query:
    return query(INSERT, *msgspec.structs.astuple(job))


def finish(job: Job) -> Query:
    """Returns a row if the job was still this owner's."""
    return query(FINISH, job.workspace_id, job.conversation_id, job.seq, job.owner)


async def abandoned(store: Store, before: int, furthest: int, most: int) -> list[Lease]:
    """Leases of jobs that may be abandoned: those that end before a moment, the first of them first, and those that end
    after `furthest`, which are of a clock that was wrong."""
    return [Lease(*row) for row in await store.read(ABANDONED, before, furthest, most)]


async def take_over(store: Store, lease: Lease, owner: str, until: int) -> Job | None:
    """The job, now `owner`'s; None where the lease was moved, taken or ended meanwhile."""
    rows = await store.write(TAKE_OVER, *msgspec.structs.astuple(lease), owner, until)
    return Job(*rows[0]) if rows else None


async def renew(store: Store, job: Job, until: int) -> bool:
    """False where the job is not this owner's any more."""
    return bool(await store.write(RENEW, job.workspace_id, job.conversation_id, job.seq, job.owner, until))


async def earlier(store: Store, job: Job) -> bool:
    """Whether the conversation owes an answer to an earlier message."""
    return bool((await store.read(EARLIER, job.workspace_id, job.conversation_id, job.seq))[0][0])


async def exists(store: Store, workspace_id: str, conversation_id: str, seq: int) -> bool:
    return bool((await store.read(EXISTS, workspace_id, conversation_id, seq))[0][0])
