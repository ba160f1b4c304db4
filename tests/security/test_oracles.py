"""Nothing about a secret or about somebody else can be learned from how long an answer takes, from a cache in between,
or from how a refusal is worded (OWASP ASVS 6.3.8, 11.2.5, 14.2.2; RFC 9111)."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front, new_pair
from tests.fixtures.siege import Siege, plain, shot
from tests.fixtures.staff import Member
from tests.fixtures.widget import Device, new_uuid, unverified_token, verified
from vestibule.ids import new_id

# What differs between two answers to the same request on purpose.
_OF_THE_MOMENT = {"x-request-id", "date"}


def alike(answers: Sequence[httpx.Response]) -> httpx.Response:
    """One of them, if nobody can tell them apart."""
    seen = {(answer.status_code, plain(answer), tuple(headers_of(answer))) for answer in answers}
    assert len(seen) == 1, [(answer.status_code, answer.text) for answer in answers]
    return answers[0]


def headers_of(answer: httpx.Response) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in answer.headers.items() if name not in _OF_THE_MOMENT)


class TestEnumeration:
    """Unknown, wrong, somebody else's, revoked and expired look alike."""

    def test_of_api_keys(self, siege: Siege) -> None:
        workspace = siege.workspace
        revoked_id, revoked = workspace.new_key()
        workspace.installation.cli("api-key", "revoke", revoked_id, "-w", workspace.id)
        expired_id, expired = workspace.new_key()
        sql = "UPDATE api_keys SET expires_at = 1 WHERE workspace_id = $1 AND id = $2"
        workspace.installation.rows(sql, workspace.id, expired_id)
        last = "0" if workspace.api_key[-1] != "0" else "1"
        keys = [
            revoked,
            expired,
            workspace.api_key[:-1] + last,
            "vst_key_" + "0" * 71,
            "no-key",
            secrets.token_urlsafe(60),
        ]
        with siege.laid(audited=["invalid_api_key"]):
            for key in keys:
                given = shot("POST", "/widget/authenticate-user", {"email": "a@b.de"}, bearer=key, secrets=[key])
                siege.refuses(given, 401, "invalid_api_key")
        body = b'{"email":"a@b.de"}'
        alike([workspace.post(body, {"authorization": f"Bearer {key}"}) for key in keys])

    def test_of_conversations(self, siege: Siege) -> None:
        workspace = siege.workspace
        mine = Client(workspace, workspace.sign_in("mallory@example.com")[0])
        hers = Client(workspace, workspace.sign_in("ada@example.com")[0]).start()
        theirs = Client(siege.neighbour, siege.neighbour.sign_in("ada@example.com")[0]).start()
        ids = [hers, theirs, new_id(), new_uuid()]
        for path in ("", "/messages", "/events"):
            answer = alike([mine.call("GET", f"/v1/conversations/{each}{path}") for each in ids])
            assert answer.status_code == 404
        alike([mine.resolve(each) for each in ids])
        sent = new_uuid()
        alike([mine.send(each, id=sent) for each in ids])
        device = verified(workspace, "mallory@example.com")
        for name in ("poll", "history", "resolve", "csat"):
            alike([device.do(name, each) for each in ids])

    def test_of_people_by_their_address(self, siege: Siege) -> None:
        """Who types an e-mail is told nothing about whether somebody has it, also by what is stored for them."""
        workspace = siege.workspace
        workspace.sign_in("known@example.com", name="Known")
        answers = []
        for email in ("known@example.com", "other@example.com"):
            answer = Device(workspace, None).call("POST", "/contact/create-unverified", {"email": email})
            assert answer.status_code == 200
            answers.append(answer)
            assert "Known" not in answer.text
            body = {"widget_token": Device(workspace, None).bot, "email": email}
            answers.append(siege.installation.http.post("/v1/visitors", json=body))
        assert [sorted(answer.json()) for answer in answers[::2]] == [sorted(answers[0].json())] * 2
        assert len({len(answer.content) for answer in answers[1::2]}) == 1

    def test_of_customers_and_providers(self, siege: Siege, front: Front, fake: FakeProvider) -> None:
        other = Front(siege.neighbour)
        other.add_provider(fake, name="theirs")
        other.add_provider(fake, name="second", client_ids=("second",), audiences=("second",))
        numbers = (2, 3, 99, 10**12)  # the first is the neighbour's
        answer = alike([front.authenticate(provider_id=number, idToken=fake.id_token()) for number in numbers])
        assert answer.status_code == 404

    def test_of_user_info_ids(self, siege: Siege, front: Front, fake: FakeProvider) -> None:
        front.queue()
        known, verifier = front.proof(fake.id_token())
        foreign = Front(siege.neighbour)
        foreign.add_provider(fake)
        foreign.queue()
        theirs, mine = foreign.proof(fake.id_token()), front.visitor()
        unknown = known[:-4] + ("0000" if known[-4:] != "0000" else "1111")
        proofs = [(known, new_pair()[0]), (unknown, verifier), (theirs[0], verifier), theirs, ("usr_x", verifier)]
        with siege.laid(audited=["invalid_grant"]):
            for user_info_id, guess in proofs:
                body = {"userInfoId": user_info_id, "codeVerifier": guess}
                path = f"/api/conversation/{new_uuid()}/route/support"
                given = shot("POST", path, body, bearer=mine, secrets=[user_info_id, guess])
                siege.refuses(given, 400, "invalid_grant")

    def test_of_workspaces(self, siege: Siege) -> None:
        admin = Admin(siege.installation, siege.workspace.id)
        answers = [admin.call("GET", f"/workspaces/{each}") for each in (siege.neighbour.id, new_id(), "x")]
        assert alike(answers).status_code == 404

    def test_of_staff(self, siege: Siege) -> None:
        member = Member(siege.workspace).with_password()
        answers = [
            member.sign_in("not the password"),
            member.sign_in("not the password", email="nobody@example.com"),
            member.sign_in("", email="nobody@example.com"),
            member.sign_in(""),
        ]
        shown = [(answer.status_code, answer.text.replace(member.email, "…")) for answer in answers]
        assert {status for status, _ in shown} == {401}
        assert len({text.replace("nobody@example.com", "…") for _, text in shown[:2]}) == 1


class TestTime:
    """Medians of turns taken one after the other: what a load on the machine adds, it adds to both."""

    ROUNDS = 120

    def difference(self, *asks: Callable[[], Any]) -> float:
        times: list[list[float]] = [[] for _ in asks]
        for number in range(self.ROUNDS):
            for ask, taken in zip(asks, times, strict=True):
                began = time.perf_counter()
                ask()
                if number >= 10:
                    taken.append(time.perf_counter() - began)
        medians = [statistics.median(taken) for taken in times]
        return max(medians) - min(medians)

    def test_tells_not_how_much_of_a_key_is_right(self, siege: Siege) -> None:
        key = siege.workspace.api_key
        body = b'{"email":"a@b.de"}'

        def ask(text: str) -> Callable[[], httpx.Response]:
            return lambda: siege.workspace.post(body, {"authorization": f"Bearer {text}"})

        from vestibule.tokens.api_key import _checksum  # noqa: PLC0415 - a guess in the right form, else it ends early

        guesses = [f"{key[:kept]}{'0' * (73 - kept)}" for kept in (30, 50, 72)]
        assert self.difference(*(ask(guess + _checksum(guess)) for guess in guesses)) < 0.002

    def test_tells_not_whether_an_address_has_an_account(self, siege: Siege) -> None:
        """A password is hashed also where there is nobody whose it could be."""
        member = Member(siege.workspace).with_password()
        times: dict[str, list[float]] = {member.email: [], "nobody@example.com": []}
        for _ in range(4):
            for email, taken in times.items():
                began = time.perf_counter()
                assert member.sign_in("not the password", email=email).status_code == 401
                taken.append(time.perf_counter() - began)
        known, unknown = (min(taken) for taken in times.values())
        assert 0.4 < known / unknown < 2.5, times

    def test_tells_not_whether_a_signature_was_close(self, siege: Siege) -> None:
        token, _ = siege.workspace.sign_in()
        head, _, signature = token.rpartition(".")

        def ask(text: str) -> Callable[[], httpx.Response]:
            return lambda: siege.workspace.me(text)

        near = f"{head}.{signature[:-2]}{'A' if signature[-2] != 'A' else 'B'}{signature[-1]}"
        far = f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
        assert self.difference(ask(near), ask(far)) < 0.002


class TestCaches:
    def test_may_keep_nothing_that_is_somebody_s(self, siege: Siege, fake: FakeProvider, front: Front) -> None:
        workspace = siege.workspace
        client = Client(workspace, workspace.sign_in()[0])
        conversation_id = client.start()
        client.say(conversation_id)
        device = Device(workspace, unverified_token(workspace), "device-1")
        admin = Admin(siege.installation, workspace.id)
        answers = [
            workspace.authenticate(email="a@example.com"),
            workspace.me(str(client.token)),
            workspace.me("wrong"),
            client.page(),
            client.read(conversation_id),
            client.call("GET", f"/v1/conversations/{conversation_id}/messages"),
            client.read(new_id()),
            device.sessions(),
            device.create_session(),
            device.call("GET", "/config"),
            front.authenticate(idToken=fake.id_token()),
            front.authenticate(idToken="x"),
            front.connect(),
            admin.call("GET", ""),
            admin.call("GET", "contacts"),
            admin.call("GET", "nothing"),
            siege.installation.http.get("/v1/nothing"),
        ]
        for answer in answers:
            assert answer.headers["cache-control"] == "no-store", f"{answer.request.url}: {answer.headers}"
            assert "expires" not in answer.headers
            assert "last-modified" not in answer.headers

    @pytest.mark.parametrize(
        "headers",
        [
            {"if-none-match": "*"},
            {"if-modified-since": "Thu, 01 Jan 2099 00:00:00 GMT"},
            {"range": "bytes=0-3"},
            {"x-http-method-override": "DELETE"},
            {"x-original-url": "/v1/admin/workspaces", "x-rewrite-url": "/v1/admin/workspaces"},
            {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil.example"},
            {"host": "evil.example"},
            {"accept": "text/html"},
        ],
        ids=lambda headers: next(iter(headers)),
    )
    def test_cannot_be_poisoned_by_a_header(self, workspace: Workspace, headers: dict[str, str]) -> None:
        """What a cache does not look at changes no answer."""
        http, token = workspace.installation.http, workspace.sign_in()[0]
        for path in ("/v1/me", "/.well-known/jwks.json", "/v1/openapi.json", "/widget.js", "/healthz"):
            bearer = {"authorization": f"Bearer {token}"} if path == "/v1/me" else {}
            usual, hostile = (http.get(path, headers={**bearer, **more}) for more in ({}, headers))
            if hostile.status_code == 304:  # for what is public and has a tag
                assert path not in {"/v1/me", "/healthz"}
                continue
            assert (hostile.status_code, hostile.content) == (usual.status_code, usual.content), path
            assert "evil" not in str(hostile.headers)


def test_a_workspace_id_in_a_token_tells_nothing_of_others(workspace: Workspace) -> None:
    """Ids are time-ordered names; none is a number that can be counted up to the neighbour's."""
    ids = {workspace.installation.workspace().id for _ in range(5)}
    tails = {each[-12:] for each in ids}
    assert len(tails) == len(ids)
