"""The page Coverage: charts that are drawn of the counts, the numbers beside them, keys that should have gone."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.staff import refused, signed_in
from tests.fixtures.widget import anonymous
from vestibule.administration import audit, coverage
from vestibule.clock import DAY_MS, HOUR_MS, now_ms
from vestibule.model.staff import Role
from vestibule.storage import authentication_counts
from vestibule.storage.authentication_counts import CountKey

HOSTILE = "https://<script>alert(1)</script>"


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


def charts(page: str) -> dict[str, ET.Element]:
    """The drawings of a page, by their titles."""
    found = re.findall(r'<h2 id="chart-(\w+)">.*?(<svg viewBox.*?</svg>)', page, re.DOTALL)
    return {name: ET.fromstring(svg) for name, svg in found}  # noqa: S314 - our own page


def add_counts(workspace: Workspace, rows: dict[CountKey, int]) -> None:
    """As a process of earlier has left them."""
    desk = workspace.installation.desk
    workspace.installation.run(desk.store.transact(lambda: authentication_counts.add_work(rows, rows)))


class TestCharts:
    def test_show_what_was_counted_in_each_piece(self, workspace: Workspace) -> None:
        for number in range(3):
            workspace.sign_in(f"p{number}@example.com")
        workspace.authenticate(email="no address")
        anonymous(workspace)
        answer = signed_in(workspace, Role.VIEWER).get("/coverage")
        drawn = charts(answer.text)
        assert drawn.keys() == {"method", "outcome", "code", "key_id"}, "an empty one is left out"
        for name, bars in (("method", 2), ("outcome", 3), ("code", 1), ("key_id", 1)):
            assert len(drawn[name].findall("rect")) == bars, name
        outcomes = {rect.get("class"): float(rect.get("height", "")) for rect in drawn["outcome"].iter("rect")}
        [refused_height] = [height for kind, height in outcomes.items() if kind == "bad"]
        assert sum(outcomes.values()) == pytest.approx(5 * refused_height, rel=0.01)
        described = drawn["method"].find("desc")
        assert described is not None
        assert "server to server 4, the visitor's own word 1." in str(described.text)
        assert drawn["method"].get("role") == "img"

    def test_hold_nothing_that_the_policy_forbids(self, workspace: Workspace) -> None:
        workspace.post(b'{"email": "ada@example.com"}', {"origin": HOSTILE})
        answer = signed_in(workspace).get("/coverage")
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script>", answer.text)
        assert "&lt;script&gt;alert(1)" in answer.text
        assert b"default-src 'none'" in answer.headers["content-security-policy"].encode()

    @pytest.mark.parametrize(("range_", "pieces"), [("24h", 24), ("7d", 7), ("30d", 30)])
    def test_of_each_range_have_a_table_of_the_same_numbers(
        self, workspace: Workspace, range_: str, pieces: int
    ) -> None:
        hour = now_ms() // HOUR_MS
        kind = ("token_exchange", "unchanged", "", "https://shop.example.com", "")
        ago = {"24h": 23, "7d": 6 * 24, "30d": 29 * 24}[range_]
        add_counts(workspace, {CountKey(workspace.id, hour, *kind): 5, CountKey(workspace.id, hour - ago, *kind): 7})
        page = signed_in(workspace).get(f"/coverage?range={range_}").text
        assert len(charts(page)["method"].findall("rect")) == 2
        table = page.partition('id="chart-method"')[2].partition("<details>")[2].partition("</table>")[0]
        numbers = [int(number) for number in re.findall(r'class="number">(\d+)<', table)]
        assert (len(numbers), sum(numbers)) == (pieces, 12)
        assert '<td class="number">12</td>' in page

    def test_an_unknown_range_is_refused(self, workspace: Workspace) -> None:
        refused(signed_in(workspace).get("/coverage?range=1y"), 400, "invalid_field")

    def test_an_empty_one_says_what_to_do_next(self, workspace: Workspace) -> None:
        shown = signed_in(workspace).shown("/coverage")
        assert "Nobody has been authenticated in the last 24 hours." in shown
        assert "enforcing would refuse nobody" in shown

    def test_rare_names_are_one(self, workspace: Workspace) -> None:
        hour = now_ms() // HOUR_MS
        add_counts(
            workspace,
            {
                CountKey(workspace.id, hour, "token_exchange", "issued", "", f"https://s{n}.example.com", ""): n + 1
                for n in range(40)
            },
        )
        shown = signed_in(workspace).shown("/coverage")
        assert "(others) 595" in shown
        assert "https://s39.example.com 40" in shown


class TestDays:
    def test_are_added_up_as_hours_are(self, workspace: Workspace) -> None:
        workspace.sign_in()
        workspace.authenticate(email="no address")
        Admin(workspace.installation, workspace.id).get("counts")  # brings them to the database
        table = "SELECT outcome, SUM(count) FROM {} WHERE workspace_id = $1 GROUP BY outcome ORDER BY outcome"
        by_hour, by_day = (
            workspace.installation.rows(table.format(name), workspace.id)
            for name in ("authentication_counts", "authentication_days")
        )
        assert [(outcome, int(count)) for outcome, count in by_hour] == [("created", 1), ("refused", 1)]
        assert by_day == by_hour

    def test_a_long_span_is_exact_to_the_hour(self, workspace: Workspace) -> None:
        now = now_ms() // HOUR_MS
        kind = ("token_exchange", "unchanged", "", "", "")
        add_counts(workspace, {CountKey(workspace.id, now - ago, *kind): 1 for ago in range(0, 40 * 24, 5)})
        installation = workspace.installation
        for hours in (1, 23, 24, 25, 47, 49, 30 * 24, 30 * 24 + 7):
            found = installation.run(
                coverage.coverage(
                    installation.desk, workspace.id, since=(now - hours) * HOUR_MS, until=(now + 1) * HOUR_MS
                )
            )
            assert found.issued == len(range(0, hours + 1, 5)), hours

    def test_go_with_the_audit(self, workspace: Workspace) -> None:
        kind = ("token_exchange", "unchanged", "", "", "")
        old = now_ms() // HOUR_MS - 500 * 24
        add_counts(workspace, {CountKey(workspace.id, old, *kind): 1})
        installation = workspace.installation
        installation.run(authentication_counts.purge(installation.desk.store, workspace.id, old + 24))
        assert installation.rows("SELECT day FROM authentication_days WHERE workspace_id = $1", workspace.id) == []


class TestKeys:
    def test_one_that_was_replaced_and_is_still_used_stands_first(self, workspace: Workspace) -> None:
        admin = Admin(workspace.installation, workspace.id)
        [old] = admin.get("api-keys")["items"]
        admin.do("POST", f"api-keys/{old['id']}/rotate", {"overlap": 3600})
        workspace.sign_in()
        deadline = time.monotonic() + 10
        member = signed_in(workspace)
        while "replaced, still used" not in (shown := member.shown("/coverage")):
            assert time.monotonic() < deadline, shown
        rows = shown.partition("API keys Key State")[2]
        assert rows.index("replaced, still used") < rows.index("never")

    def test_none_says_how_one_is_made(self, workspace: Workspace) -> None:
        desk = workspace.installation.desk
        bare = workspace.installation.cli("workspace", "create", "Bare")["workspace_id"]
        assert workspace.installation.run(coverage.coverage(desk, bare)).keys == []
        assert "No API key yet." in signed_in(Workspace(workspace.installation, bare)).shown("/coverage")


def test_the_chain_holds_over_entries_that_name_a_token(workspace: Workspace) -> None:
    workspace.sign_in()
    anonymous(workspace)
    Admin(workspace.installation, workspace.id).get("audit")
    installation = workspace.installation
    assert installation.run(audit.verify(installation.desk, workspace.id)).whole
    assert DAY_MS
