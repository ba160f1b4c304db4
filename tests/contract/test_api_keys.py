"""API keys from making to end: their form, what is kept of them, scopes, expiry, revocation on every worker, rotation
with overlap, and who still uses the old one."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, as_httpx, refused
from tests.fixtures.raw_http import exchange
from tests.fixtures.server import RunningServer
from vestibule.administration import api_keys
from vestibule.administration.api_keys import KeyReport, KeyState
from vestibule.clock import elapsed
from vestibule.model.workspace import Scope
from vestibule.tokens.api_keys import ApiKeys

SEEN_WITHIN = 5.0  # SECURITY 3.2: revocation seen by every worker
BODY = b'{"email":"ada@example.com"}'


def status(workspace: Workspace, key: str, url: str = "") -> int:
    """On a connection of its own, so that any worker may answer."""
    request = workspace.raw(b"Authorization: Bearer " + key.encode(), body=BODY)
    answer = as_httpx(exchange(url or workspace.installation.base_url, request))
    if answer.status_code == 401:
        refused(answer, 401, "invalid_api_key")
    return answer.status_code


def report(workspace: Workspace, key_id: str) -> KeyReport:
    """The key as `api-key list` shows it."""
    installation = workspace.installation
    reports = installation.run(api_keys.report(installation.desk, workspace.id))
    return next(found for found in reports if found.key.id == key_id)


def until(holds: Callable[[], bool], *, times: int = 1) -> float:
    began = time.monotonic()
    row = 0
    while row < times:
        row = row + 1 if holds() else 0
        assert time.monotonic() - began < SEEN_WITHIN, "not within 5 s"
        if not row:
            time.sleep(0.02)
    return time.monotonic() - began


def test_the_text_can_be_found_by_scanners_and_mistyping_shows(workspace: Workspace) -> None:
    """A readable prefix, the workspace, 256 bits, a checksum."""
    keys = [workspace.new_key()[1] for _ in range(20)]
    for key in keys:
        assert re.fullmatch(r"vst_key_[0-9A-Za-z]{71}", key)
    assert len({key[30:73] for key in keys}) == len(keys)
    assert len({key[:30] for key in keys}) == 1, "the workspace is named in the key"


def test_only_a_hash_is_stored(workspace: Workspace) -> None:
    [row] = workspace.installation.rows("SELECT * FROM api_keys WHERE workspace_id = $1", workspace.id)
    assert hashlib.sha256(workspace.api_key.encode()).hexdigest() in row
    for column in row:
        assert workspace.api_key[30:50] not in str(column)


@pytest.mark.parametrize(
    "scopes", [[Scope.CONTACTS_READ], [Scope.CONTACTS_WRITE], [Scope.CONTACTS_READ, Scope.CONTACTS_WRITE]]
)
def test_without_the_scope_it_may_not_authenticate(workspace: Workspace, scopes: list[str]) -> None:
    _, key = workspace.new_key(scopes)
    with workspace.unharmed():
        for body in (BODY, b"{"):
            refused(workspace.post(body, {"authorization": f"Bearer {key}"}), 403, "insufficient_scope")


def test_with_every_scope_it_may(workspace: Workspace) -> None:
    _, key = workspace.new_key(list(Scope))
    assert status(workspace, key) == 200


def test_it_ends_when_it_expires(workspace: Workspace) -> None:
    key_id, key = workspace.new_key(lifetime_ms=400)
    assert status(workspace, key) == 200
    time.sleep(0.45)
    assert status(workspace, key) == 401
    assert report(workspace, key_id).state is KeyState.EXPIRED
    assert status(workspace, workspace.api_key) == 200


@pytest.mark.slow
def test_a_revocation_is_seen_by_every_worker_in_time(workspace: Workspace, two_workers: RunningServer) -> None:
    key_id, key = workspace.new_key()
    assert {status(workspace, key, two_workers.base_url) for _ in range(12)} == {200}, "every worker knows it now"
    installation = workspace.installation
    installation.run(api_keys.revoke(installation.desk, workspace.id, key_id))

    until(lambda: status(workspace, key, two_workers.base_url) == 401, times=20)

    assert report(workspace, key_id).state is KeyState.REVOKED
    assert status(workspace, workspace.api_key, two_workers.base_url) == 200
    assert len(workspace.contacts()) == 1


def test_a_key_made_a_moment_ago_works_on_every_worker(workspace: Workspace, two_workers: RunningServer) -> None:
    for _ in range(5):
        _, key = workspace.new_key()
        assert {status(workspace, key, two_workers.base_url) for _ in range(4)} == {200}


@pytest.mark.slow
def test_both_keys_work_while_one_takes_over(workspace: Workspace) -> None:
    installation = workspace.installation

    def rotate(key_id: str, overlap_ms: int) -> tuple[Any, Any]:
        return installation.run(api_keys.rotate(installation.desk, workspace.id, key_id, overlap_ms=overlap_ms))

    old_id, old = workspace.new_key([Scope.AUTHENTICATE, Scope.CONTACTS_READ], standard=777)
    made, secret = rotate(old_id, 1_500)
    assert (made.replaces, made.scopes, made.rate_limits.standard) == (
        old_id,
        (Scope.CONTACTS_READ, Scope.AUTHENTICATE),
        777,
    )
    assert (status(workspace, old), status(workspace, secret.text)) == (200, 200)
    assert report(workspace, old_id).state is KeyState.ENDING
    assert report(workspace, old_id).replaced_by == made.id

    rotate(old_id, 3_600_000)  # a second rotation gives the old key no more time
    time.sleep(1.6)
    until(lambda: status(workspace, old) == 401)
    assert status(workspace, secret.text) == 200
    assert report(workspace, old_id).state is KeyState.REVOKED


@pytest.mark.slow
def test_it_shows_when_it_was_used_last_and_whether_since_it_was_replaced(workspace: Workspace) -> None:
    installation = workspace.installation
    old_id, old = workspace.new_key()
    began = time.time() * 1000
    assert report(workspace, old_id).key.last_used_at is None
    made, secret = installation.run(api_keys.rotate(installation.desk, workspace.id, old_id, overlap_ms=3_600_000))
    assert status(workspace, secret.text) == 200
    until(lambda: report(workspace, made.id).key.last_used_at is not None)
    assert not report(workspace, old_id).used_since_replaced

    assert status(workspace, old) == 200
    until(lambda: report(workspace, old_id).used_since_replaced)

    used = report(workspace, old_id).key.last_used_at
    assert used is not None
    assert began <= used <= time.time() * 1000
    [first] = installation.rows("SELECT last_used_at FROM api_keys WHERE id = $1", workspace.key_id)
    assert first == (None,), "nobody used the workspace's first key"


def test_a_refused_key_is_not_noted_as_used(workspace: Workspace) -> None:
    key_id, key = workspace.new_key(lifetime_ms=1)
    assert status(workspace, key) == 401
    assert report(workspace, key_id).key.last_used_at is None


@pytest.mark.slow
def test_a_disabled_workspace_is_refused_by_every_worker_in_time(
    workspace: Workspace, two_workers: RunningServer
) -> None:
    url = two_workers.base_url
    assert {status(workspace, workspace.api_key, url) for _ in range(12)} == {200}
    token = workspace.authenticate(email="ada@example.com", url=url).json()["token"]
    assert workspace.me(token, url=url).status_code == 200
    workspace.installation.rows("UPDATE workspaces SET disabled_at = 1 WHERE id = $1", workspace.id)
    until(lambda: status(workspace, workspace.api_key, url) == 403, times=12)
    until(lambda: workspace.me(token, url=url).status_code == 403)
    workspace.installation.rows("UPDATE workspaces SET disabled_at = NULL WHERE id = $1", workspace.id)
    until(lambda: status(workspace, workspace.api_key, url) == 200, times=12)


def test_one_that_nobody_shows_any_more_is_forgotten(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotated for years, a process would hold all that ever were; what is shown again is read again."""
    installation, (_, text) = workspace.installation, workspace.new_key()
    keys = ApiKeys(installation.desk.store)

    async def work() -> list[int]:
        seen = []
        for _ in range(2):
            await keys.identify(text)
            await keys.flush()
            seen.append(len(vars(keys)["_known"]))
            monkeypatch.setattr("vestibule.tokens.api_keys.elapsed", lambda: elapsed() + 61)
            await keys.flush()
            seen.append(len(vars(keys)["_known"]))
            monkeypatch.undo()
        return seen

    assert installation.run(work()) == [1, 0, 1, 0]
