"""`vestibule provider` on a database of its own; and that a token which is tried is neither used nor kept, by the
command as by the admin API."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_provider import CLIENT, CLIENT_SECRET, FakeProvider
from tests.fixtures.front_door import Installation
from tests.fixtures.puzzel import Front
from tests.fixtures.server import ServerFailed, run_cli
from tests.fixtures.stored import Stored, everything

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(database_url: str, secret_key: str) -> dict[str, str]:
    """Of commands on an empty database."""
    return {
        "VESTIBULE_DATABASE_URL": database_url,
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
        "VESTIBULE_SECRET_KEYS": secret_key,
    }


def test_adds_lists_tests_and_removes(environment: dict[str, str], fake: FakeProvider, tmp_path: Path) -> None:
    workspace = run_cli("workspace", "create", "w", env=environment)["workspace_id"]
    secret = tmp_path / "secret"
    secret.write_text(CLIENT_SECRET + "\n", encoding="utf-8")
    made = run_cli(
        "provider", "add", "fake", "-w", workspace, "--issuer", fake.issuer, "--client-id", CLIENT,
        "--introspection-client", CLIENT, "--introspection-secret-file", str(secret), env=environment,
    )  # fmt: skip
    assert (made["id"], made["accepts"]) == (1, ["id_token", "opaque_access_token"])
    assert CLIENT_SECRET not in str(made)
    listed = run_cli("provider", "list", "-w", workspace, env=environment)
    assert [item["id"] for item in listed["items"]] == [1]

    trying = ("provider", "test", "-w", workspace)
    trial = run_cli(*trying, "--id-token", fake.id_token(), env=environment)
    assert (trial["passed"], trial["subject"], trial["outcome"]) == (True, "u-1", "created")
    trial = run_cli(*trying, "--access-token", fake.opaque_token("opaque-1"), env=environment)
    assert trial["passed"]
    with pytest.raises(ServerFailed, match="none of the client ids"):
        run_cli(*trying, "--id-token", fake.id_token(aud="x"), env=environment)
    with pytest.raises(ServerFailed, match="invalid_option"):
        run_cli(*trying, env=environment)

    assert run_cli("provider", "remove", "-w", workspace, "1", env=environment)["removed"] == 1
    assert run_cli("provider", "list", "-w", workspace, env=environment)["items"] == []


def test_reads_settings_from_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    workspace = run_cli("workspace", "create", "w", env=environment)["workspace_id"]
    path = tmp_path / "provider.toml"
    path.write_text(
        'issuer = "https://idp.example.com"\nclient_ids = ["a"]\nmax_age = 600\n[claims.custom]\nplan = "plan"\n',
        encoding="utf-8",
    )
    arguments = ("provider", "add", "idp", "-w", workspace, "--settings", str(path), "--client-id", "b")
    made = run_cli(*arguments, env=environment)
    assert (made["client_ids"], made["max_age"], made["claims"]["custom"]) == (["b"], 600, {"plan": "plan"})
    path.write_text('issuers = "https://idp.example.com"\n', encoding="utf-8")
    with pytest.raises(ServerFailed, match="issuers"):
        run_cli(*arguments, env=environment)


def test_a_token_that_is_tried_is_neither_used_nor_kept(
    responding: Installation, fake: FakeProvider, request: pytest.FixtureRequest
) -> None:
    """Good ones, of somebody new and of somebody known, at a provider whose tokens are good once."""
    front = Front(responding.workspace())
    front.add_provider(fake, single_use=True)
    front.exchange(idToken=fake.id_token(sub="known"))
    admin = Admin(responding, front.workspace.id)
    good = [
        ("id_token", fake.id_token(sub="new", nonce="n-2")),
        ("id_token", fake.id_token(sub="known", nonce="n-3")),
        ("access_token", fake.access_token(sub="new", jti="j-2")),
        ("access_token", fake.opaque_token(f"opaque-{secrets.token_hex(16)}")),
    ]
    before, told = everything(responding, front.workspace.id), ""
    for kind, token in good:
        option = f"--{kind.replace('_', '-')}"
        for _ in range(2):  # the first has not spent it
            trials = [
                responding.cli("provider", "test", "-w", front.workspace.id, option, token),
                admin.do("POST", "identity-providers/dry-run", {kind: token}),
            ]
            assert all(trial["passed"] for trial in trials), trials
            told += json.dumps(trials)
    assert everything(responding, front.workspace.id) == before, "something was stored"
    octets = octets_of(responding, request)
    assert front.workspace.id.encode() in octets, "looked in the wrong place"
    told += responding.server.log()
    for _, token in good:
        for part in token.split(".")[1:] or [token]:  # the header is that of every token
            assert part not in told
            assert part.encode() not in octets


def octets_of(installation: Installation, request: pytest.FixtureRequest) -> bytes:
    """Everything that the engine has in files."""
    if installation.engine == "sqlite":
        database = installation.server.settings["VESTIBULE_DATABASE_URL"].removeprefix("sqlite:///")
        return Stored(Path(database).parent).octets()
    return Stored(request.getfixturevalue("postgres_server").log_path.parent).octets()
