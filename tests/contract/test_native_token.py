"""`POST /v1/token`: the exchange as OAuth 2.0 clients know it (RFC 8693), and the second grant for a userInfoId."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.fixtures.fake_provider import INTROSPECTION, JWKS, FakeProvider, Reply
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.puzzel import Front, new_pair
from vestibule.administration import contacts, identity_providers
from vestibule.model.claims import Method
from vestibule.surfaces.native.token import ACCESS_TOKEN, EXCHANGE, ID_TOKEN, JWT, USER_INFO_ID

FORM = "application/x-www-form-urlencoded"


def post(front: Front, body: bytes, media_type: str = FORM) -> httpx.Response:
    """Posts these very bytes."""
    return front.call("POST", "/v1/token", body, headers={"content-type": media_type})


def ask(front: Front, **form: str | None) -> httpx.Response:
    """Posts the form, without what is None."""
    given = {"client_id": front.customer_id, **form}
    return post(front, urlencode({name: text for name, text in given.items() if text is not None}).encode())


def exchange(front: Front, token: str, kind: str = ID_TOKEN, **more: str | None) -> httpx.Response:
    form: dict[str, str | None] = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": kind}
    return ask(front, **{**form, **more})


def issued(answer: httpx.Response) -> dict[str, Any]:
    """The body of an answer that must be a token, as RFC 8693 section 2.2.1 has it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"access_token", "issued_token_type", "token_type", "expires_in", "contact"}
    assert body["token_type"] == "Bearer"
    return body


def refused(answer: httpx.Response, error: str, code: str, *, status: int = 400, names: str = "") -> dict[str, Any]:
    """The body of an OAuth error (RFC 6749 section 5.2); `names` must be in its description."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.headers
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"error", "error_description", "code"}
    assert (body["error"], body["code"]) == (error, code), body
    assert names in body["error_description"]
    return body


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def bearer(front: Front, token: str) -> httpx.Response:
    return front.call("GET", "/v1/me", bearer=token)


# -------------------------------------------------------------------------------------------------------- the exchange


def test_an_id_token_becomes_a_contact_token(front: Front, fake: FakeProvider) -> None:
    signed_in = int(time.time()) - 1234
    body = issued(exchange(front, fake.id_token(auth_time=signed_in, sid="s-1")))
    assert body["issued_token_type"] == JWT
    assert body["expires_in"] == 86_400
    claims = claims_of(body["access_token"])
    assert claims["exp"] - claims["iat"] == body["expires_in"]
    assert (claims["method"], claims["auth_time"]) == (Method.TOKEN_EXCHANGE, signed_in)
    assert claims["sub"] == body["contact"]["id"]
    assert "s-1" not in claims.values()
    me = bearer(front, body["access_token"]).json()
    assert (me["id"], me["name"], me["verified"]) == (body["contact"]["id"], "Ada", True)


def test_without_auth_time_the_exchange_is_the_proof(front: Front, fake: FakeProvider) -> None:
    claims = claims_of(issued(exchange(front, fake.id_token()))["access_token"])
    assert abs(claims["auth_time"] - claims["iat"]) <= 1
    assert "sid" not in claims
    early = claims_of(issued(exchange(front, fake.id_token(auth_time=time.time() + 30)))["access_token"])
    assert early["auth_time"] <= early["iat"] + 1, "a provider's clock that is ahead makes no sign-in of the future"


@pytest.mark.parametrize("kind", [ACCESS_TOKEN, JWT])
def test_so_does_a_jwt_access_token(front: Front, fake: FakeProvider, kind: str) -> None:
    assert issued(exchange(front, fake.access_token(), kind))["contact"]
    assert fake.asked[INTROSPECTION] == 0


def test_so_does_an_opaque_one(front: Front, fake: FakeProvider) -> None:
    assert issued(exchange(front, fake.opaque_token("opaque-0123456789"), ACCESS_TOKEN))["contact"]
    refused(exchange(front, "opaque-0123456789", JWT), "invalid_request", "invalid_token")


def test_a_jwt_is_an_id_token_unless_it_says_otherwise(front: Front, fake: FakeProvider) -> None:
    assert issued(exchange(front, fake.id_token(), JWT))["contact"]
    plain = fake.access_token(header={"typ": "JWT"})
    refused(exchange(front, plain, JWT), "invalid_request", "invalid_token")
    assert issued(exchange(front, plain, ACCESS_TOKEN))["contact"]


def test_one_kind_never_passes_as_the_other(front: Front, fake: FakeProvider) -> None:
    refused(exchange(front, fake.id_token(), ACCESS_TOKEN), "invalid_request", "invalid_token")
    refused(exchange(front, fake.access_token(), ID_TOKEN), "invalid_request", "invalid_token")
    ours = issued(exchange(front, fake.id_token()))["access_token"]
    for kind in (ID_TOKEN, ACCESS_TOKEN, JWT):
        refused(exchange(front, ours, kind), "invalid_request", "invalid_token")


def test_a_person_is_one_contact_on_both_faces(front: Front, fake: FakeProvider) -> None:
    verifier, challenge = new_pair()
    user_info_id = front.exchange(idToken=fake.id_token(), codeChallenge=challenge)
    first = issued(exchange(front, fake.id_token()))["contact"]["id"]
    second = issued(ask(front, grant_type=USER_INFO_ID, user_info_id=user_info_id, code_verifier=verifier))
    assert second["contact"]["id"] == first
    assert len(front.workspace.contacts()) == 1


def test_the_requested_type_is_the_one_that_is_issued(front: Front, fake: FakeProvider) -> None:
    for kind in (JWT, ACCESS_TOKEN):
        body = issued(exchange(front, fake.id_token(), requested_token_type=kind))
        assert body["issued_token_type"] == kind
    for target in ("audience", "resource"):
        own = front.workspace.installation.base_url
        assert issued(exchange(front, fake.id_token(), **{target: own}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"grant_type": None}, ("invalid_request", "invalid_field", "grant_type: is required")),
        ({"grant_type": ""}, ("invalid_request", "invalid_field", "grant_type: is required")),
        ({"grant_type": "password"}, ("unsupported_grant_type", "unsupported_grant_type", "")),
        ({"client_id": None}, ("invalid_request", "invalid_field", "client_id: is required")),
        ({"client_id": "nobody"}, ("invalid_client", "invalid_client", "this customer id.")),
        ({"client_id": "x" * 500}, ("invalid_client", "invalid_client", "")),
        ({"client_id": "\0"}, ("invalid_client", "invalid_client", "")),
        ({"subject_token": None}, ("invalid_request", "invalid_field", "subject_token: is required")),
        ({"subject_token_type": None}, ("invalid_request", "invalid_field", "subject_token_type: is required")),
        ({"subject_token_type": "id_token"}, ("invalid_request", "invalid_field", "subject_token_type: must be")),
        ({"provider_id": "one"}, ("invalid_request", "invalid_field", "provider_id")),
        ({"provider_id": "99"}, ("invalid_request", "not_found", "")),
        ({"provider_id": "9" * 20}, ("invalid_request", "not_found", "")),
        ({"requested_token_type": ID_TOKEN}, ("invalid_request", "invalid_field", "requested_token_type")),
        ({"actor_token": "x"}, ("invalid_request", "invalid_field", "actor_token")),
        ({"audience": "https://other.example"}, ("invalid_target", "invalid_field", "audience")),
        ({"resource": "https://other.example"}, ("invalid_target", "invalid_field", "resource")),
        ({"scope": "openid"}, ("invalid_scope", "invalid_field", "scope")),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_used_is_named(
    front: Front, fake: FakeProvider, changes: dict[str, Any], told: tuple[str, str, str]
) -> None:
    error, code, names = told
    refused(exchange(front, fake.id_token(), **changes), error, code, names=names)
    assert fake.asked.total() == 0
    assert front.workspace.contacts() == []


def test_the_body_is_one_plain_form(front: Front, fake: FakeProvider) -> None:
    token = fake.id_token()
    twice = f"grant_type=a&grant_type={EXCHANGE}&client_id={front.customer_id}".encode()
    refused(post(front, twice), "invalid_request", "invalid_field", names="grant_type: must be given once")
    for body in (b"grant_type=%ff", "grant_type=é".encode(), b"&".join([b"a=b"] * 60)):
        refused(post(front, body), "invalid_request", "malformed_body")
    for media_type in ("application/json", "text/plain", f"{FORM}; charset=utf-16"):
        refused(post(front, b"{}", media_type), "unsupported_media_type", "unsupported_media_type", status=415)
    refused(post(front, b"a=" + b"b" * 40_000), "body_too_large", "body_too_large", status=413)
    tolerated = post(front, b"grant_type=x", f"{FORM};charset=UTF-8")
    refused(tolerated, "unsupported_grant_type", "unsupported_grant_type")
    # The query is no place for credentials (RFC 6750 section 5.3), and so none is looked for there.
    query = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ID_TOKEN}
    answer = front.call("POST", "/v1/token", b"", headers={"content-type": FORM}, **query)
    refused(answer, "invalid_request", "invalid_field", names="grant_type: is required")
    assert front.call("GET", "/v1/token").status_code == 405


def test_every_bad_token_has_one_answer(front: Front, fake: FakeProvider) -> None:
    now = int(time.time())
    stranger = FakeProvider("stranger")
    bad = [
        fake.id_token(exp=now - 3600, iat=now - 7200),
        fake.id_token(aud="somebody-else"),
        fake.id_token(iss="https://other.example.com"),
        fake.id_token(key=stranger.key, header={"kid": fake.key.kid}),
        fake.id_token(sub=""),
        fake.id_token(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        fake.access_token(),
        "x",
        "é\ud7ff",
    ]
    bodies = [refused(exchange(front, token), "invalid_request", "invalid_token") for token in bad]
    assert all(body == bodies[0] for body in bodies)
    assert front.workspace.contacts() == []


def test_what_this_exchange_cannot_carry_is_said(front: Front, fake: FakeProvider, responding: Installation) -> None:
    encrypted = exchange(front, "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d")
    refused(encrypted, "invalid_request", "encrypted_token_not_supported")
    bound = exchange(front, fake.access_token(cnf={"jkt": "x"}), ACCESS_TOKEN)
    refused(bound, "invalid_request", "bound_token_not_supported")
    bare = Front(responding.workspace())
    refused(exchange(bare, "opaque-1", ACCESS_TOKEN), "invalid_request", "opaque_token_not_supported")


def test_a_provider_that_is_down_is_no_refusal_of_the_person(front: Front, fake: FakeProvider) -> None:
    fake.answers[JWKS] = lambda _: Reply(b"", status=500)
    answer = exchange(front, fake.id_token())
    refused(answer, "upstream_failed", "upstream_failed", status=502)


def test_a_disabled_provider_refuses_within_two_seconds(front: Front, fake: FakeProvider) -> None:
    desk, run = front.workspace.installation.desk, front.workspace.installation.run
    assert issued(exchange(front, fake.id_token()))
    run(identity_providers.switch(desk, front.workspace.id, 1, enabled=False))
    time.sleep(2.1)
    refused(exchange(front, fake.id_token()), "invalid_request", "invalid_token")
    assert front.authenticate(idToken=fake.id_token()).status_code == 401
    run(identity_providers.switch(desk, front.workspace.id, 1, enabled=True))
    time.sleep(2.1)
    assert issued(exchange(front, fake.id_token()))


def test_a_disabled_workspace_is_closed(front: Front, fake: FakeProvider) -> None:
    front.workspace.installation.cli("workspace", "disable", front.workspace.id)
    refused(exchange(front, fake.id_token()), "workspace_disabled", "workspace_disabled", status=403)


# ------------------------------------------------------------------------------------------------------- a single use


def test_a_token_that_is_good_once_is_taken_once_whatever_the_face(
    responding: Installation, fake: FakeProvider
) -> None:
    front = Front(responding.workspace())
    front.add_provider(fake, single_use=True)
    token = fake.id_token()
    assert issued(exchange(front, token))
    refused(exchange(front, token), "invalid_request", "invalid_token")
    assert front.authenticate(idToken=token).status_code == 401
    other = fake.id_token(nonce="n-2")
    assert front.exchange(idToken=other)
    refused(exchange(front, other), "invalid_request", "invalid_token")


def test_of_twenty_at_once_one_is_served(responding: Installation, fake: FakeProvider, second_server: str) -> None:
    front = Front(responding.workspace())
    front.add_provider(fake, single_use=True)
    fronts = [front, Front(front.workspace, base_url=second_server)]
    token = fake.id_token(jti="one")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda index: exchange(fronts[index % 2], token), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert len(front.workspace.contacts()) == 1


# ---------------------------------------------------------------------------------------------------- the second grant


def redeem(front: Front, user_info_id: str, verifier: str, **more: str | None) -> httpx.Response:
    form: dict[str, str | None] = {"user_info_id": user_info_id, "code_verifier": verifier}
    return ask(front, **{"grant_type": USER_INFO_ID, **form, **more})


@pytest.fixture
def pending(front: Front, fake: FakeProvider) -> tuple[str, str]:
    """A userInfoId and its verifier."""
    verifier, challenge = new_pair()
    token = fake.id_token(auth_time=int(time.time()) - 100, sid="s-1")
    return front.exchange(idToken=token, codeChallenge=challenge), verifier


def test_a_user_info_id_becomes_a_contact_token_and_the_same_again(front: Front, pending: tuple[str, str]) -> None:
    bodies = [issued(redeem(front, *pending)) for _ in range(2)]
    assert bodies[0]["contact"] == bodies[1]["contact"]
    claims = claims_of(bodies[0]["access_token"])
    assert claims["method"] == Method.TOKEN_EXCHANGE
    assert 100 <= claims["iat"] - claims["auth_time"] <= 105
    assert "sid" in claims
    assert bearer(front, bodies[0]["access_token"]).json()["name"] == "Ada"


def test_of_two_that_redeem_at_once_both_are_the_same_person(front: Front, pending: tuple[str, str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: redeem(front, *pending), range(8)))
    assert {issued(answer)["contact"]["id"] for answer in answers} == {front.workspace.contacts()[0][0]}


def test_what_does_not_fit_looks_alike(front: Front, pending: tuple[str, str], responding: Installation) -> None:
    user_info_id, verifier = pending
    elsewhere = Front(responding.workspace())
    bad = [
        redeem(elsewhere, user_info_id, verifier),
        redeem(front, user_info_id, new_pair()[0]),
        redeem(front, user_info_id, "short"),
        redeem(front, user_info_id[:-1] + "!", verifier),
        redeem(front, "usr_" + "0" * 65, verifier),
        redeem(front, "é", verifier),
    ]
    bodies = [refused(answer, "invalid_grant", "invalid_grant") for answer in bad]
    assert all(body == bodies[0] for body in bodies)
    assert issued(redeem(front, user_info_id, verifier))


def test_five_wrong_verifiers_kill_it(front: Front, pending: tuple[str, str]) -> None:
    for _ in range(5):
        refused(redeem(front, pending[0], new_pair()[0]), "invalid_grant", "invalid_grant")
    refused(redeem(front, *pending), "invalid_grant", "invalid_grant")


def test_an_erased_contact_s_user_info_id_is_worth_nothing(front: Front, pending: tuple[str, str]) -> None:
    installation = front.workspace.installation
    [(contact_id, _)] = front.workspace.contacts()
    installation.run(contacts.erase(installation.desk, front.workspace.id, contact_id))
    refused(redeem(front, *pending), "invalid_grant", "invalid_grant")


def test_signing_out_ends_what_the_token_came_of(front: Front, pending: tuple[str, str]) -> None:
    first, second = (issued(redeem(front, *pending))["access_token"] for _ in range(2))
    assert front.call("POST", "/v1/me/sign-out", bearer=first).status_code == 204
    refused(redeem(front, *pending), "invalid_grant", "invalid_grant")
    assert bearer(front, second).status_code == 401, "the same call, so the same token"


def test_it_asks_for_nothing_else_either(front: Front, pending: tuple[str, str]) -> None:
    for name, error in (("requested_token_type", "invalid_request"), ("scope", "invalid_scope")):
        refused(redeem(front, *pending, **{name: "x"}), error, "invalid_field", names=name)
    assert issued(redeem(front, *pending, requested_token_type=ACCESS_TOKEN))["issued_token_type"] == ACCESS_TOKEN


@pytest.mark.parametrize("missing", ["user_info_id", "code_verifier", "client_id"])
def test_each_part_is_required(front: Front, pending: tuple[str, str], missing: str) -> None:
    form: dict[str, str | None] = {"user_info_id": pending[0], "code_verifier": pending[1]}
    answer = ask(front, **{"grant_type": USER_INFO_ID, **form, missing: None})
    refused(answer, "invalid_request", "invalid_field", names=f"{missing}: is required")


# ------------------------------------------------------------------------------------------------------------- around


def test_pages_of_any_origin_may_call(front: Front, fake: FakeProvider) -> None:
    asking = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    preflight = front.call("OPTIONS", "/v1/token", headers=asking)
    assert preflight.status_code == 204
    for answer in (exchange(front, fake.id_token()), exchange(front, "x")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("which", ["address", "workspace", "contact"])
def test_limits_are_shared_with_the_other_face(
    responding: Installation, fake: FakeProvider, tmp_path: Path, which: str
) -> None:
    limit = {f"rate_limit_exchange_{which}": "4"}
    with beside(responding, tmp_path, trusted_proxies="127.0.0.0/8", **limit) as server:
        front = Front(responding.workspace(), base_url=server.base_url, address="203.0.113.70")
        front.add_provider(fake)
        front.exchange(idToken=fake.id_token())
        answers = [exchange(front, fake.id_token()) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        refused(answers[-1], "rate_limited", "rate_limited", status=429)
        assert int(answers[-1].headers["retry-after"]) >= 1


def test_secrets_stand_in_no_answer_and_no_log(front: Front, fake: FakeProvider, pending: tuple[str, str]) -> None:
    token, wrong = fake.id_token(), fake.id_token(aud="x")
    made = issued(exchange(front, token))["access_token"]
    assert wrong not in exchange(front, wrong).text
    redeemed = issued(redeem(front, *pending))["access_token"]
    redeem(front, pending[0], new_pair()[0])
    time.sleep(0.3)
    log = front.workspace.installation.server.log()
    lines = [json.loads(line) for line in log.splitlines() if '"/v1/token"' in line]
    assert lines[-3]["step"] == "aud", "looked in the wrong place"
    assert {lines[-1]["workspace"], lines[-2]["workspace"]} == {front.workspace.id}
    for secret in (token, wrong, made, redeemed, *pending):
        assert secret not in log
        assert secret[-30:] not in log
