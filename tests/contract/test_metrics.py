"""`/metrics` tells what was counted, by all workers, to those who may see it, and names nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.faults import workers_of
from tests.fixtures.front_door import Installation
from tests.fixtures.server import RunningServer, WorkspaceServer
from vestibule import measures, metrics
from vestibule.clock import now_ms

pytestmark = pytest.mark.slow
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture(params=[1, 3])
def server(
    request: pytest.FixtureRequest, session_settings: dict[str, str], database_url: str, tmp_path: Path
) -> Iterator[WorkspaceServer]:
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": database_url}
    with WorkspaceServer(settings, tmp_path, workers=request.param) as running:
        running.make_workspace("counted")
        yield running


def figures(text: str) -> dict[tuple[str, str], float]:
    return {(name, labels): float(value) for name, labels, value in SAMPLE.findall(text)}


def test_every_worker_tells_of_all(server: WorkspaceServer) -> None:
    secret = "canary.person@example.com"
    for number in range(12):
        # A connection of its own each time: the workers share the requests.
        answer = httpx.post(
            f"{server.base_url}/widget/authenticate-user",
            json={"email": secret if number % 2 else "not an address"},
            headers={"authorization": f"Bearer {server.api_key}"},
            trust_env=False,
        )
        assert answer.status_code == (200 if number % 2 else 400)
    token = answer.json()["token"]
    for _ in range(4):
        httpx.get(f"{server.base_url}/v1/me", headers={"authorization": f"Bearer {token}"}, trust_env=False)
    time.sleep(2 * metrics.FOLD_SECONDS)  # by then the others' counts have been brought to where all find them
    texts = [httpx.get(f"{server.base_url}/metrics", trust_env=False) for _ in range(4)]
    for shown in texts:
        assert shown.headers["content-type"].startswith("text/plain")
        assert secret not in shown.text
        assert server.workspace_id not in shown.text
        assert server.api_key not in shown.text
        found = figures(shown.text)
        assert found["vestibule_requests_total", 'status="200",surface="opencx"'] == 6
        assert found["vestibule_requests_total", 'status="400",surface="opencx"'] == 6
        assert found["vestibule_refusals_total", 'code="invalid_field",surface="opencx"'] == 6
        assert found["vestibule_request_seconds_count", 'surface="opencx"'] == 12
        proven = {labels: value for (name, labels), value in found.items() if name == "vestibule_authentications_total"}
        assert proven['method="server_to_server",outcome="created"'] == 1
        assert sum(proven.values()) == 6
        checks = [value for (name, _), value in found.items() if name == "vestibule_token_checks_total"]
        assert sum(checks) == 4


def place_of(server: RunningServer) -> Path:
    """Where its workers count together."""
    return Path(workers_of(server)[0].environ()[metrics.SHARED_DIRECTORY])


def test_a_server_removes_what_it_counted_into_and_what_one_that_was_killed_has_left(
    session_settings: dict[str, str], tmp_path: Path
) -> None:
    """It may lie in memory, which nobody else gives back."""
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/v.db"}
    (tmp_path / "beside").mkdir()
    with RunningServer(settings, tmp_path, workers=2) as server:
        left = place_of(server)
        server.kill()
        with RunningServer(settings, tmp_path / "beside", workers=2) as beside:
            server.start()
            assert [place.exists() for place in (left, place_of(server), place_of(beside))] == [False, True, True]
            gone = place_of(server), place_of(beside)
            server.stop()
    assert [place.exists() for place in gone] == [False, False]


def test_refused_proofs_and_what_waits_are_told(server: WorkspaceServer) -> None:
    for _ in range(6):
        answer = httpx.post(
            f"{server.base_url}/widget/authenticate-user",
            json={"email": "a@example.com"},
            headers={"authorization": "Bearer vst_key_wrong"},
            trust_env=False,
        )
        assert answer.status_code == 401
    rows = [(each, None, now_ms()) for each in ("a", "b")] + [("c", now_ms() - 60_000, None)]
    with Installation(server) as installation:
        for each, due_at, died_at in rows:
            installation.rows(
                "INSERT INTO webhook_deliveries (workspace_id, endpoint_id, id, kind, at, contact_id, data, owner,"
                " attempts, due_at, died_at, problem)"
                " VALUES ($1, 'e', $2, 'contact.erased', $3, '', '{}', '', 1, $4, $5, '')",
                server.workspace_id,
                each,
                now_ms() - 60_000,
                due_at,
                died_at,
            )
    for _ in range(4):
        found = figures(httpx.get(f"{server.base_url}/metrics", trust_env=False).text)
        refused = {labels: value for (name, labels), value in found.items() if "authentication_refusals_total" in name}
        assert refused == {'code="invalid_api_key",method="server_to_server"': 6}
        assert found["vestibule_queue_depth", 'queue="webhooks"'] == 1
        assert found["vestibule_queue_depth", 'queue="webhook_dead_letters"'] == 2
        assert found["vestibule_queue_depth", 'queue="responder"'] == 0
        assert 59 < found["vestibule_queue_oldest_seconds", 'queue="webhooks"'] < 120
        assert found["vestibule_circuits_open", ""] == 0


def test_documented_names_are_the_real_ones() -> None:
    shown = (metrics.render() + measures.render([])).decode()
    counted = set(re.findall(r"^# TYPE (vestibule_\w+) ", shown, re.MULTILINE))
    assert counted == set(re.findall(r"^\| `(vestibule_\w+)` \|", DOCUMENT, re.MULTILINE))


def test_who_comes_through_a_proxy_or_with_a_wrong_method_sees_nothing(server: WorkspaceServer) -> None:
    url = f"{server.base_url}/metrics"
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        refused = httpx.get(url, headers={name: "203.0.113.9"}, trust_env=False)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        assert "vestibule_" not in refused.text
    assert httpx.post(url, trust_env=False).status_code == 405


def test_with_a_token_it_is_the_token_that_counts(
    session_settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    settings = {
        **session_settings,
        "VESTIBULE_DATABASE_URL": database_url,
        "VESTIBULE_METRICS_TOKEN": "scraper-secret",
    }
    with WorkspaceServer(settings, tmp_path) as server:
        url = f"{server.base_url}/metrics"
        for headers in ({}, {"authorization": "Bearer scraper-secre"}, {"authorization": "Bearer x"}):
            assert httpx.get(url, headers=headers, trust_env=False).status_code == 401
        shown = httpx.get(url, headers={"authorization": "Bearer scraper-secret", "via": "1.1 proxy"}, trust_env=False)
        assert shown.status_code == 200
        assert "scraper-secret" not in shown.text + server.log()
