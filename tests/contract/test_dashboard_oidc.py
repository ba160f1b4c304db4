from __future__ import annotations

import base64
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_provider import CLIENT, CLIENT_SECRET, DISCOVERY, Asked, FakeProvider, Reply, make_key
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.server import RunningServer
from tests.fixtures.staff import PASSWORD, Member, browser, refused, signed_in
from vestibule.administration import staff
from vestibule.model.audit import INSTALLATION
from vestibule.model.staff import Role, Staff

BEGIN, CALLBACK = "/dashboard/sign-in/oidc", "/dashboard/sign-in/callback"
_ADDRESS = itertools.count(1)
COOKIE, AWAY = "vestibule_staff", "vestibule_away"


class Away:
    """A server whose staff sign in at a provider, and the provider, which answers what a test has said last."""

    def __init__(self, installation: Installation, fake: FakeProvider) -> None:
        self.installation = installation
        self.fake = fake
        self.origin = ""
        self.codes: dict[str, tuple[str, dict[str, Any]]] = {}
        fake.answers["/token"] = self._token
        fake.answers[DISCOVERY] = self._discovery

    def _discovery(self, _asked: Asked) -> Reply:
        more = {
            "authorization_endpoint": self.fake.url("/authorize"),
            "token_endpoint": self.fake.url("/token"),
            "authorization_response_iss_parameter_supported": True,
        }
        return Reply({**self.fake.discovery(), **more})

    def _token(self, asked: Asked) -> Reply:
        """As a provider must: each code once, for who shows its verifier and the client's secret."""
        form = asked.form
        challenge, claims = self.codes.pop(form["code"], ("", {}))
        made = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        secret = base64.b64decode(asked.headers.get("authorization", "").removeprefix("Basic ")).decode()
        if made != challenge or not secret.startswith(f"{CLIENT}:") or form["redirect_uri"] != self.origin + CALLBACK:
            return Reply({"error": "invalid_grant"}, status=400)
        header, key = claims.pop("header", None), claims.pop("key", None)
        return Reply({"id_token": self.fake.id_token(header=header, key=key, **claims), "access_token": "opaque"})

    def member(self, workspace: Workspace, email: str, role: Role = Role.ADMIN) -> Staff:
        desk = self.installation.desk
        return self.installation.run(staff.add(desk, workspace.id, email=email, name="Grace", role=role.value))

    def refused_at(self, step: str) -> bool:
        """Whether that is the installation's latest refusal; it is written within half a second."""
        for _ in range(100):
            rows = self.installation.rows(
                "SELECT document, code FROM audit_entries WHERE workspace_id = $1 ORDER BY seq DESC LIMIT 1",
                INSTALLATION,
            )
            if rows and rows[0][1] == "sign_in_refused" and f'"step":"{step}"' in rows[0][0].replace(" ", ""):
                return True
            time.sleep(0.05)
        return False


class Visit:
    """A browser that has begun to sign in."""

    def __init__(self, away: Away) -> None:
        self.away = away
        # Of an address of its own: so many in a minute from one would be slowed down.
        self.http = browser(away.origin, address=f"127.0.{next(_ADDRESS)}.1")
        answer = self.http.get(BEGIN, headers={"sec-fetch-site": "same-origin"})
        assert answer.status_code == 303, answer.text
        self.begun = answer
        url = httpx.URL(answer.headers["location"])
        assert str(url).startswith(away.fake.url("/authorize?"))
        self.asked = dict(url.params)

    def code(self, name: str = "", **claims: Any) -> str:
        """What the provider would send back, once somebody has signed in there."""
        name = name or f"code-{len(self.away.codes)}-{id(self)}"
        about = {"nonce": self.asked["nonce"], **claims}
        self.away.codes[name] = (self.asked["code_challenge"], about)
        return name

    def come_back(self, code: str, **params: str | None) -> httpx.Response:
        usual = {"code": code, "state": self.asked["state"], "iss": self.away.fake.issuer}
        sent = {name: value for name, value in {**usual, **params}.items() if value is not None}
        return self.http.get(CALLBACK, params=sent)


@pytest.fixture(scope="module")
def away(responding: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    fake = FakeProvider()
    responding.run(fake.start())
    made = Away(responding, fake)
    directory: Path = tmp_path_factory.mktemp("away")
    secret = directory / "secret"
    secret.write_text(CLIENT_SECRET + "\n")
    own = {"VESTIBULE_INSTANCE", "VESTIBULE_PUBLIC_URL"}
    given = {name: value for name, value in responding.server.settings.items() if name not in own}
    given |= {"VESTIBULE_STAFF_OIDC_ISSUER": fake.issuer, "VESTIBULE_STAFF_OIDC_CLIENT_ID": CLIENT}
    given |= {"VESTIBULE_STAFF_OIDC_CLIENT_SECRET_FILE": str(secret), "VESTIBULE_STAFF_OIDC_NAME": "Acme <ID>"}
    with RunningServer(given, directory) as server:
        made.origin = server.base_url
        yield made
        assert "unexpected error" not in server.log()
        assert CLIENT_SECRET not in server.log()
    responding.run(fake.stop())


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


def came_in(answer: httpx.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"] == "/dashboard"


def turned_away(visit: Visit, answer: httpx.Response, step: str) -> None:
    assert answer.status_code == 401, answer.text
    assert "Your account there is not staff here" in answer.text
    assert COOKIE not in visit.http.cookies
    assert visit.away.refused_at(step)


def test_who_is_staff_comes_in_by_a_verified_address_and_then_by_subject(away: Away, workspace: Workspace) -> None:
    email = f"ada.{workspace.id}@example.com"
    member = away.member(workspace, email)
    page = browser(away.origin).get("/dashboard/sign-in").text
    assert "Sign in with Acme &lt;ID&gt;" in page
    assert 'name="password"' in page, "beside passwords"
    visit = Visit(away)
    assert visit.asked["code_challenge_method"] == "S256"
    assert (visit.asked["response_type"], visit.asked["client_id"]) == ("code", CLIENT)
    assert visit.asked["redirect_uri"] == away.origin + CALLBACK
    kept = visit.begun.headers["set-cookie"]
    assert kept.startswith(f"{AWAY}=v1.")
    assert "HttpOnly; SameSite=Lax" in kept
    assert visit.asked["state"] not in kept
    subject = f"s-{workspace.id}"
    answer = visit.come_back(visit.code(email=email.upper(), sub=subject))
    assert came_in(answer), answer.text
    assert AWAY not in visit.http.cookies
    assert "Grace" in visit.http.get("/dashboard").text
    # From now on by issuer and subject, whatever the address.
    later = Visit(away)
    assert came_in(later.come_back(later.code(email="other@example.com", email_verified=False, sub=subject)))
    rows = away.installation.rows(
        "SELECT action, document FROM audit_entries WHERE workspace_id = $1 ORDER BY seq", workspace.id
    )
    done = [action for action, _ in rows if action in {"staff.bind", "staff.sign_in"}]
    assert done == ["staff.bind", "staff.sign_in", "staff.sign_in"]
    assert '"oidc"' in rows[-1][1]
    # Another account with the same address is somebody else.
    third = Visit(away)
    turned_away(third, third.come_back(third.code(email=email, sub="another")), "subject")
    owner = Member(workspace, Role.OWNER).with_password()
    owner.origin, owner.http = away.origin, browser(away.origin)
    assert owner.sign_in().status_code == 303
    assert f"by {away.fake.issuer}" in owner.shown("/staff")
    for browsing in (visit, later):
        assert browsing.http.get("/dashboard").status_code == 200
    assert owner.post(f"/staff/{member.id}/forget").status_code == 303
    for browsing in (visit, later):
        assert browsing.http.get("/dashboard").headers["location"] == "/dashboard/sign-in", "that account is let go of"
    fourth = Visit(away)
    assert came_in(fourth.come_back(fourth.code(email=email, sub="another")))


@pytest.mark.parametrize(
    ("claims", "step"),
    [
        ({"email_verified": False}, "email"),
        ({"email_verified": "true"}, "email"),
        ({"email_verified": None}, "email"),
        ({"email": "stranger@example.com"}, "email"),
        ({"email": "no address"}, "email"),
        ({"nonce": "n-1"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "azp"),
        ({"exp": 1}, "exp"),
        ({"sub": ""}, "sub"),
        ({"key": make_key("foreign")}, "key"),
        ({"header": {"alg": "RS256", "kid": "none"}}, "key"),
    ],
)
def test_a_token_that_is_not_good_lets_nobody_in(
    away: Away, workspace: Workspace, claims: dict[str, Any], step: str
) -> None:
    email = f"ada.{workspace.id}@example.com"
    away.member(workspace, email)
    visit = Visit(away)
    answer = visit.come_back(visit.code(**{"email": email, "sub": f"s-{workspace.id}", **claims}))
    turned_away(visit, answer, step)


def mixed_up(visit: Visit, code: str) -> httpx.Response:
    """Another browser's answer: somebody would sign the victim in to the attacker's account (RFC 9700 section 4.7)."""
    return visit.come_back(code, state=Visit(visit.away).asked["state"])


@pytest.mark.parametrize(
    ("attack", "step"),
    [
        (mixed_up, "state"),
        (lambda visit, code: visit.come_back(code, state=None), "state"),
        (lambda visit, code: visit.come_back(code, state=""), "state"),
        (lambda visit, code: visit.come_back(code, iss="https://evil.example"), "iss"),
        (lambda visit, code: visit.come_back(code, iss=None), "iss"),
        (lambda visit, _: visit.come_back("", error="access_denied"), "provider"),
        (lambda visit, _: visit.come_back("unknown"), "code"),
        (lambda visit, _: visit.come_back("x" * 5_000), "code"),
        (lambda visit, code: Visit(visit.away).http.get(CALLBACK, params={"code": code, "state": "x"}), "state"),
        (lambda visit, code: browser(visit.away.origin).get(CALLBACK, params={"code": code, "state": "x"}), "browser"),
    ],
)
def test_an_answer_that_is_not_this_browser_s_lets_nobody_in(
    away: Away, workspace: Workspace, attack: Callable[[Visit, str], httpx.Response], step: str
) -> None:
    email = f"ada.{workspace.id}@example.com"
    away.member(workspace, email)
    visit = Visit(away)
    turned_away(visit, attack(visit, visit.code(email=email, sub=f"s-{workspace.id}")), step)


def test_an_answer_counts_once(away: Away, workspace: Workspace) -> None:
    email, subject = f"ada.{workspace.id}@example.com", f"s-{workspace.id}"
    away.member(workspace, email)
    visit = Visit(away)
    kept = visit.http.cookies[AWAY]
    code = visit.code(email=email, sub=subject)
    assert came_in(visit.come_back(code))
    # Whoever has copied both the address and the cookie is too late, though the provider would take the code again.
    thief = browser(away.origin)
    thief.cookies.set(AWAY, kept)
    visit.code(code, email=email, sub=subject)
    params = {"code": code, "state": visit.asked["state"], "iss": away.fake.issuer}
    answer = thief.get(CALLBACK, params=params)
    assert answer.status_code == 401
    assert away.refused_at("replay")


def test_a_code_is_worth_nothing_in_another_browser(away: Away, workspace: Workspace) -> None:
    """Injected into the attacker's own sign-in, with the right state: the verifier differs (RFC 9700 section 4.5)."""
    email = f"ada.{workspace.id}@example.com"
    away.member(workspace, email)
    victim, attacker = Visit(away), Visit(away)
    turned_away(attacker, attacker.come_back(victim.code(email=email, sub="s")), "code")


def test_nothing_leads_anywhere_else(away: Away, workspace: Workspace) -> None:
    email = f"ada.{workspace.id}@example.com"
    away.member(workspace, email)
    visit = Visit(away)
    answer = visit.http.get(f"{BEGIN}?next=https://evil.example&redirect_uri=https://evil.example")
    assert "evil" not in answer.headers["location"]
    visit = Visit(away)
    elsewhere = {"next": "https://evil.example", "redirect_uri": "//evil.example", "return_to": "https://evil.example"}
    assert came_in(visit.come_back(visit.code(email=email, sub=f"s-{workspace.id}"), **elsewhere))
    # Begun by another site's page: nobody is signed in without having asked.
    for site in ("cross-site", "same-site"):
        begun = browser(away.origin).get(BEGIN, headers={"sec-fetch-site": site})
        assert (begun.status_code, begun.headers["location"]) == (303, "/dashboard/sign-in")
        assert "set-cookie" not in begun.headers
    refused(browser(away.origin).get(f"{CALLBACK}?code=a&code=b"), 400, "invalid_field")


def test_a_provider_that_is_away_or_hostile_is_said_so(away: Away, workspace: Workspace) -> None:
    away.member(workspace, f"ada.{workspace.id}@example.com")
    for status in (500, 302):
        visit = Visit(away)
        normal = away.fake.answers["/token"]
        away.fake.answers["/token"] = lambda _: Reply({}, status=status, headers={"Location": "https://evil.example"})  # noqa: B023
        answer = visit.come_back(visit.code())
        away.fake.answers["/token"] = normal
        assert answer.status_code == 502
        assert "The provider does not answer." in answer.text


def test_the_address_may_come_from_userinfo(away: Away, workspace: Workspace) -> None:
    email, subject = f"ada.{workspace.id}@example.com", f"s-{workspace.id}"
    away.member(workspace, email)
    away.fake.people["opaque"] = {"sub": "another", "email": email, "email_verified": True}
    visit = Visit(away)
    turned_away(visit, visit.come_back(visit.code(email=None, sub=subject)), "userinfo")
    away.fake.people["opaque"] = {"sub": subject, "email": email, "email_verified": True}
    visit = Visit(away)
    assert came_in(visit.come_back(visit.code(email=None, sub=subject)))
    del away.fake.people["opaque"]


def test_who_is_disabled_stays_out(away: Away, workspace: Workspace) -> None:
    email, subject = f"ada.{workspace.id}@example.com", f"s-{workspace.id}"
    member = away.member(workspace, email)
    desk = away.installation.desk
    visit = Visit(away)
    assert came_in(visit.come_back(visit.code(email=email, sub=subject)))
    away.installation.run(staff.set_disabled(desk, workspace.id, member.id, disabled=True))
    assert visit.http.get("/dashboard").headers["location"] == "/dashboard/sign-in"
    again = Visit(away)
    turned_away(again, again.come_back(again.code(email=email, sub=subject)), "disabled")
    away.installation.run(staff.remove(desk, workspace.id, member.id))
    once_more = Visit(away)
    turned_away(once_more, once_more.come_back(once_more.code(email=email, sub=subject)), "email")


def test_without_passwords(away: Away, workspace: Workspace, tmp_path: Path) -> None:
    member = Member(workspace).with_password()
    own = {"VESTIBULE_INSTANCE", "VESTIBULE_PUBLIC_URL"}
    given = {name: value for name, value in away.installation.server.settings.items() if name not in own}
    given |= {"VESTIBULE_STAFF_OIDC_ISSUER": away.fake.issuer, "VESTIBULE_STAFF_OIDC_CLIENT_ID": CLIENT}
    given |= {"VESTIBULE_STAFF_OIDC_CLIENT_SECRET": CLIENT_SECRET, "VESTIBULE_STAFF_OIDC_ONLY": "true"}
    link = away.installation.cli("staff", "password", member.id, "-w", workspace.id)["link"].partition("link=")[2]
    with RunningServer(given, tmp_path) as server:
        member.origin, member.http = server.base_url, browser(server.base_url)
        assert 'name="password"' not in member.get("/sign-in").text
        refused(member.sign_in(), 403, "passwords_off")
        refused(member.get(f"/welcome?link={link}"), 403, "passwords_off")
        refused(member.post("/welcome", link=link, password=PASSWORD, again=PASSWORD), 403, "passwords_off")
        earlier, away.origin = away.origin, server.base_url
        visit = Visit(away)
        assert came_in(visit.come_back(visit.code(email=member.email, sub=f"s-{workspace.id}")))
        away.origin = earlier
        member.http.cookies = visit.http.cookies
        assert 'name="current"' not in member.get("/account").text
        refused(member.post("/account/password", current=PASSWORD, password="x" * 20), 403, "passwords_off")


def test_passwords_work_beside_it_and_it_is_not_there_without_settings(away: Away, workspace: Workspace) -> None:
    assert signed_in(workspace).get().status_code == 200
    refused(Member(workspace, Role.VIEWER).get("/sign-in/oidc"), 404, "no_such_path")
    assert away.fake.asked["/token"] > 0
