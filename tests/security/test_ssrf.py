"""Every URL that somebody can configure, or that a server answers with, is tried with addresses behind the door: all of
vectors/ssrf, both families, redirects, proxies of the environment. What a name means when it is called is held by
test_ssrf_names.py; that a kept connection does not outlive it (rebinding), beneath every one of these, by
tests/contract/test_outbound_addresses.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures import server as servers
from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.fake_provider import DISCOVERY, INTROSPECTION, JWKS, USERINFO, Asked, FakeProvider, Reply
from tests.fixtures.front_door import GOOD, Installation, Workspace
from tests.fixtures.loopback import Answer
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.siege import Canary
from tests.fixtures.widget import anonymous
from vestibule.administration import identity_providers
from vestibule.model.identity_provider import Endpoints, ProviderSettings

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/ssrf/urls.json").read_text(encoding="utf-8"))["items"]
PROVIDER = {"name": "p", "issuer": "https://login.example.com", "client_ids": ["c"]}
ACTION = {"method": "GET", "required_trust": "unverified"}
MORE = [
    "https://127.0.0.1:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://0:{port}/",
    "https://0177.1:{port}/",
    "https://2130706433:{port}/",
    "https://localhost:{port}/",
    "https://sub.localhost:{port}/",
    "https://example.com@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@example.com/",
    "http://example.com:{port}/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://metadata.google.internal/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
]
# Where an operator or a customer may write a URL, as a change by the admin API.
PLACES: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "issuer": ("POST", "identity-providers", lambda url: {**PROVIDER, "issuer": url}),
    "key set": ("POST", "identity-providers", lambda url: {**PROVIDER, "endpoints": {"jwks_uri": url}}),
    "introspection": ("POST", "identity-providers", lambda url: {**PROVIDER, "endpoints": {"introspection": url}}),
    "userinfo": ("POST", "identity-providers", lambda url: {**PROVIDER, "endpoints": {"userinfo": url}}),
    "auth endpoint": ("PATCH", "auth-endpoint", lambda url: {"url": url}),
    "list of domains": ("PATCH", "auth-endpoint", lambda url: {"domains_url": url}),
    "bot": ("PATCH", "responder", lambda url: {"kind": "webhook", "url": url}),
    "model": ("PATCH", "responder", lambda url: {"kind": "openai", "model": "m", "api_key": "k", "url": url}),
    "webhook": ("POST", "webhooks", lambda url: {"url": url}),
    "action": ("PUT", "actions/probe", lambda url: {**ACTION, "name": "probe", "url_template": url}),
}


@pytest.fixture(scope="module")
def installation(engine: str, request: pytest.FixtureRequest) -> Installation:
    """The server of other tests may call loopback, this one may not."""
    found: Installation = request.getfixturevalue(f"{engine}_installation")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_no_configured_url_leads_behind_the_door(workspace: Workspace, canary: Canary, place: str) -> None:
    admin = Admin(workspace.installation, workspace.id)
    method, path, body = PLACES[place]
    urls = [item["url"] for item in VECTORS] + [url.format(port=canary.port) for url in MORE]
    left = []
    with workspace.unharmed():
        for url in urls:
            answer = admin.call(method, path, body(url))
            if answer.status_code == 400:
                problem = answer.json()
                assert problem["code"] in {"invalid_field", "invalid_request", "invalid_declaration", "malformed_body"}
                assert "/auth" not in problem["detail"], "a URL may hold a secret"
            else:
                assert answer.status_code in {200, 201}, answer.text
                left.append(url)
                undo(admin, place, answer.json())
    # Names, which their addresses decide about when they are called (test_ssrf_names.py).
    assert all("://" in url and not any(digit in url.split("/")[2][:1] for digit in "0123456789[") for url in left), (
        left
    )
    assert canary.calls == []


def undo(admin: Admin, place: str, made: dict[str, Any]) -> None:
    method, path, _ = PLACES[place]
    if method == "POST":  # one of several, of which there are only so many
        admin.do("DELETE", f"{path}/{made['id']}")


def test_what_got_into_the_database_all_the_same_is_not_called(workspace: Workspace, canary: Canary) -> None:
    """Checked again on each call, so that no way of setting a URL is one around the rule."""
    installation, front = workspace.installation, Front(workspace)
    there = f"http://127.0.0.1:{canary.port}"
    endpoints = Endpoints(jwks_uri=f"{there}/jwks")
    made = ProviderSettings(
        name="p", issuer="https://login.example.com", client_ids=("c",), discovery=False, endpoints=endpoints
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vestibule.administration.provider_rules._addresses", lambda *_: iter(()))
        installation.run(identity_providers.add(installation.desk, workspace.id, made))
    provider = FakeProvider()
    token = provider.id_token(iss="https://login.example.com", aud="c")
    answer = front.authenticate(idToken=token)
    assert (answer.status_code, answer.json()["cause"]) == (502, "upstream_forbidden"), answer.text
    assert canary.calls == []


# ----------------------------------------------------------------------------- what a hostile or broken server answers

REDIRECTS = (301, 302, 303, 307, 308)


def always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _asked: reply


def redirect(canary: Canary, status: int) -> Reply:
    """The canary's network is allowed here: nothing but the rule that no redirect is followed protects it."""
    return Reply({}, status=status, headers={"Location": f"http://127.0.0.1:{canary.port}/"})


@pytest.mark.parametrize("path", [DISCOVERY, JWKS, INTROSPECTION, USERINFO])
def test_a_provider_leads_nowhere_else(front: Front, fake: FakeProvider, canary: Canary, path: str) -> None:
    opaque = path in {INTROSPECTION, USERINFO}
    fake.answers[path] = lambda _asked: redirect(canary, REDIRECTS[fake.asked.total() % len(REDIRECTS)])
    for number in range(len(REDIRECTS)):
        token = fake.opaque_token(f"opaque-{number}-0123456789") if opaque else fake.id_token(sub=f"u-{number}")
        answer = front.authenticate(**{"accessToken" if opaque else "idToken": token})
        assert answer.status_code in {401, 502, 503}, answer.text
        assert str(canary.port) not in answer.text
    assert canary.calls == []


def test_a_discovery_document_leads_nowhere_else(canary: Canary, front: Front, fake: FakeProvider) -> None:
    """What a provider says of its endpoints is checked like what an operator writes."""
    for url in (
        f"http://127.0.0.1:{canary.port}@10.0.0.1/",
        "http://10.0.0.1/jwks",
        "file:///etc/passwd",
        "https://[::1]/",
        "ftp://127.0.0.1/",
    ):
        hostile = Reply({**fake.discovery(), "jwks_uri": url})
        fake.answers[DISCOVERY] = always(hostile)
        answer = front.authenticate(idToken=fake.id_token())
        assert answer.status_code in {502, 503}, answer.text
        assert "10.0.0.1" not in answer.text
    assert canary.calls == []


def test_an_auth_endpoint_leads_nowhere_else(front: Front, canary: Canary) -> None:
    with FakeAuthEndpoint() as running:
        configure(front.workspace, running)
        for number, status in enumerate(REDIRECTS):
            headers = {
                "location": f"http://127.0.0.1:{canary.port}/",
                "refresh": f"0;url=http://127.0.0.1:{canary.port}/",
            }
            running.reply = lambda _request, status=status, headers=headers: Answer(status, b"", headers)
            answer = show(front.workspace, f"token-{number}")
            assert (answer.status_code, answer.json()["code"]) == (502, "auth_bad_response"), answer.text
    assert canary.calls == []


def test_a_bot_leads_nowhere_else(shop_front: Workspace, canary: Canary) -> None:
    with FakeBot() as bot:
        answered_by_bot(shop_front, bot)
        bot.reply = lambda _asked: Answer(307, b"", {"location": f"http://127.0.0.1:{canary.port}/"})
        device = anonymous(shop_front)
        session_id = device.start()
        assert device.send(session_id, "hello").status_code == 201
        bot.wait_for(1)
        time.sleep(0.3)
    assert canary.calls == []


# ---------------------------------------------------------------------------------------------- proxies of the machine


@pytest.fixture
def behind_proxies(
    canary: Canary, secret_key: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """A server in whose environment a proxy is named, as administrators do for everything on a machine."""
    plain = servers.clean_environment

    def with_proxies(given: Mapping[str, str], home: Path) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{canary.port}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        return {**plain(given, home), **dict.fromkeys(names, proxy)}

    monkeypatch.setattr(servers, "clean_environment", with_proxies)
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_DATABASE_URL": database_url,
        "VESTIBULE_SECRET_KEYS": secret_key,
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
    }
    with servers.RunningServer(settings, tmp_path) as server, Installation(server) as made:
        yield made


def test_no_call_goes_through_a_proxy_of_the_environment(behind_proxies: Installation, canary: Canary) -> None:
    provider = FakeProvider()
    behind_proxies.run(provider.start())
    front = Front(behind_proxies.workspace())
    front.add_provider(provider)
    front.exchange(idToken=provider.id_token())
    front.exchange(accessToken=provider.opaque_token("opaque-0123456789"))
    with FakeAuthEndpoint({"session": {"id": "u-1", "name": "Ada"}}) as running:
        configure(front.workspace, running)
        assert show(front.workspace, "session").status_code == 200
    behind_proxies.run(provider.stop())
    assert front.workspace.authenticate(GOOD).status_code == 200
    assert canary.calls == []
