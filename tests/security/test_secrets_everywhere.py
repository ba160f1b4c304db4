"""One of every secret that a workspace can have is put where it belongs, used rightly and wrongly, and then looked for
everywhere that anybody can read: the admin API, the dashboard, the OpenAPI documents, `/metrics`, refusals, the command
line, the log, the audit and its exports, what other servers are told, the engine's own files (SECURITY 3.3, rule 6)."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_provider import CLIENT_SECRET, FakeProvider
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.staff import Member, signed_in
from tests.fixtures.stored import Stored
from tests.fixtures.widget import Device, new_uuid, unverified_token
from vestibule.model.identity_provider import TokenKind

# What a page of the dashboard or a document of the API shows by right: what it is made for.
_PAGES = ("", "/inbox", "/contacts", "/audit", "/audit/export", "/debugger")
_SECRET_VARIABLES = """
[variables]
headers = {{ X-Shop-Key = "{variable}" }}
"""


@dataclass
class Canaries:
    """By name: every secret, and parts of it that would be as good to find."""

    found: dict[str, str] = field(default_factory=dict)

    def new(self, name: str) -> str:
        return self.keep(name, f"canary{secrets.token_hex(12)}")

    def keep(self, name: str, secret: str) -> str:
        assert len(secret) >= 16, name
        self.found[name] = secret
        return secret

    def absent(self, where: str, text: str) -> None:
        told = [name for name, secret in self.found.items() if secret in text]
        assert not told, f"{where} tells: {', '.join(told)}"


@dataclass(frozen=True)
class Scene:
    front: Front
    admin: Admin
    member: Member
    canaries: Canaries
    contact_id: str
    conversation_id: str

    @property
    def workspace(self) -> Workspace:
        return self.front.workspace


@pytest.fixture
def customer() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint() as running:
        yield running


@pytest.fixture
def scene(front: Front, fake: FakeProvider, customer: FakeAuthEndpoint, bot: FakeBot, tmp_path: Path) -> Scene:
    workspace, canaries = front.workspace, Canaries()
    installation = workspace.installation
    member = signed_in(workspace)
    admin = Admin(installation, workspace.id)
    _set_up(front, fake, customer, canaries, tmp_path)
    _point_at(bot, workspace, canaries)
    canaries.keep("API key", workspace.api_key[8:])
    canaries.keep("admin key", admin.key[10:])
    canaries.keep("staff session", next(iter(member.http.cookies.jar)).value or "")
    canaries.keep("password", "correct horse battery")
    token, contact_id = workspace.sign_in(
        "ada@example.com", name="Ada", http_action_overrides={"headers": {"Authorization": canaries.new("override")}}
    )
    canaries.keep("contact token", token.rpartition(".")[2])
    conversation_id = _talk(front, fake, customer, canaries, token)
    return Scene(front, admin, member, canaries, contact_id, conversation_id)


def _point_at(bot: FakeBot, workspace: Workspace, canaries: Canaries) -> None:
    """It answers visitors, and is told of events."""
    answered_by_bot(workspace, bot, url=f"{bot.url}/hook?key={canaries.new('bot URL')}")
    canaries.keep("bot's signing secret", str(bot.secret).removeprefix("whsec_"))
    hooked = workspace.installation.cli(
        "webhook", "set", "--url", f"{bot.url}/events?key={canaries.new('webhook URL')}", "-w", workspace.id
    )
    canaries.keep("webhook secret", hooked["secret"].removeprefix("whsec_"))


def _set_up(front: Front, fake: FakeProvider, customer: FakeAuthEndpoint, canaries: Canaries, directory: Path) -> None:
    """The other settings that hold a secret."""
    workspace = front.workspace
    canaries.keep("introspection client's secret", CLIENT_SECRET)
    shared = canaries.new("provider's shared secret") + secrets.token_hex(16)
    front.add_provider(
        fake,
        name="shared",
        algorithms=("HS256",),
        shared_secret=shared,
        client_ids=("s",),
        accepts=(TokenKind.ID_TOKEN,),
    )
    configure(workspace, customer, header_token=canaries.new("header token"))
    declared = directory / "actions.toml"
    declared.write_text(_SECRET_VARIABLES.format(variable=canaries.new("action variable")), encoding="utf-8")
    workspace.installation.cli("action", "apply", str(declared), "-w", workspace.id)


def _talk(front: Front, fake: FakeProvider, customer: FakeAuthEndpoint, canaries: Canaries, token: str) -> str:
    """Every credential of a visitor, used once, then wrongly."""
    workspace = front.workspace
    front.queue()
    for kind, text in (("idToken", fake.id_token()), ("accessToken", fake.access_token())):
        canaries.keep(kind, text.rpartition(".")[2])
        front.exchange(**{kind: text})
        assert front.authenticate(**{kind: text[:-3]}).status_code == 401
    opaque = canaries.keep("opaque token", fake.opaque_token(secrets.token_urlsafe(30)))
    front.exchange(accessToken=opaque)
    user_info_id, verifier = front.proof(fake.id_token())
    canaries.keep("userInfoId", user_info_id)
    canaries.keep("code verifier", verifier)
    session = front.session()
    canaries.keep("refresh token", str(session["refresh_token"]))
    canaries.keep("session's token", str(session["access_token"]).rpartition(".")[2])
    conversation_id = new_uuid()
    route = front.route(conversation_id, proof=(user_info_id, verifier), bearer=str(session["access_token"]))
    assert route.status_code == 200
    front.route(new_uuid(), proof=(user_info_id, verifier))
    front.refresh(str(session["refresh_token"]))
    front.refresh(str(session["refresh_token"]) + "x")
    user_token = canaries.new("user token")
    customer.people[user_token] = {"id": "u-1", "name": "Ada"}
    assert show(workspace, user_token).status_code == 200
    show(workspace, user_token + "x")
    device = Device(workspace, canaries_token := unverified_token(workspace), "device-1")
    canaries.keep("visitor's token", canaries_token.rpartition(".")[2])
    started = device.start()
    device.send(started, "hello", headers={"Authorization": canaries.new("message's header")})
    client = Client(workspace, token)
    mine = client.start()
    client.say(mine)
    link = str(client.upload(b"hello", "notes.txt").json()["url"])
    canaries.keep("file link", max(link.split("/"), key=len))
    workspace.installation.http.get(f"{link}x")
    return mine


def test_no_secret_can_be_read_anywhere(scene: Scene, bot: FakeBot, stored: Stored) -> None:
    canaries = scene.canaries
    assert len(canaries.found) >= 20
    time.sleep(1.5)  # what is written in groups is written
    for where, text in readable(scene):
        canaries.absent(where, text)
    # What others are told: a bot and a webhook, neither of which has any business with a visitor's credential.
    told = " ".join(f"{received.headers} {received.body.decode()}" for received in bot.received)
    of_visitors = ("API key", "contact token", "userInfoId", "code verifier", "refresh token", "user token", "override")
    assert not [name for name in of_visitors if canaries.found[name] in told]
    octets = stored.octets()
    assert scene.contact_id.encode() in octets, "looked in the wrong place"
    clear = [name for name, secret in canaries.found.items() if secret.encode() in octets]
    assert not clear, f"in clear in the database's files: {clear}"


def readable(scene: Scene) -> Iterator[tuple[str, str]]:
    """Everything that somebody can read, by name."""
    workspace, installation = scene.workspace, scene.workspace.installation
    described = installation.http.get("/v1/admin/openapi.json")
    yield "the admin API's description", described.text
    yield "the native API's description", installation.http.get("/v1/openapi.json").text
    for path in _paths(described.json(), scene):
        yield f"GET {path}", scene.admin.call("GET", path).text
    for page in (*_PAGES, f"/contacts/{scene.contact_id}", f"/inbox/{scene.conversation_id}"):
        answer = scene.member.get(page)
        assert answer.status_code == 200, f"{page}: {answer.status_code}"
        yield f"the dashboard's {page}", re.sub(r'href="/files/[^"]*"', "", answer.text)
    yield "/metrics", installation.http.get("/metrics").text
    yield "the log", installation.server.log()
    for command in (
        ("provider", "list"),
        ("auth-endpoint", "show"),
        ("responder", "show"),
        ("webhook", "list"),
        ("api-key", "list"),
        ("admin-key", "list"),
        ("staff", "list"),
        ("contact", "export", scene.contact_id),
        ("audit", "tail", "--limit", "500"),
    ):
        as_json = () if "export" in command else ("--json",)
        printed = installation.command(*command, "-w", workspace.id, *as_json)
        assert printed.exit_code == 0, printed
        yield f"vestibule {' '.join(command)}", printed.stdout
    yield "the audit", str(installation.rows("SELECT * FROM audit_entries WHERE workspace_id = $1", workspace.id))


def _paths(described: dict[str, Any], scene: Scene) -> Iterator[str]:
    ids = {
        "workspace_id": scene.workspace.id,
        "contact_id": scene.contact_id,
        "conversation_id": scene.conversation_id,
        "provider_id": "1",
        "key_id": scene.workspace.key_id,
    }
    for path, item in described["paths"].items():
        if "get" in item:
            names = re.findall(r"{(\w+)}", path)
            if set(names) <= ids.keys():
                yield "/" + path.format(**ids).removeprefix("/v1/admin/")


def test_no_refusal_of_a_setting_repeats_it(front: Front) -> None:
    """What is wrong is named; what was given may be a secret in the wrong place."""
    admin = Admin(front.workspace.installation, front.workspace.id)
    secret = f"canary{secrets.token_hex(12)}"
    for method, path, body in (
        ("POST", "identity-providers", {"name": "p", "issuer": f"https://u:{secret}@x.example", "client_ids": ["c"]}),
        ("POST", "identity-providers", {"name": "p", "issuer": "https://x.example", "shared_secret": secret}),
        ("POST", "identity-providers", {"name": secret * 20, "issuer": f"{secret}", "client_ids": [secret * 90]}),
        ("PATCH", "auth-endpoint", {"url": "https://x.example", "header_token": f"{secret}\n"}),
        ("PATCH", "auth-endpoint", {"url": f"https://{secret}@x.example"}),
        ("PATCH", "auth-endpoint", {"client_key": secret, "client_certificate": secret, "url": "https://x.example"}),
        ("PATCH", "responder", {"kind": "openai", "url": "https://x.example", "model": "m", "api_key": f"{secret}é"}),
        ("PATCH", "responder", {"kind": secret}),
        ("PUT", "action-variables", {"headers": {"Host": secret}}),
        ("PUT", "action-variables", {"headers": {"X": f"{secret}\r\n"}}),
        ("PUT", "actions/x", {"name": "x", "method": "GET", "url_template": f"https://{secret}@x.example/"}),
        ("PATCH", "", {"name": [secret]}),
    ):
        answer = admin.call(method, path, body)
        assert answer.status_code == 400, f"{path}: {answer.text}"
        assert secret not in json.dumps(answer.json()), f"{method} {path} repeats what it was given: {answer.text}"
    assert secret not in front.workspace.installation.server.log()
