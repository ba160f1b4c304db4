"""Somebody is erased while something of theirs is on its way: it is stored first and goes with them, or not at all."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.uploads import stored
from tests.fixtures.widget import claims_of, unverified_token
from vestibule.administration import contacts, retention
from vestibule.app import make_runtime
from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.attach_identity import Proven, attach_bearer
from vestibule.conversations.files import keep_file
from vestibule.conversations.start import start_conversation
from vestibule.conversations.visitor import Visitor
from vestibule.errors import InvalidContactToken, InvalidGrant
from vestibule.identity.matching import Outcome
from vestibule.model.claims import Method, ProfileClaims, ProviderSubject, VerifiedClaims
from vestibule.runtime import Runtime
from vestibule.storage import erasure
from vestibule.storage.store import Store

ADA = "ada@example.com"


class Meanwhile:
    """A store at which something happens just before the first unit of work, or so many later."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[Any]], *, later: int = 0) -> None:
        self._store = store
        self._happens: Callable[[], Awaitable[Any]] | None = happens
        self._later = later

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def transact(self, make_work: Any) -> Any:
        if self._later:
            self._later -= 1
            return await self._store.transact(make_work)
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return await self._store.transact(make_work)


@pytest.fixture
def runtime(installation: Installation, tmp_path: Path) -> Iterator[Runtime]:
    """What the installation's server has, in this process, but for its files."""
    settings = dataclasses.replace(installation.desk.settings, files_directory=str(tmp_path / "files"))
    made = installation.run(make_runtime(settings, installation.desk.sealer))
    yield made
    installation.run(made.store.close())


def while_erased(runtime: Runtime, workspace: Workspace, contact_id: str) -> Runtime:
    desk = workspace.installation.desk
    store: Any = Meanwhile(runtime.store, lambda: contacts.erase(desk, workspace.id, contact_id))
    return dataclasses.replace(runtime, store=store)


def bearer(workspace: Workspace, token: str) -> Visitor:
    claims = claims_of(token)
    known = claims["contact"]["verified"]
    method = Method.SERVER_TO_SERVER if known else Method.UNVERIFIED
    return Visitor(workspace.id, claims["sub"], known, claims["jti"], method, now_ms() // SECOND_MS)


def held(workspace: Workspace, table: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT id FROM {table} WHERE workspace_id = $1"  # noqa: S608 - a name from below
    return workspace.installation.rows(sql, workspace.id)


def test_a_conversation_that_they_start(runtime: Runtime, workspace: Workspace) -> None:
    token, contact_id = workspace.sign_in(ADA)
    given = while_erased(runtime, workspace, contact_id)
    with pytest.raises(InvalidContactToken):
        workspace.installation.run(
            start_conversation(given, bearer(workspace, token), scope=None, custom_data={"account": "12345"})
        )
    assert held(workspace, "conversations") == held(workspace, "contacts") == []


def test_a_file_that_they_upload(runtime: Runtime, workspace: Workspace) -> None:
    token, contact_id = workspace.sign_in(ADA)
    given = while_erased(runtime, workspace, contact_id)
    content = io.BytesIO(samples.PDF)
    with pytest.raises(InvalidContactToken):
        workspace.installation.run(
            keep_file(given, bearer(workspace, token), name="a.pdf", size=len(samples.PDF), content=content)
        )
    assert stored(workspace) == ([], [])


def test_a_file_that_comes_while_their_others_are_deleted(runtime: Runtime, workspace: Workspace) -> None:
    token, contact_id = workspace.sign_in(ADA)
    author, content = bearer(workspace, token), io.BytesIO(samples.PDF)

    def upload() -> Awaitable[Any]:
        return keep_file(runtime, author, name="a.pdf", size=len(samples.PDF), content=content)

    store: Any = Meanwhile(runtime.store, upload, later=1)  # after the tokens were ended
    desk = dataclasses.replace(workspace.installation.desk, store=store)
    workspace.installation.run(contacts.erase(desk, workspace.id, contact_id))
    assert stored(workspace) == ([], [])


def test_somebody_who_is_merged_into_them(runtime: Runtime, workspace: Workspace) -> None:
    """They would point to nobody, and be refused whenever they sign in."""
    (_, contact_id), (token, merged) = workspace.sign_in(ADA), workspace.sign_in("second@example.com")
    run, desk = workspace.installation.run, workspace.installation.desk
    author, content = bearer(workspace, token), io.BytesIO(samples.PDF)
    run(start_conversation(runtime, author, scope=None, custom_data={}))
    run(keep_file(runtime, author, name="a.pdf", size=len(samples.PDF), content=content))
    store: Any = Meanwhile(desk.store, lambda: contacts.merge(desk, workspace.id, merged, contact_id), later=1)
    given = dataclasses.replace(desk, store=store, files=runtime.files)
    assert run(contacts.erase(given, workspace.id, contact_id)) == [contact_id, merged]
    assert held(workspace, "conversations") == held(workspace, "contacts") == held(workspace, "files") == []
    ended = "SELECT contact_id FROM token_endings WHERE workspace_id = $1"
    assert {row[0] for row in workspace.installation.rows(ended, workspace.id)} == {contact_id, merged}
    assert workspace.sign_in("second@example.com")[1] != merged


def test_somebody_who_is_merged_into_a_visitor_whose_time_is_over(runtime: Runtime, workspace: Workspace) -> None:
    """Both are kept until they are looked at together."""
    run, desk = workspace.installation.run, workspace.installation.desk
    first, merged = (bearer(workspace, unverified_token(workspace)) for _ in range(2))
    for visitor in (first, merged):
        run(start_conversation(runtime, visitor, scope="s", custom_data={}))
    workspace.installation.rows("UPDATE conversations SET updated_at = 1 WHERE workspace_id = $1", workspace.id)
    over = "UPDATE contacts SET expires_at = 1 WHERE workspace_id = $1 AND id = $2"
    workspace.installation.rows(over, workspace.id, first.contact_id)
    store: Any = Meanwhile(desk.store, lambda: contacts.merge(desk, workspace.id, merged.contact_id, first.contact_id))
    run(retention.purge(dataclasses.replace(desk, store=store)))
    assert len(held(workspace, "contacts")) == 2
    run(retention.purge(desk))
    assert held(workspace, "contacts") == held(workspace, "conversations") == []


def test_somebody_who_is_parted_from_them(workspace: Workspace) -> None:
    """They are somebody else again, and what is deleted does not come back."""
    (_, contact_id), (_, merged) = workspace.sign_in(ADA), workspace.sign_in("second@example.com")
    run, desk = workspace.installation.run, workspace.installation.desk
    run(contacts.merge(desk, workspace.id, merged, contact_id))
    # After the tokens of both were ended.
    store: Any = Meanwhile(desk.store, lambda: contacts.unmerge(desk, workspace.id, merged), later=2)
    given = dataclasses.replace(desk, store=store)
    assert run(contacts.erase(given, workspace.id, contact_id)) == [contact_id]
    assert held(workspace, "contacts") == [(merged,)]
    assert workspace.sign_in("second@example.com")[1] == merged


def test_somebody_who_is_parted_from_a_visitor_whose_time_is_over(runtime: Runtime, workspace: Workspace) -> None:
    """Their own time is not."""
    run, desk = workspace.installation.run, workspace.installation.desk
    first, merged = (bearer(workspace, unverified_token(workspace)) for _ in range(2))
    for visitor in (first, merged):
        run(start_conversation(runtime, visitor, scope="s", custom_data={}))
    run(contacts.merge(desk, workspace.id, merged.contact_id, first.contact_id))
    workspace.installation.rows("UPDATE conversations SET updated_at = 1 WHERE workspace_id = $1", workspace.id)
    over = "UPDATE contacts SET expires_at = 1 WHERE workspace_id = $1 AND id = $2"
    workspace.installation.rows(over, workspace.id, first.contact_id)
    store: Any = Meanwhile(desk.store, lambda: contacts.unmerge(desk, workspace.id, merged.contact_id))
    run(retention.purge(dataclasses.replace(desk, store=store)))
    run(retention.purge(desk))
    assert held(workspace, "contacts") == [(merged.contact_id,)]
    assert len(held(workspace, "conversations")) == 1


def test_people_who_were_merged_in_a_chain_once(workspace: Workspace) -> None:
    ids = [workspace.sign_in(f"{name}@example.com")[1] for name in ("one", "two", "three")]
    for contact_id, into in pairwise(ids):
        point = "UPDATE contacts SET merged_into = $3 WHERE workspace_id = $1 AND id = $2"
        workspace.installation.rows(point, workspace.id, contact_id, into)
    desk = workspace.installation.desk
    assert workspace.installation.run(contacts.erase(desk, workspace.id, ids[2])) == ids[::-1]
    assert held(workspace, "contacts") == []


def test_a_chat_that_becomes_theirs(runtime: Runtime, workspace: Workspace) -> None:
    """It stays the guest's, who may sign in again."""
    guest = bearer(workspace, unverified_token(workspace))
    chat = workspace.installation.run(start_conversation(runtime, guest, scope="s", custom_data={}))
    _, contact_id = workspace.sign_in(ADA)
    proven = Proven(workspace.id, contact_id, frozenset({contact_id}), now_ms(), guest.token_id, None)
    with pytest.raises(InvalidGrant):
        workspace.installation.run(attach_bearer(while_erased(runtime, workspace, contact_id), guest, chat.id, proven))
    columns = "SELECT contact_id, verified FROM conversations WHERE workspace_id = $1"
    assert [(owner, bool(proved)) for owner, proved in workspace.installation.rows(columns, workspace.id)] == [
        (guest.contact_id, False)
    ]


def test_a_provider_s_proof_that_leads_to_them(runtime: Runtime, workspace: Workspace, engine: str) -> None:
    """It would lead to nobody for ever: neither found, nor free."""
    if engine != "postgresql":
        pytest.skip("on SQLite there is one writer, and nothing comes between two steps of an erasure")
    _, contact_id = workspace.sign_in(ADA)
    proof = VerifiedClaims(  # house-rule: a test makes its own
        workspace_id=workspace.id,
        method=Method.TOKEN_EXCHANGE,
        proven_at=now_ms(),
        profile=ProfileClaims(email=ADA),
        email_key=ADA,
        subject=ProviderSubject("https://login.example.com", "ada", provider_id=1),
    )

    async def sign_in_amid_the_erasure() -> tuple[Outcome, Outcome]:
        connection = await asyncpg.connect(workspace.installation.server.settings["VESTIBULE_DATABASE_URL"])
        signing_in: asyncio.Task[Any] | None = None
        async with connection.transaction():
            work = erasure.erase(workspace.id, contact_id)
            step = next(work)
            while True:
                rows = await connection.fetch(step.statement.postgresql, *step.values)
                if step.statement.name == "erasure.provider_identities":
                    signing_in = asyncio.create_task(runtime.resolver.resolve(proof))
                    await asyncio.sleep(0.3)
                try:
                    step = work.send([tuple(row) for row in rows])
                except StopIteration:
                    break
        await connection.close()
        assert signing_in is not None
        first = await signing_in
        return first.outcome, (await runtime.resolver.resolve(proof)).outcome

    outcomes = workspace.installation.run(sign_in_amid_the_erasure())
    assert outcomes == (Outcome.CREATED, Outcome.UNCHANGED)
