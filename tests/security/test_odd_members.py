"""Each member of a good body with each kind of value that no reader expects: refused or taken, by design (OWASP ASVS
2.2.1, 16.5.3). What a provider signs as well: a signature says who wrote a claim, not that it is sane."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.cxgenie import App
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import GOOD, Workspace
from tests.fixtures.native import CONVERSATIONS, Client
from tests.fixtures.puzzel import Front
from tests.fixtures.raw_socket import RawSocket
from tests.fixtures.siege import Siege
from tests.fixtures.widget import OPERATIONS, Device, bot_token, new_uuid, unverified_token
from tests.fuzz.mutation import ODD_VALUES, odd_documents

Body = dict[str, Any]
Send = Callable[[Any], httpx.Response]
_OF_EACH = 4  # values for each place; a different draw for each door, and always the same
# What good bodies come to that lead to nothing which is there: they are read whole before that is seen.
_NOTHING_THERE = {"checkpoint": 201, "action": 404, "identity": 400, "user token": 404}


class Ground:
    """Two workspaces. What is taken changes one of them, so no siege can be laid around all of it: each refusal by
    itself is held to have changed neither, from the first time on (SECURITY 3.3, rule 3)."""

    def __init__(self, siege: Siege) -> None:
        self._siege = siege
        self._rows = siege.everything()

    def look(self) -> None:
        self._rows = self._siege.everything()

    def check(self, what: str, *, refused: bool) -> None:
        before = self._rows
        self.look()
        assert not refused or before == self._rows, f"{what} was refused, and stored: {set(before) ^ set(self._rows)}"


@pytest.fixture
def ground(workspace: Workspace, besiege: Callable[[Workspace], Siege]) -> Ground:
    return Ground(besiege(workspace))


def assault(ground: Ground, name: str, body: Body, send: Send) -> None:
    """The watch (tests/fixtures/watch.py) holds each refusal to the other rules; what is taken is just not an error."""
    good = send(body)
    assert good.status_code in {200, 201, 204, _NOTHING_THERE.get(name)}, f"{name}: {good.status_code} {good.text}"
    ground.look()
    for odd in odd_documents(body, random.Random(name), _OF_EACH):
        answer = send(odd)
        what = f"{name}: {json.dumps(odd)[:400]}"
        assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text}"
        ground.check(what, refused=answer.is_error)


def of_the_widget(workspace: Workspace) -> Iterator[tuple[str, Body, Send]]:
    device = Device(workspace, unverified_token(workspace), "device-1")
    for name, (method, path, body) in OPERATIONS.items():
        if body is not None:
            here = json.loads(json.dumps(body).replace("{id}", device.start()))
            yield name, here, _calls(device, method, path)
    session_id = device.start()
    sent: Body = {"uuid": new_uuid(), "session_id": session_id, "content": "x", "language": "en"}
    sent |= {"exit_mode_prompt": "x", "bot_token": bot_token(workspace), "attachments": []}
    sent |= {"custom_data": {"a": {"b": [1]}}, "headers": {"x-a": "1"}, "query_params": {"a": "1"}}
    sent |= {"body_properties": {"a": {"b": 1}}, "clientContext": {"a": [1]}}
    sent |= {"initial_messages": [{"uuid": new_uuid(), "content": "x"}]}
    yield "send, whole", sent, _calls(device, "POST", "/chat/send")
    asked = {"queryParams": {"a": 1}, "pathParams": {"a": "1"}, "bodyParams": {"a": [1]}, "headers": {"x-a": "1"}}
    action = {"sessionId": session_id, "formMessageId": new_uuid(), "actionId": new_uuid(), "request": asked}
    yield "action", action, _calls(device, "POST", "/action/execute")
    said = {"name": "A", "email": "a@example.com", "non_verified_custom_data": {"a": 1, "b": "x", "c": True}}
    yield "unverified", said, _calls(device, "POST", "/contact/create-unverified")


def _calls(device: Device, method: str, path: str) -> Send:
    return lambda body: device.call(method, path, body)


def of_the_native_api(workspace: Workspace) -> Iterator[tuple[str, Body, Send]]:
    client = Client(workspace, unverified_token(workspace))
    one = f"{CONVERSATIONS}/{client.start('device-1')}"
    visitor = {"widget_token": bot_token(workspace), "name": "A", "email": "a@example.com", "custom_data": {"a": 1}}
    yield "visitor", visitor, lambda body: client.call("POST", "/v1/visitors", body)
    made = {"scope": "device-2", "title": "x", "mode_id": "x", "custom_data": {"a": 1}, "language": "en"}
    yield "conversation", made, lambda body: client.call("POST", CONVERSATIONS, body)
    sent: Body = {"id": new_uuid(), "text": "x", "context": {"a": [1]}, "custom_data": {"a": {"b": 1}}}
    sent |= {"headers": {"x-a": "1"}, "query_params": {"a": "1"}, "body_properties": {"a": 1}, "attachments": []}
    yield "message", sent, lambda body: client.call("POST", f"{one}/messages", body)
    proof = {"contact_token": "x.y.z"}
    yield "identity", proof, lambda body: client.call("POST", f"{one}/identity", body)
    token = {"widget_token": bot_token(workspace), "user_token": "x", "scope": "device-1", "name": "A", "phone": "1"}
    yield "user token", token, lambda body: client.call("POST", "/v1/visitors/authenticate", body)


def of_cxgenie(workspace: Workspace) -> Iterator[tuple[str, Body, Send]]:
    app = App(workspace)
    began = {"bot_id": workspace.id, "name": "A", "email": "a@example.com", "phone_number": "1"}
    path = "/bot-sessions/guest-auth/start-bot-session"
    yield "bot session", began, lambda body: App(workspace).call("POST", path, body)
    app.start_as_guest()
    said: Body = {"bot_id": workspace.id, "content": "x", "type": "TEXT", "media": [], "meta": {"a": [1]}}
    said |= {"customer_id": app.customer["id"], "unsent": False, "sending_status": "sending"}
    yield "bot message", said, lambda body: app.call("POST", "/messages/guest-auth/bot", body)


def of_the_admin_api(workspace: Workspace) -> Iterator[tuple[str, Body, Send]]:
    admin = Admin(workspace.installation, workspace.id)
    provider: Body = {"name": "p", "issuer": "https://login.example.com", "client_ids": ["c"], "leeway": 60}
    provider |= {"claims": {"name": "name", "custom": {"a": "b"}}, "max_age": 60, "algorithms": ["RS256"]}
    provider |= {"endpoints": {"jwks_uri": "https://a.example/"}}
    action: Body = {"name": "a", "method": "GET", "url_template": "https://api.example.com/{id}", "timeout_ms": 1000}
    action |= {"parameters": [{"location": "path", "name": "id", "schema": {"type": "string"}, "required": True}]}
    values = {"headers": {"x-a": "1"}, "query_params": {"a": "1"}, "body_params": {"a": "1"}}
    doors: tuple[tuple[str, str, Body], ...] = (
        ("POST", "api-keys", {"name": "k", "scopes": ["widget:authenticate"]}),
        ("POST", "identity-providers", provider),
        ("POST", "identity-providers/dry-run", {"id_token": "x.y.z", "provider_id": None}),
        ("PATCH", "auth-endpoint", {"cache_seconds": 5, "url": "https://a.example.com/", "fields": ["email"]}),
        ("PATCH", "responder", {"kind": "webhook", "url": "https://a.example.com/", "timeout_ms": 1000}),
        ("PATCH", "widget", {"poll_seconds": 5, "modes": [{"id": "a", "name": "A"}]}),
        ("PUT", "actions/a", action),
        ("PUT", "action-variables", values),
        ("PUT", "queues/q", {"name": "q", "hours": ["mon-fri 08:00-17:00"]}),
    )
    for method, path, body in doors:
        yield f"{method} {path}", body, _administers(admin, method, path)
    # A workspace's own key sets no limits.
    whole = _administers(Admin(workspace.installation), "PATCH", f"/workspaces/{workspace.id}")
    limits: Body = {"name": "renamed", "retention": {"audit": 8_640_000}, "rate_limits": {"standard": 500}}
    yield "PATCH", limits, whole


def _administers(admin: Admin, method: str, path: str) -> Send:
    return lambda body: admin.call(method, path, body)


@pytest.mark.parametrize("door", [of_the_widget, of_the_native_api, of_cxgenie, of_the_admin_api])
def test_bodies(
    workspace: Workspace, ground: Ground, door: Callable[[Workspace], Iterator[tuple[str, Body, Send]]]
) -> None:
    for name, body, send in door(workspace):
        assault(ground, name, body, send)


def test_events_of_a_socket(workspace: Workspace, ground: Ground) -> None:
    app = App(workspace)
    app.start_as_guest()
    ground.look()
    said: Body = {"local_id": new_uuid(), "content": "x", "media": []}
    events = [("message.bot.create", said), ("message.bot.create", {**said, "media": [{"url": "x"}]})]
    events += [("message.reaction.create", {"message_id": new_uuid(), "value": "like"})]
    for name, event in events:
        with RawSocket.connected(workspace.installation.base_url) as wire:
            for odd in [event, *odd_documents(event, random.Random(name), _OF_EACH)]:
                given = {**odd, "customer_id": app.customer["id"]} if isinstance(odd, dict) else odd
                wire.send("421" + json.dumps([name, given]))
                while not (answer := wire.text()).startswith("431"):
                    pass
                refusal = json.loads(answer[3:])[0].get("error", {})
                assert refusal.get("code") not in {"unavailable", "storage_unavailable", "internal_error"}, (
                    f"{odd}: {answer}"
                )
                ground.check(f"{name}: {odd}", refused=bool(refusal))


def test_what_a_backend_says_of_its_user(workspace: Workspace, ground: Ground) -> None:
    full = {**GOOD, "http_action_overrides": {"headers": {"x-a": "1"}, "query_params": {"a": "1"}}}
    assault(ground, "vouching", full, lambda body: workspace.post(json.dumps(body).encode()))


TIMES = ("exp", "nbf", "iat", "auth_time")
NAMES = ("iss", "aud", "sub", "azp", "acr", "sid", "jti", "client_id", "nonce", "at_hash")
KINDS = ("scope", "scp", "cnf", "token_type", "token_use", "typ", "events")
PERSON = ("name", "email", "email_verified", "phone_number", "picture", "locale")


@pytest.mark.parametrize("kind", ["idToken", "accessToken"])
def test_what_a_provider_signs(front: Front, fake: FakeProvider, siege: Siege, kind: str) -> None:
    make, ground = fake.id_token if kind == "idToken" else fake.access_token, Ground(siege)
    for name in (*TIMES, *NAMES, *KINDS, *PERSON):
        for value in random.Random(name).sample(ODD_VALUES, 8):
            answer = front.authenticate(**{kind: make(**{name: value})})
            assert answer.status_code in {200, 400, 401}, f"{name} {value!r:.80}: {answer.text}"
            ground.check(f"{name} {value!r:.80}", refused=answer.is_error)
