"""`POST /api/authenticate/{customerId}` as Puzzel's seed has it, against a provider on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_provider import API, DISCOVERY, INTROSPECTION, JWKS, USERINFO, Asked, FakeProvider, Reply
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.puzzel import CHALLENGE, Front, problem


def test_an_id_token_becomes_a_user_info_id(front: Front, fake: FakeProvider) -> None:
    answer = front.authenticate(idToken=fake.id_token())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"userInfoId"}
    assert re.fullmatch(r"usr_[0-9A-Za-z]{65}", answer.json()["userInfoId"])
    [(contact_id, _)] = front.workspace.contacts()
    assert front.workspace.contact(contact_id)["name"] == "Ada"


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_so_does_an_access_token(front: Front, fake: FakeProvider, kind: str) -> None:
    token = fake.access_token() if kind == "jwt" else fake.opaque_token("opaque-0123456789")
    assert front.exchange(accessToken=token)
    assert front.exchange(accessToken=token, idToken=None), "a null is an absent token"


def test_one_person_is_one_contact_and_every_exchange_a_new_id(front: Front, fake: FakeProvider) -> None:
    token = fake.id_token()
    made = {front.exchange(idToken=token) for _ in range(3)}
    assert len(made) == 3, "several tabs exchange one token"
    assert len(front.workspace.contacts()) == 1


def test_the_provider_is_named_or_found_by_the_issuer(
    front: Front, fake: FakeProvider, responding: Installation
) -> None:
    other = FakeProvider("other-key")
    responding.run(other.start())
    try:
        provider = front.add_provider(other, name="other")
        assert front.exchange(idToken=other.id_token())
        assert front.exchange(idToken=other.id_token(), provider_id=provider.id)
        problem(front.authenticate(idToken=fake.id_token(), provider_id=provider.id), 401, "invalid_token")
    finally:
        responding.run(other.stop())


@pytest.mark.parametrize(
    ("members", "cause", "names"),
    [
        ({"codeChallenge": ...}, "invalid_field", "codeChallenge: is required"),
        ({"codeChallenge": None}, "invalid_field", "codeChallenge: must be text"),
        ({"codeChallenge": CHALLENGE[:-1]}, "invalid_field", "codeChallenge: must be"),
        ({"codeChallenge": CHALLENGE + "="}, "invalid_field", "codeChallenge: must be"),
        ({"codeChallenge": CHALLENGE[:-1] + "+"}, "invalid_field", "codeChallenge: must be"),
        ({"idToken": ...}, None, "exactly one of accessToken and idToken"),
        ({"idToken": None}, None, "exactly one"),
        ({"accessToken": "a"}, None, "exactly one"),
        ({"accessToken": ""}, None, "exactly one"),
        ({"idToken": 7}, "invalid_field", "idToken: must be text"),
    ],
)
def test_what_cannot_be_used_is_named(
    front: Front, fake: FakeProvider, members: dict[str, Any], cause: str | None, names: str
) -> None:
    answer = front.authenticate(**{"idToken": fake.id_token(), **members})
    problem(answer, 400, "invalid_request", names=names, cause=cause)
    assert fake.asked.total() == 0


def test_the_body_is_strict_json(front: Front, fake: FakeProvider) -> None:
    path = f"/api/authenticate/{front.customer_id}"
    token = fake.id_token()
    twice = f'{{"codeChallenge":"{CHALLENGE}","idToken":"x","idToken":"{token}"}}'.encode()
    for body in (b"", b"[]", b"{", twice, b'{"idToken":"\xff"}'):
        problem(front.call("POST", path, body), 400, "invalid_request", cause="malformed_body")
    plain = {"content-type": "text/plain"}
    problem(front.call("POST", path, b"{}", headers=plain), 415, "unsupported_media_type")
    assert front.call("GET", path).status_code == 405


def test_a_provider_id_is_an_integer(front: Front, fake: FakeProvider) -> None:
    for wrong in ("x", "", "1.0", "1e3", "٣", "1 ", "0x1"):
        answer = front.authenticate(idToken=fake.id_token(), provider_id=wrong)
        problem(answer, 400, "invalid_request", names="providerId", cause="invalid_field")
    for absent in (0, -1, 2, 10**17, 10**19, -(10**40)):
        problem(front.authenticate(idToken=fake.id_token(), provider_id=absent), 404, "not_found")
    answer = front.call("POST", f"/api/authenticate/{front.customer_id}?providerId=1&providerId=2", {})
    problem(answer, 400, "invalid_request", names="providerId: must be given once", cause="invalid_field")


def test_unknown_customer_and_foreign_provider_look_alike(front: Front, fake: FakeProvider) -> None:
    """A provider's number means something in its own workspace only, and says nothing about another's."""
    foreign = Front(front.workspace.installation.workspace())
    token = fake.id_token()
    answers = [
        front.authenticate(idToken=token, customer_id="nobody"),
        front.authenticate(idToken=token, customer_id="nobody", provider_id=1),
        front.authenticate(idToken=token, customer_id="%00"),
        front.authenticate(idToken=token, customer_id="%C3%A9"),
        foreign.authenticate(idToken=token, provider_id=1),
        front.authenticate(idToken=token, provider_id=7),
    ]
    bodies = [problem(answer, 404, "not_found") for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    answer = front.authenticate(idToken=token, customer_id="x" * 26)
    problem(answer, 400, "invalid_request", names="customerId", cause="invalid_field")
    problem(foreign.authenticate(idToken=token), 401, "invalid_token")


def test_every_bad_token_has_one_answer(front: Front, fake: FakeProvider) -> None:
    stranger = FakeProvider("stranger")
    now = int(time.time())
    bad = [
        fake.id_token(exp=now - 3600, iat=now - 7200),
        fake.id_token(aud="somebody-else"),
        fake.id_token(iss="https://other.example.com"),
        fake.id_token(key=stranger.key, header={"kid": fake.key.kid}),
        fake.id_token(header={"kid": "unknown"}),
        fake.id_token(sub=""),
        fake.access_token(),
        fake.id_token()[:-4] + "AAAA",
        "not a token",
        "x",
        "\ud800",
    ]
    bodies = []
    for token in bad:
        answer = front.authenticate(idToken=token)
        if token == "\ud800":
            problem(answer, 400, "invalid_request", cause="malformed_body")
            continue
        bodies.append(problem(answer, 401, "invalid_token"))
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert all(body == bodies[0] for body in bodies)
    assert front.workspace.contacts() == []


def test_what_this_exchange_cannot_carry_is_said(front: Front, fake: FakeProvider, responding: Installation) -> None:
    encrypted = "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d"
    problem(front.authenticate(idToken=encrypted), 400, "encrypted_token_not_supported")
    problem(front.authenticate(accessToken=fake.access_token(cnf={"jkt": "x"})), 400, "bound_token_not_supported")
    bare = Front(responding.workspace())
    problem(bare.authenticate(accessToken="opaque-1"), 400, "opaque_token_not_supported")
    another = FakeProvider("another")
    responding.run(another.start())
    try:
        two = Front(responding.workspace())
        two.add_provider(fake)
        two.add_provider(another, name="another")
        problem(two.authenticate(accessToken="opaque-1"), 400, "provider_required")
        assert another.asked[INTROSPECTION] == fake.asked[INTROSPECTION] == 0, "an opaque token goes to one provider"
    finally:
        responding.run(another.stop())


def test_an_opaque_token_without_audience_of_ours_is_refused(front: Front, fake: FakeProvider) -> None:
    token = fake.opaque_token("opaque-2", client_id="another-client")
    problem(front.authenticate(accessToken=token), 401, "invalid_token")
    assert fake.asked[USERINFO] == 0


def test_a_token_of_64_kb_is_refused_within_50_ms_and_without_a_look_up(front: Front, fake: FakeProvider) -> None:
    front.exchange(idToken=fake.id_token())
    asked = fake.asked.copy()
    for size, status, code in ((65_536, 413, "body_too_large"), (32_000, 401, "invalid_token")):
        body = {"codeChallenge": CHALLENGE, "idToken": "eyJ" + "a" * size + ".e30.AAAA"}
        took = []
        for _ in range(3):
            began = time.monotonic()
            problem(front.authenticate(**body), status, code)
            took.append(time.monotonic() - began)
        assert min(took) < 0.05
    assert fake.asked == asked


def test_a_thousand_unknown_kids_are_one_fetch(front: Front, fake: FakeProvider) -> None:
    """docs/methods/token-exchange.md: an unknown kid asks for the keys again at most once in 30 s."""
    front.exchange(idToken=fake.id_token())
    asked = fake.asked.copy()
    for number in range(1000):
        answer = front.authenticate(idToken=fake.id_token(header={"kid": f"k-{number}"}))
        assert answer.status_code == 401
    assert fake.asked[JWKS] - asked[JWKS] <= 1
    assert fake.asked[DISCOVERY] == asked[DISCOVERY]
    assert front.exchange(idToken=fake.id_token())


HOSTILE: dict[str, tuple[Any, set[int]]] = {
    "html": (Reply(b"<html>", headers={"Content-Type": "text/html"}), {502}),
    "redirect": (Reply({}, status=302, headers={"Location": "http://127.0.0.1:1/"}), {502}),
    "100 MB": (Reply(b"", pieces=[b" " * 65_536] * 1_600), {502}),
    "error": (Reply({}, status=500), {502, 503}),
    "another issuer": (Reply({"issuer": "https://other.example.com", "jwks_uri": "https://other.example.com/"}), {502}),
    "no object": (Reply(b"[]"), {502}),
}


UPSTREAM = {"upstream_failed", "upstream_redirect", "upstream_too_large", "provider_unavailable"}
# What may lie in sockets between the two, with much room.
UNREAD = 50_000_000


@pytest.mark.parametrize("path", [DISCOVERY, JWKS, INTROSPECTION, USERINFO])
@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_provider_is_a_clear_answer(front: Front, fake: FakeProvider, how: str, path: str) -> None:
    reply, statuses = HOSTILE[how]
    opaque = fake.opaque_token("opaque-7") if path in {INTROSPECTION, USERINFO} else None
    fake.answers[path] = lambda _asked: reply
    began = time.monotonic()
    answer = front.authenticate(accessToken=opaque, idToken=None if opaque else fake.id_token())
    assert time.monotonic() - began < 8
    if how == "another issuer" and path in {INTROSPECTION, USERINFO}:
        problem(answer, 401, "invalid_token")  # an answer that does not speak for the token
    else:
        assert answer.status_code in statuses, answer.text
        assert answer.json()["cause"] in UPSTREAM
        problem(answer, answer.status_code, "idp_error", cause=answer.json()["cause"])
    assert (0 < fake.poured < UNREAD) is (how == "100 MB"), "it is not read to its end"
    assert front.workspace.contacts() == []


def test_a_provider_inside_our_network_is_not_called(
    responding: Installation, fake: FakeProvider, tmp_path: Path
) -> None:
    """It was set up while `private_hosts` allowed it."""
    with beside(responding, tmp_path, private_hosts="") as server:
        front = Front(responding.workspace(), base_url=server.base_url)
        front.add_provider(fake)
        problem(front.authenticate(idToken=fake.id_token()), 502, "idp_error", cause="upstream_forbidden")
        assert fake.asked.total() == 0


def test_a_provider_that_drips_is_given_up_on(front: Front, fake: FakeProvider, responding: Installation) -> None:
    """A byte now and then, of an answer that would be good."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b" " * 6:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.15)
        writer.close()
        ended.set()

    responding.run(fake.stop())
    ended = threading.Event()
    dripping = responding.run(asyncio.start_server(drip, "127.0.0.1", fake.port))
    try:
        began = time.monotonic()
        problem(front.authenticate(idToken=fake.id_token()), 504, "idp_timeout", cause="upstream_timeout")
        assert time.monotonic() - began < 8
        assert ended.wait(5)
    finally:
        dripping.close()


def test_a_slow_provider_holds_up_nobody_else(front: Front, fake: FakeProvider, responding: Installation) -> None:
    async def slow(_asked: Asked) -> Reply:
        await asyncio.sleep(6)
        return Reply({})

    fake.answers[DISCOVERY] = slow
    neighbour = FakeProvider("neighbour")
    responding.run(neighbour.start())
    try:
        next_door = Front(responding.workspace())
        next_door.add_provider(neighbour)
        next_door.exchange(idToken=neighbour.id_token())

        async def both() -> tuple[httpx.Response, float]:
            waiting = asyncio.create_task(asyncio.to_thread(front.authenticate, idToken=fake.id_token()))
            await asyncio.sleep(0.2)
            asked = time.monotonic()
            await asyncio.to_thread(next_door.exchange, idToken=neighbour.id_token())
            took = time.monotonic() - asked
            assert not waiting.done(), "the slow one is slow"
            return await waiting, took

        began = time.monotonic()
        answer, took = asyncio.run(both())
        altogether = time.monotonic() - began
        problem(answer, 504, "idp_timeout", cause="upstream_timeout")
        assert altogether < 8
        assert took * 4 < altogether
    finally:
        responding.run(neighbour.stop())


def test_pages_of_any_origin_may_call(front: Front, fake: FakeProvider) -> None:
    path = f"/api/authenticate/{front.customer_id}"
    asking = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    preflight = front.call("OPTIONS", path, headers={**asking, "access-control-request-headers": "content-type"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "Content-Type" in preflight.headers["access-control-allow-headers"]
    for answer in (front.authenticate(idToken=fake.id_token()), front.authenticate(idToken="x")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


def test_a_disabled_workspace_is_closed(front: Front, fake: FakeProvider) -> None:
    front.workspace.installation.cli("workspace", "disable", front.workspace.id)
    problem(front.authenticate(idToken=fake.id_token()), 403, "workspace_disabled")


def test_no_other_surface_of_api_is_taken(front: Front) -> None:
    """`/api/v1` is CX Genie's wire."""
    for path in ("/api", "/api/", "/api/authenticated"):
        problem(front.call("GET", path), 404, "no_such_path")


@pytest.mark.parametrize("which", ["address", "workspace", "contact"])
def test_limits(responding: Installation, fake: FakeProvider, tmp_path: Path, which: str) -> None:
    limit = {f"rate_limit_exchange_{which}": "3"}
    with beside(responding, tmp_path, trusted_proxies="127.0.0.0/8", **limit) as server:
        front = Front(responding.workspace(), base_url=server.base_url, address="203.0.113.7")
        front.add_provider(fake)
        answers = [front.authenticate(idToken=fake.id_token()) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        problem(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["retry-after"]) >= 1
        if which == "contact":
            assert front.exchange(idToken=fake.id_token(sub="u-2"))


def test_a_bad_token_counts_as_well(responding: Installation, fake: FakeProvider, tmp_path: Path) -> None:
    with beside(responding, tmp_path, trusted_proxies="127.0.0.0/8", rate_limit_exchange_address="3") as server:
        front = Front(responding.workspace(), base_url=server.base_url, address="203.0.113.8")
        front.add_provider(fake)
        statuses = [front.authenticate(idToken="x", customer_id=name).status_code for name in ("a", "b", "c", "d")]
        assert statuses == [404, 404, 404, 429]
        elsewhere = Front(front.workspace, base_url=server.base_url, address="203.0.113.9")
        assert elsewhere.exchange(idToken=fake.id_token())


def test_tokens_stand_in_no_answer_and_no_log(front: Front, fake: FakeProvider, workspace: Workspace) -> None:
    token = fake.id_token()
    user_info_id = front.exchange(idToken=token)
    wrong = fake.id_token(aud="x")
    assert wrong not in front.authenticate(idToken=wrong).text
    time.sleep(0.3)
    log = front.workspace.installation.server.log()
    lines = [json.loads(line) for line in log.splitlines() if '"/api/authenticate/' in line]
    assert lines[-2]["workspace"] == front.workspace.id, "looked in the wrong place"
    assert lines[-1]["step"] == "aud"
    for secret in (token, token.split(".")[2], wrong, wrong.split(".")[2], user_info_id, user_info_id[30:]):
        assert secret not in log
    assert workspace.id not in {line.get("workspace") for line in lines}
    assert API not in log
