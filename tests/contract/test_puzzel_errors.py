"""Puzzel's wire has names of its own for refusals; docs/compatibility/puzzel.md lists them, and operators see ours."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.fixtures.fake_provider import DISCOVERY, FakeProvider, Reply
from tests.fixtures.puzzel import Front, problem
from tests.fixtures.responding import eventually
from tests.unit.test_errors_tree import TREE, make
from vestibule.edge.problem import problem as our_problem
from vestibule.edge.problem import status_of_type
from vestibule.errors import VestibuleError
from vestibule.surfaces.puzzel.dialect import NAMES, puzzel_problem

PAGE = (Path(__file__).parents[2] / "docs" / "compatibility" / "puzzel.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([\d, ]+) \| (`[^|]+) \|[^|]*\| ([^|]+) \|$", re.MULTILINE)


def codes(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", cell))


def test_the_documents_list_every_name_with_what_it_stands_for() -> None:
    meant: dict[str, set[str]] = defaultdict(set)
    statuses: dict[str, set[str]] = defaultdict(set)
    for kind, name in NAMES.items():
        meant[name].add(kind.code)
        statuses[name].add(str(status_of_type(kind).value))
    listed = {name: (row[1], row[3]) for row in ROW.finditer(PAGE) for name in codes(row[2])}
    assert {name: codes(causes) for name, (_, causes) in listed.items() if codes(causes)} == meant
    assert all(set(listed[name][0].split(", ")) == statuses[name] for name in meant)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_only_the_names_differ(kind: type[VestibuleError]) -> None:
    error = make(kind)
    ours, theirs = our_problem(error), puzzel_problem(error)
    assert (theirs.status, theirs.headers) == (ours.status, ours.headers)
    told = json.loads(theirs.body)
    if kind in NAMES:
        assert told.pop("cause") == error.code
        told |= {"code": error.code, "type": told["type"].replace(NAMES[kind], error.code)}
    assert told == json.loads(ours.body)


def test_log_audit_and_metrics_have_our_own_code(front: Front, fake: FakeProvider) -> None:
    path = f"/api/authenticate/{front.customer_id}"
    problem(front.call("POST", path, b"{"), 400, "invalid_request", cause="malformed_body")
    fake.answers[DISCOVERY] = lambda _: Reply(b"<html>")
    problem(front.authenticate(idToken=fake.id_token()), 502, "idp_error", cause="upstream_failed")
    installation, ours = front.workspace.installation, {"malformed_body", "upstream_failed"}

    def logged() -> set[str]:
        lines = [line for line in installation.server.log().splitlines() if path in line and line.endswith("}")]
        return {json.loads(line)["code"] for line in lines}

    def audited() -> set[str]:
        sql = "SELECT code FROM audit_entries WHERE workspace_id = $1 AND outcome = 'refused'"
        return {code for (code,) in installation.rows(sql, front.workspace.id)}

    def counted() -> set[str]:
        return set(re.findall(r'code="(\w+)",surface="puzzel"', installation.http.get("/metrics").text))

    eventually(lambda: logged() == audited() == ours)
    eventually(lambda: ours <= counted())
    assert not counted() & {"idp_error", "idp_timeout", "invalid_session"}
