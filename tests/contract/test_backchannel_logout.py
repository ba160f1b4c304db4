"""`POST /v1/backchannel-logout/{customerId}`: who signs out at their provider is signed out here, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import API, CLIENT, JWKS, FakeProvider, Reply, make_key
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.puzzel import Front, new_pair
from tests.fixtures.real_providers import NodeOidcProvider, new_browser
from tests.fixtures.responding import eventually
from vestibule.administration import contacts, identity_providers
from vestibule.model.identity_provider import ProviderSettings
from vestibule.surfaces.native.token import ACCESS_TOKEN, EXCHANGE, ID_TOKEN, USER_INFO_ID

FORM = {"content-type": "application/x-www-form-urlencoded"}
EVENT = "http://schemas.openid.net/event/backchannel-logout"
PROMISED = 5.0


def form(front: Front, path: str, **members: str) -> httpx.Response:
    return front.call("POST", path, urlencode(members).encode(), headers=FORM)


def sign_out(front: Front, token: str, *, customer_id: str = "") -> httpx.Response:
    return form(front, f"/v1/backchannel-logout/{customer_id or front.customer_id}", logout_token=token)


def signed_out(front: Front, token: str) -> None:
    """Holds that the provider is answered as section 2.8 has it."""
    answer = sign_out(front, token)
    assert answer.status_code == 200, answer.text
    assert answer.content == b""
    assert answer.headers["cache-control"] == "no-store"


def refused(answer: httpx.Response, error: str = "invalid_request", code: str = "invalid_token") -> None:
    assert answer.status_code == 400, f"{answer.status_code} {answer.text}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert (answer.json()["error"], answer.json()["code"]) == (error, code)


def exchange(front: Front, token: str, kind: str = ID_TOKEN) -> httpx.Response:
    members = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": kind}
    return form(front, "/v1/token", client_id=front.customer_id, **members)


def sign_in(front: Front, token: str, kind: str = ID_TOKEN) -> str:
    answer = exchange(front, token, kind)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def is_good(front: Front, token: str) -> bool:
    status = front.call("GET", "/v1/me", bearer=token).status_code
    assert status in {200, 401}
    return status == 200


def ends(front: Front, *tokens: str) -> None:
    """Holds that these tokens are refused within the time that is promised."""
    eventually(lambda: not any(is_good(front, token) for token in tokens), within=PROMISED)


def redeem(front: Front, pending: tuple[str, str]) -> httpx.Response:
    members = {"grant_type": USER_INFO_ID, "user_info_id": pending[0], "code_verifier": pending[1]}
    return form(front, "/v1/token", client_id=front.customer_id, **members)


def hand_out(front: Front, **token: str) -> tuple[str, str]:
    """A userInfoId and its verifier."""
    verifier, challenge = new_pair()
    return front.exchange(codeChallenge=challenge, **token), verifier


def next_second() -> None:
    """A contact token tells in which second it was issued, and no better."""
    time.sleep(1.001 - time.time() % 1)


# ------------------------------------------------------------------------------------------------------- what it ends


def test_a_session_ends_with_what_came_of_it_and_nothing_else(front: Front, fake: FakeProvider) -> None:
    here = [sign_in(front, fake.id_token(sid="s-1")) for _ in range(2)]
    redeemed = redeem(front, hand_out(front, idToken=fake.id_token(sid="s-1"))).json()["access_token"]
    elsewhere, somebody = sign_in(front, fake.id_token(sid="s-2")), sign_in(front, fake.id_token(sub="u-2", sid="s-3"))
    without = sign_in(front, fake.id_token())
    signed_out(front, fake.logout_token(sub=None, sid="s-1"))
    ends(front, *here, redeemed)
    assert all(is_good(front, token) for token in (elsewhere, somebody, without))


def test_a_subject_s_sign_out_ends_everything_of_theirs(front: Front, fake: FakeProvider) -> None:
    tokens = [
        sign_in(front, fake.id_token(sid="s-1")),
        sign_in(front, fake.id_token()),
        sign_in(front, fake.access_token(), ACCESS_TOKEN),
    ]
    somebody = sign_in(front, fake.id_token(sub="u-2"))
    signed_out(front, fake.logout_token())
    ends(front, *tokens)
    assert is_good(front, somebody)
    next_second()
    assert is_good(front, sign_in(front, fake.id_token(sid="s-2"))), "they can sign in again"


def test_with_both_the_session_ends_and_what_is_of_no_known_session(front: Front, fake: FakeProvider) -> None:
    """Section 2.4: with a sid, one session is meant. An access token mostly does not say of which session it came."""
    tokens = [sign_in(front, fake.id_token(sid="s-1")), sign_in(front, fake.access_token(), ACCESS_TOKEN)]
    other = sign_in(front, fake.id_token(sid="s-2"))
    vouched, _ = front.workspace.sign_in("ada@example.com")
    signed_out(front, fake.logout_token(sid="s-1"))
    ends(front, *tokens)
    assert is_good(front, other)
    assert is_good(front, vouched), "another person, as far as is known"


def test_every_worker_refuses_within_the_promised_time(front: Front, fake: FakeProvider, second_server: str) -> None:
    elsewhere = Front(front.workspace, base_url=second_server)
    by_session, by_subject = sign_in(front, fake.id_token(sid="s-1")), sign_in(elsewhere, fake.id_token(sub="u-2"))
    assert all(is_good(each, token) for each in (front, elsewhere) for token in (by_session, by_subject))
    signed_out(front, fake.logout_token(sid="s-1", sub=None))
    signed_out(elsewhere, fake.logout_token(sub="u-2"))
    began = time.monotonic()
    for each in (front, elsewhere):
        ends(each, by_session, by_subject)
    assert time.monotonic() - began < PROMISED


@pytest.mark.parametrize("claims", [{"sid": "s-1", "sub": None}, {"sid": "s-1"}, {}], ids=["sid", "both", "sub"])
def test_what_waits_to_be_claimed_is_forgotten(front: Front, fake: FakeProvider, claims: dict[str, Any]) -> None:
    token = fake.id_token(sid="s-1")
    waiting, claimed = hand_out(front, idToken=token), hand_out(front, idToken=token)
    other = hand_out(front, idToken=fake.id_token(sub="u-2", sid="s-2"))
    assert redeem(front, claimed).status_code == 200
    signed_out(front, fake.logout_token(**claims))
    for pending in (waiting, claimed):
        refused(redeem(front, pending), "invalid_grant", "invalid_grant")
    assert redeem(front, other).status_code == 200


@pytest.mark.parametrize("claims", [{"sid": "s-1", "sub": None}, {"sid": "s-1"}, {}], ids=["sid", "both", "sub"])
def test_a_chat_that_they_were_identified_in_is_closed_to_that_browser(
    front: Front, fake: FakeProvider, claims: dict[str, Any]
) -> None:
    front.queue()
    here, there, token = front.visitor(), front.visitor(), fake.id_token(sid="s-1")
    answer = front.route("chat-1", bearer=here, proof=front.proof(token))
    other = front.route("chat-2", bearer=there, proof=front.proof(fake.id_token(sub="u-2", sid="s-2")))
    assert [answer.status_code, other.status_code] == [200, 200]
    assert front.messages("chat-1", bearer=here) == []
    signed_out(front, fake.logout_token(**claims))
    path = "/api/conversation/chat-1/messages"
    eventually(lambda: front.call("GET", path, bearer=here).status_code == 404, within=PROMISED)
    ends(front, answer.json()["contactToken"])
    assert front.messages("chat-2", bearer=there) == []
    assert front.call("GET", path, bearer=there).status_code == 404


def test_no_proof_of_an_ended_session_counts_any_more(front: Front, fake: FakeProvider) -> None:
    """The page may still hold the ID token of that session, which has not expired."""
    token = fake.id_token(sid="s-1")
    ended = sign_in(front, token)
    signed_out(front, fake.logout_token(sub=None, sid="s-1"))
    ends(front, ended)
    refused(exchange(front, token))
    refused(exchange(front, fake.id_token(sid="s-1", nonce="n-2")))
    assert front.authenticate(idToken=token).status_code == 401


def test_a_merged_person_is_signed_out_whole(front: Front, fake: FakeProvider) -> None:
    desk, run = front.workspace.installation.desk, front.workspace.installation.run
    mine = sign_in(front, fake.id_token())
    [(merged, _)] = front.workspace.contacts()
    vouched, into = front.workspace.sign_in("ada@example.com")
    run(contacts.merge(desk, front.workspace.id, merged, into))
    signed_out(front, fake.logout_token())
    ends(front, mine, vouched)


def test_a_neighbour_with_the_same_provider_is_left_alone(
    front: Front, fake: FakeProvider, responding: Installation
) -> None:
    neighbour = Front(responding.workspace())
    neighbour.add_provider(fake)
    theirs = sign_in(neighbour, fake.id_token(sid="s-1"))
    mine = sign_in(front, fake.id_token(sid="s-1"))
    signed_out(front, fake.logout_token())
    signed_out(front, fake.logout_token(sid="s-1"))
    ends(front, mine)
    assert is_good(neighbour, theirs)


def test_a_session_s_name_means_something_at_its_issuer_only(
    front: Front, fake: FakeProvider, responding: Installation
) -> None:
    other = FakeProvider("other-key")
    responding.run(other.start())
    try:
        front.add_provider(other, name="other")
        mine, theirs = sign_in(front, fake.id_token(sid="s-1")), sign_in(front, other.id_token(sid="s-1"))
        signed_out(front, other.logout_token(sid="s-1"))
        ends(front, theirs)
        assert is_good(front, mine)
    finally:
        responding.run(other.stop())


def test_who_is_not_known_is_signed_out_already(front: Front, fake: FakeProvider) -> None:
    signed_out(front, fake.logout_token(sub="nobody"))
    signed_out(front, fake.logout_token(sid="nothing"))
    signed_out(front, fake.logout_token(sub=None, sid="nothing"))
    assert front.workspace.contacts() == []


# ------------------------------------------------------------------------------------------------- what it does not do


def bad_tokens(fake: FakeProvider) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    stranger = make_key("stranger")
    yield "another audience", fake.logout_token(aud="somebody-else")
    yield "an API for an audience", fake.logout_token(aud=API)
    yield "another issuer", fake.logout_token(iss="https://other.example.com")
    yield "a stranger's key", fake.logout_token(key=stranger, header={"kid": fake.key.kid})
    yield "expired", fake.logout_token(exp=now - 100, iat=now - 200)
    yield "without end", fake.logout_token(exp=None)
    yield "good for ever", fake.logout_token(exp=now + 10**9)
    yield "undated", fake.logout_token(iat=None)
    yield "of the future", fake.logout_token(iat=now + 500, exp=now + 600)
    yield "of long ago", fake.logout_token(iat=now - 10 * 86_400)
    yield "without jti", fake.logout_token(jti=None)
    yield "empty jti", fake.logout_token(jti="")
    yield "a number for jti", fake.logout_token(jti=7)
    yield "of nobody", fake.logout_token(sub=None)
    yield "empty sub", fake.logout_token(sub="")
    yield "a number for sid", fake.logout_token(sid=7)
    yield "empty sid", fake.logout_token(sub=None, sid="")
    yield "with a nonce", fake.logout_token(nonce="n-1")
    yield "no events", fake.logout_token(events=None)
    yield "another event", fake.logout_token(events={"http://schemas.openid.net/event/other": {}})
    yield "events as text", fake.logout_token(events=EVENT)
    yield "events as list", fake.logout_token(events=[EVENT])
    yield "an event that is no object", fake.logout_token(events={EVENT: True})
    for kind in ("at+jwt", "secevent+jwt", "contact+jwt", "JOSE"):
        yield f"typ {kind}", fake.logout_token(header={"typ": kind})
    yield "an ID token", fake.id_token(jti="x")
    yield "an ID token that says it is one", fake.id_token(jti="x", header={"typ": "logout+jwt"})
    yield "an access token", fake.access_token(aud="widget-client")
    yield "cut", fake.logout_token()[:-5]
    yield "no JWT", "opaque"


def test_what_is_no_logout_token_ends_nothing_and_is_not_told_why(front: Front, fake: FakeProvider) -> None:
    mine = sign_in(front, fake.id_token(sid="s-1"))
    answers = {about: sign_out(front, token) for about, token in bad_tokens(fake)}
    answers["one of ours"] = sign_out(front, mine)
    for about, answer in answers.items():
        assert answer.status_code == 400, about
        refused(answer)
    assert len({answer.content for answer in answers.values()}) == 1
    time.sleep(2.2)
    assert is_good(front, mine)


def test_a_logout_token_passes_as_no_other_kind(front: Front, fake: FakeProvider) -> None:
    """Also one that does not say what it is, and has all that the others have."""
    person: dict[str, Any] = {"name": "Ada", "scope": "openid", "client_id": "widget-client"}
    for header in ({"typ": "logout+jwt"}, {"typ": "JWT"}, {"typ": None}, {"typ": "at+jwt"}):
        for claims in ({}, person, {**person, "nonce": "n-1"}, {"aud": API, **person}):
            token = fake.logout_token(header=header, **claims)
            refused(exchange(front, token))
            refused(exchange(front, token, ACCESS_TOKEN))
            assert front.authenticate(idToken=token).status_code == 401
            assert front.authenticate(accessToken=token).status_code == 401
            assert front.call("GET", "/v1/me", bearer=token).status_code == 401
    assert front.workspace.contacts() == []


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "JWT", None])
def test_providers_that_do_not_say_what_it_is_are_understood(front: Front, fake: FakeProvider, typ: str | None) -> None:
    signed_out(front, fake.logout_token(header={"typ": typ}, sub="nobody"))


def test_a_logout_token_is_good_once(front: Front, fake: FakeProvider) -> None:
    token = fake.logout_token(jti="j-1")
    sign_in(front, fake.id_token())
    signed_out(front, token)
    next_second()
    again = sign_in(front, fake.id_token())
    refused(sign_out(front, token))
    refused(sign_out(front, fake.logout_token(jti="j-1", sid="s-1")))
    time.sleep(2.2)
    assert is_good(front, again)
    fresh = fake.logout_token()
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda _: sign_out(front, fresh).status_code, range(8)))
    assert statuses == [200] + [400] * 7


def test_nobody_else_is_asked_and_a_provider_that_is_down_may_try_again(front: Front, fake: FakeProvider) -> None:
    token = fake.logout_token()
    fake.answers[JWKS] = lambda _: Reply(b"", status=500)
    answer = sign_out(front, token)
    assert (answer.status_code, answer.json()["error"]) == (502, "upstream_failed")
    del fake.answers[JWKS]
    eventually(lambda: sign_out(front, token).status_code == 200, within=10)


def test_a_disabled_provider_or_workspace_is_not_believed(front: Front, fake: FakeProvider) -> None:
    installation = front.workspace.installation
    mine = sign_in(front, fake.id_token())
    installation.run(identity_providers.switch(installation.desk, front.workspace.id, 1, enabled=False))
    time.sleep(2.1)
    refused(sign_out(front, fake.logout_token()))
    assert is_good(front, mine)
    installation.cli("workspace", "disable", front.workspace.id)
    time.sleep(2.1)
    answer = sign_out(front, fake.logout_token())
    assert (answer.status_code, answer.json()["code"]) == (403, "workspace_disabled")


def test_the_form_and_the_customer(front: Front, fake: FakeProvider) -> None:
    path = f"/v1/backchannel-logout/{front.customer_id}"
    refused(form(front, path), code="invalid_field")
    refused(form(front, path, logout_token=""), code="invalid_field")
    twice = front.call("POST", path, b"logout_token=a&logout_token=b", headers=FORM)
    refused(twice, code="invalid_field")
    assert front.call("POST", path, {"logout_token": "x"}).status_code == 415
    assert front.call("GET", path).status_code == 405
    nobody = sign_out(front, fake.logout_token(), customer_id="nobody")
    refused(nobody, "invalid_client", "invalid_client")
    assert "tenant_id" not in nobody.text, "which this call has not"
    # In the query it would stand in logs, and so it is not looked for there.
    refused(front.call("POST", path, b"", headers=FORM, logout_token=fake.logout_token()), code="invalid_field")


def test_only_what_is_no_good_counts_against_an_address(
    responding: Installation, fake: FakeProvider, tmp_path: Path
) -> None:
    with beside(responding, tmp_path, trusted_proxies="127.0.0.0/8", rate_limit_exchange_address="3") as server:
        front = Front(responding.workspace(), base_url=server.base_url, address="203.0.113.80")
        front.add_provider(fake)
        for _ in range(6):
            signed_out(front, fake.logout_token())
        statuses = [sign_out(front, "x").status_code for _ in range(5)]
        assert statuses == [400, 400, 400, 429, 429]
        signed_out(front, fake.logout_token())


def test_nobody_uses_up_what_the_provider_needs(responding: Installation, fake: FakeProvider, tmp_path: Path) -> None:
    with beside(responding, tmp_path, rate_limit_exchange_workspace="3") as server:
        front = Front(responding.workspace(), base_url=server.base_url)
        front.add_provider(fake)
        for _ in range(9):
            assert sign_out(front, "x").status_code == 400
        for _ in range(3):
            signed_out(front, fake.logout_token())
        assert sign_out(front, fake.logout_token()).status_code == 429


def test_whoever_was_signed_out_by_their_provider_is_in_the_audit(front: Front, fake: FakeProvider) -> None:
    sign_in(front, fake.id_token(sid="s-1"))
    signed_out(front, fake.logout_token(sid="s-1"))
    signed_out(front, fake.logout_token(sub=None, sid="of-nobody"))
    audit = Admin(front.workspace.installation, front.workspace.id)
    found = eventually(lambda: len(items := audit.get("audit", action="contact.sign_out")["items"]) == 2 and items)
    [contact_id] = front.workspace.people("name")
    assert {each.get("contact_id") for each in found} == {contact_id, None}
    assert [each["detail"] for each in found] == ["session", "session"]
    assert all(each["actor"].startswith("provider:") for each in found)


def test_a_logout_token_stands_in_no_log(front: Front, fake: FakeProvider) -> None:
    good, bad = fake.logout_token(sid="session-canary"), fake.logout_token(aud="x")
    signed_out(front, good)
    refused(sign_out(front, bad))
    path = f"/v1/backchannel-logout/{front.customer_id}"
    log = eventually(lambda: (log := front.workspace.installation.server.log()).count(path) >= 2 and log)
    for secret in (good, bad, good[-30:], bad[-30:], "session-canary"):
        assert secret not in log


# ------------------------------------------------------------------------------------------ a provider that people run


@pytest.mark.slow
def test_oidc_provider_tells_of_a_sign_out(responding: Installation) -> None:
    """panva's, by whole flows: sign in twice, in two browsers; sign out in one of them."""
    front = Front(responding.workspace())
    node = NodeOidcProvider("real-1")
    node.logout_uri = f"{responding.base_url}/v1/backchannel-logout/{front.customer_id}"
    with node, new_browser() as here, new_browser() as there:
        settings = ProviderSettings(name="real", issuer=node.issuer, client_ids=(CLIENT,))
        responding.run(identity_providers.add(responding.desk, front.workspace.id, settings))
        first, second = node.sign_in("ada", browser=here), node.sign_in("ada", browser=there)
        mine, elsewhere = sign_in(front, first["id_token"]), sign_in(front, second["id_token"])
        somebody = sign_in(front, node.sign_in("bob")["id_token"])
        waiting = hand_out(front, idToken=first["id_token"])
        node.sign_out(here, first["id_token"])
        ends(front, mine)
        assert is_good(front, elsewhere)
        assert is_good(front, somebody)
        refused(redeem(front, waiting), "invalid_grant", "invalid_grant")
        refused(exchange(front, first["id_token"]))
        again = node.sign_in("ada", browser=here)
        assert is_good(front, sign_in(front, again["id_token"]))
