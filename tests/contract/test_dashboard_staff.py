from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.test_erasure_races import Meanwhile
from tests.fixtures.auditing import tail
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.responding import eventually
from tests.fixtures.staff import PASSWORD, Member, browser, refused, signed_in
from vestibule.administration import staff, staff_sessions
from vestibule.administration.passwords import Passwords
from vestibule.clock import HOUR_MS, MINUTE_MS, now_ms
from vestibule.errors import SignInRefused, WrongPassword
from vestibule.model.staff import Role

COOKIE = "vestibule_staff"
ANY = "00000000-0000-7000-8000-000000000000"
PAGES = ("", "/inbox", "/inbox-live", "/contacts", "/debugger", "/audit", "/audit/export", f"/contacts/{ANY}")
CHANGES = (
    f"/inbox/{ANY}/reply",
    f"/inbox/{ANY}/take",
    f"/inbox/{ANY}/resolve",
    f"/contacts/{ANY}/sign-out",
    f"/contacts/{ANY}/erase",
    f"/contacts/{ANY}/merge",
    f"/contacts/{ANY}/unmerge",
    "/debugger",
    "/sign-out",
)
ANSWERS = CHANGES[:3]


def actions(workspace: Workspace, actor: str = "") -> list[str]:
    rows = workspace.installation.rows(
        "SELECT action, document FROM audit_entries WHERE workspace_id = $1 ORDER BY seq", workspace.id
    )
    return [action for action, document in rows if actor in document]


def test_a_link_is_good_once_and_signs_in(installation: Installation) -> None:
    workspace = installation.workspace()
    made = installation.cli("staff", "add", f"new.{workspace.id}@example.com", "-w", workspace.id, "--role", "owner")
    assert (made["role"], made["has_password"], made["name"]) == ("owner", False, "new." + workspace.id)
    link = httpx.URL(made["link"])
    visitor = browser(installation.base_url)
    visitor.headers["origin"] = installation.base_url
    secret = link.params["link"]
    assert visitor.get(link).status_code == 200
    form = {"link": secret, "password": PASSWORD, "again": PASSWORD}
    assert visitor.post("/dashboard/welcome", data={**form, "again": "another one"}).status_code == 400
    short = visitor.post("/dashboard/welcome", data={**form, "password": "short", "again": "short"})
    assert short.status_code == 400
    assert "12 to 200 characters" in short.text
    assert visitor.post("/dashboard/welcome", data=form).status_code == 303
    assert visitor.get("/dashboard").status_code == 200
    refused(visitor.post("/dashboard/welcome", data=form), 401, "invalid_link")
    refused(visitor.get(link), 401, "invalid_link")
    assert actions(workspace, f"staff:{made['id']}")[:2] == ["staff.password", "staff.sign_in"]
    assert secret not in str(installation.rows("SELECT * FROM staff_links"))


def test_a_newer_link_ends_the_one_before_and_one_of_yesterday_has_run_out(installation: Installation) -> None:
    member = Member(installation.workspace())
    links = [
        httpx.URL(installation.cli("staff", "password", member.id, "-w", member.workspace.id)["link"]) for _ in range(2)
    ]
    refused(member.http.get(links[0]), 401, "invalid_link")
    assert member.http.get(links[1]).status_code == 200
    installation.rows("UPDATE staff_links SET expires_at = $1 WHERE staff_id = $2", now_ms() - 1, member.id)
    refused(member.http.get(links[1]), 401, "invalid_link")
    refused(member.get("/welcome?link=vst_link_guess"), 401, "invalid_link")
    refused(member.get("/welcome"), 401, "invalid_link")


def test_staff_on_the_command_line(installation: Installation, tmp_path: Path) -> None:
    workspace, other = installation.workspace(), installation.workspace()
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    email = f"ada.{workspace.id}@example.com"
    made = installation.cli("staff", "add", email, "-w", workspace.id, "--name", "Ada", "--password-file", str(file))
    assert (made["role"], made["has_password"], "link" in made) == ("viewer", True, False)
    [listed] = installation.cli("staff", "list", "-w", workspace.id)["items"]
    assert listed["email"] == email
    changed = installation.cli("staff", "role", made["id"], "admin", "-w", workspace.id)
    assert changed["role"] == "admin"
    assert installation.cli("staff", "disable", made["id"], "-w", workspace.id)["disabled_at"] is not None
    link = installation.command("staff", "password", made["id"], "-w", workspace.id, "--json")
    link.refused("conflict", names="enable them first")
    assert installation.cli("staff", "enable", made["id"], "-w", workspace.id)["disabled_at"] is None
    again = installation.command("staff", "add", email.upper(), "-w", other.id, "--json")
    again.refused("already_exists")
    for arguments in (
        ("role", made["id"], "king", "-w", workspace.id),
        ("add", "no-address", "-w", workspace.id),
        ("add", "x@example.com", "-w", workspace.id, "--role", "king"),
    ):
        installation.command("staff", *arguments, "--json").refused("invalid_field")
    installation.command("staff", "role", made["id"], "owner", "-w", other.id, "--json").refused("not_found")
    installation.command("staff", "remove", made["id"], "-w", other.id, "--json").refused("not_found")
    file.write_text("short")
    short = installation.command(
        "staff", "password", made["id"], "-w", workspace.id, "--password-file", str(file), "--json"
    )
    short.refused("invalid_field")
    assert installation.cli("staff", "remove", made["id"], "-w", workspace.id)["id"] == made["id"]
    assert installation.cli("staff", "list", "-w", workspace.id) == {"items": []}
    # The e-mail is free again.
    assert installation.cli("staff", "add", email, "-w", other.id)["workspace_id"] == other.id


def test_a_session_is_a_cookie_that_no_script_reads_and_a_hash_in_the_database(installation: Installation) -> None:
    member = Member(installation.workspace()).with_password()
    answer = member.sign_in()
    cookie = answer.headers["set-cookie"]
    secret = member.http.cookies[COOKIE]
    assert cookie == f"{COOKIE}={secret}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"
    kept = installation.rows("SELECT * FROM staff_sessions WHERE staff_id = $1", member.id)
    assert len(kept) == 1
    assert secret not in str(kept)
    [(stored,)] = installation.rows("SELECT password_hash FROM staff WHERE id = $1", member.id)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert secret not in installation.server.log()


def test_signing_out_ends_the_session_and_not_only_the_cookie(installation: Installation) -> None:
    member = signed_in(installation.workspace())
    secret = member.http.cookies[COOKIE]
    answer = member.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    member.http.cookies.set(COOKIE, secret)
    assert member.get().status_code == 303
    assert actions(member.workspace, f"staff:{member.id}") == ["staff.sign_in", "staff.sign_out"]


@pytest.mark.parametrize(("column", "ago"), [("created_at", 12 * HOUR_MS), ("last_used_at", 2 * HOUR_MS)])
def test_a_session_ends_by_itself(installation: Installation, column: str, ago: int) -> None:
    member = signed_in(installation.workspace())
    for at, status in ((now_ms() - ago + MINUTE_MS, 200), (now_ms() - ago - 1, 303)):
        sql = f"UPDATE staff_sessions SET {column} = $1 WHERE staff_id = $2"  # noqa: S608 - a name of this test's
        installation.rows(sql, at, member.id)
        assert member.get("/inbox").status_code == status
        if column == "last_used_at" and status == 200:
            [(used,)] = installation.rows("SELECT last_used_at FROM staff_sessions WHERE staff_id = $1", member.id)
            assert used > at, "what somebody does puts the end off"


def test_a_page_that_asks_by_itself_does_not_keep_a_session(installation: Installation) -> None:
    member = signed_in(installation.workspace())
    before = now_ms() - HOUR_MS
    installation.rows("UPDATE staff_sessions SET last_used_at = $1 WHERE staff_id = $2", before, member.id)
    assert member.get("/inbox-live").status_code == 200
    [(used,)] = installation.rows("SELECT last_used_at FROM staff_sessions WHERE staff_id = $1", member.id)
    assert used == before


def test_another_password_and_a_removal_end_every_session(installation: Installation) -> None:
    member = signed_in(installation.workspace())
    member.with_password("another long password")
    assert member.get().status_code == 303
    assert member.sign_in().status_code == 401
    assert member.sign_in("another long password").status_code == 303
    installation.cli("staff", "remove", member.id, "-w", member.workspace.id)
    assert member.get().status_code == 303
    assert member.sign_in("another long password").status_code == 401


@pytest.mark.parametrize("by", ["another password", "being disabled"])
def test_a_sign_in_under_way_is_overtaken_by(installation: Installation, by: str) -> None:
    """To compare a password takes seconds under load."""
    member, desk = Member(installation.workspace()).with_password(), installation.desk

    async def meanwhile() -> None:
        if by == "another password":
            await staff.set_password(desk, member.workspace.id, member.id, "another long password")
        else:
            await staff.set_disabled(desk, member.workspace.id, member.id, disabled=True)

    async def sign_in() -> None:
        found, password_hash = await staff_sessions.check(desk, Passwords(), member.email, PASSWORD)
        store: Any = Meanwhile(desk.store, meanwhile)
        given = dataclasses.replace(desk, store=store)
        with pytest.raises(WrongPassword):
            await staff_sessions.begin(given, found, password_hash=password_hash)

    installation.run(sign_in())
    assert installation.rows("SELECT staff_id FROM staff_sessions WHERE staff_id = $1", member.id) == []
    assert installation.rows("SELECT signed_in_at FROM staff WHERE id = $1", member.id) == [(None,)]
    assert member.sign_in().status_code == 401
    assert member.sign_in("another long password").status_code == (303 if by == "another password" else 401)


def test_who_is_disabled_on_the_way_back_from_their_provider_is_refused(installation: Installation) -> None:
    member, desk = Member(installation.workspace()), installation.desk

    async def come_back() -> None:
        found = await staff.get(desk, member.workspace.id, member.id)
        store: Any = Meanwhile(
            desk.store, lambda: staff.set_disabled(desk, member.workspace.id, member.id, disabled=True)
        )
        given = dataclasses.replace(desk, store=store)
        with pytest.raises(SignInRefused):
            await staff_sessions.begin(given, found, by="oidc")

    installation.run(come_back())
    assert installation.rows("SELECT staff_id FROM staff_sessions WHERE staff_id = $1", member.id) == []


def test_nobody_gets_anywhere_without_a_session(installation: Installation) -> None:
    nobody = Member(installation.workspace())
    for cookie in ("", "vst_staff_guess", nobody.workspace.api_key):
        nobody.http.headers["cookie"] = f"{COOKIE}={cookie}"
        for path in PAGES:
            answer = nobody.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in"), path
        for path in CHANGES:
            assert nobody.post(path).status_code == 303, path
    # A cookie that another host of the domain has set beside ours.
    member = signed_in(installation.workspace())
    secret = member.http.cookies[COOKIE]
    member.http.cookies.clear()
    member.http.headers["cookie"] = f"{COOKIE}={secret}; {COOKIE}={secret}"
    assert member.get().status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "", "sec-fetch-site": ""},
        {"origin": "https://evil.example", "sec-fetch-site": ""},
    ],
)
def test_a_form_of_another_site_changes_nothing(installation: Installation, headers: dict[str, str]) -> None:
    member = signed_in(installation.workspace())
    for path in (*CHANGES, "/sign-in", "/welcome"):
        refused(member.post(path, headers, email=member.email, password=PASSWORD), 403, "foreign_page")
    assert member.get().status_code == 200, "still signed in"


def test_a_form_of_our_own_page_is_taken_at_another_address_too(installation: Installation) -> None:
    """As when `serve` was given a port that public_url does not name; only who says so by itself is believed."""
    member = signed_in(installation.workspace())
    port = member.origin.rpartition(":")[2]
    elsewhere = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    refused(member.post("/sign-out", {**elsewhere, "sec-fetch-site": ""}), 403, "foreign_page")
    assert member.post("/sign-out", elsewhere).status_code == 303


def test_a_role_covers_what_it_says(installation: Installation) -> None:
    workspace = installation.workspace()
    looking = {"", "/inbox", "/inbox-live", "/contacts", "/audit"}
    allowed = {
        Role.VIEWER: (looking, {"/sign-out"}),
        Role.RESPONDER: (looking, {*ANSWERS, "/sign-out"}),
        Role.ADMIN: ({*PAGES}, {*CHANGES}),
        Role.OWNER: ({*PAGES}, {*CHANGES}),
    }
    for role, (pages, changes) in allowed.items():
        member = signed_in(workspace, role)
        for path in PAGES:
            expected = {404} if ANY in path else {200} if path in pages else {403}
            assert member.get(path).status_code in expected, (role, path)
        for path in CHANGES:
            answer = member.post(path, text="x", into=ANY, word="erase")
            assert (answer.status_code == 403) == (path not in changes), (role, path, answer.status_code)
            assert answer.status_code != 500


def test_a_lower_role_holds_from_the_next_request_on(installation: Installation) -> None:
    member = signed_in(installation.workspace(), Role.ADMIN)
    assert member.get("/debugger").status_code == 200
    installation.cli("staff", "role", member.id, "viewer", "-w", member.workspace.id)
    refused(member.get("/debugger"), 403, "role_required")
    [(kind,)] = installation.rows(
        "SELECT COUNT(*) FROM authentication_counts WHERE workspace_id = $1", member.workspace.id
    )
    assert kind == 0, "no visitor was refused"


def test_ten_wrong_passwords_slow_down_and_lock_nobody_out(installation: Installation) -> None:
    workspace = installation.workspace()
    member, other = Member(workspace).with_password(), Member(workspace, Role.VIEWER).with_password()
    for _ in range(10):
        answer = member.sign_in("wrong password again")
        assert (answer.status_code, "E-mail or password is not right." in answer.text) == (401, True)
    slowed = member.sign_in()
    assert slowed.status_code == 429
    assert 1 <= int(slowed.headers["retry-after"]) <= 120
    assert other.sign_in().status_code == 303, "another account, from the same address"
    elsewhere = browser(member.origin, address="127.0.0.2")
    form = {"email": member.email, "password": PASSWORD}
    answer = elsewhere.post("/dashboard/sign-in", data=form, headers={"origin": member.origin})
    assert answer.status_code == 303, "the same account, from another address"
    refusals = installation.rows(
        "SELECT code, outcome FROM audit_entries WHERE workspace_id = $1 AND action = 'staff.sign_in'", workspace.id
    )
    assert ("wrong_password", "refused") in refusals


def test_one_address_cannot_try_a_password_on_every_account(installation: Installation, tmp_path: Path) -> None:
    member = Member(installation.workspace()).with_password()
    with beside(installation, tmp_path, rate_limit_bad_keys="1") as server:
        member.origin = server.base_url
        member.http = browser(server.base_url, address="127.0.0.3")  # nobody else signs in from there
        for number in range(3):
            assert member.sign_in(email=f"nobody.{number}@example.com").status_code == 401
        slowed = member.sign_in()
        assert slowed.status_code == 429, "the right password, found by guessing"
        assert "set-cookie" not in slowed.headers
        assert 1 <= int(slowed.headers["retry-after"]) <= 120
        assert "Too many attempts." in slowed.text
        assert member.email in slowed.text, "the form, to try again"
        member.http = browser(server.base_url, address="127.0.0.4")
        assert member.sign_in().status_code == 303, "from another address"


def test_a_disabled_workspace_is_closed_to_its_staff(installation: Installation) -> None:
    member = signed_in(installation.workspace())
    installation.cli("workspace", "disable", member.workspace.id)
    eventually(lambda: member.get().status_code == 403)
    for path in ("", "/inbox", "/staff"):
        refused(member.get(path), 403, "workspace_disabled")
    refused(member.post("/sign-out"), 403, "workspace_disabled")
    refused(member.sign_in(), 403, "workspace_disabled")
    assert member.sign_in("wrong password again").status_code == 401, "who is not staff is told nothing"
    installation.cli("workspace", "enable", member.workspace.id)
    eventually(lambda: member.get().status_code == 200)
    # In the audit as what staff did, and no visitor's refusal, which coverage would count.
    eventually(lambda: "dashboard" in actions(member.workspace, f"staff:{member.id}"))
    assert tail(member.workspace, "--kind", "authentication") == []


def test_a_sign_in_to_a_disabled_workspace_is_in_its_audit(installation: Installation) -> None:
    member = Member(installation.workspace()).with_password()
    installation.cli("workspace", "disable", member.workspace.id)
    eventually(lambda: member.sign_in().status_code == 403)
    eventually(lambda: "dashboard" in actions(member.workspace, f"staff:{member.id}"))


def test_an_unknown_account_looks_like_a_wrong_password(installation: Installation) -> None:
    member = Member(installation.workspace()).with_password()
    known = member.sign_in("wrong password again").text.replace(member.email, "")
    for email in ("nobody@example.com", "no-address", "a\0@example.com"):
        answer = member.sign_in(email=email)
        assert answer.status_code == 401
        assert answer.text.replace(email, "").replace("\0", "") == known
    without = Member(installation.workspace())
    assert without.sign_in().status_code == 401, "no password was chosen yet"


def test_every_page_has_the_policy(installation: Installation) -> None:
    member = signed_in(installation.workspace())
    for path in (*PAGES, "/sign-in", "/static/dashboard.css", "/static/dashboard.js", "/nothing"):
        answer = member.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'"), path
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "style=" not in answer.text, path
        assert "<script>" not in answer.text, path
    assert len(member.get("/static/dashboard.css").content) < 20_000
    assert member.get("/inbox").headers["cache-control"] == "no-store"
