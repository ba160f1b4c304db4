"""Secrets stay where they belong: canaries that went in through every door are looked for in the log, the database's
files, answers, the command line's output and the process list (SECURITY 3.3, rules 2 and 6)."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace, refused
from tests.fixtures.stored import Stored
from tests.fixtures.widget import claiming
from vestibule.sealing import new_secret_key


def canary(what: str) -> str:
    return f"canary-{what}-{secrets.token_hex(8)}"


def log_of(installation: Installation) -> str:
    """The log, after its thread has had time to write."""
    time.sleep(0.3)
    return installation.server.log()


def overrides(value: str) -> dict[str, Any]:
    return {
        "query_params": {"q": f"{value}-q"},
        "path_params": {"p": f"{value}-p"},
        "body_params": {"b": f"{value}-b"},
        "headers": {"Authorization": f"Bearer {value}-h"},
    }


def test_an_api_key_is_kept_as_a_hash_only(workspace: Workspace, installation: Installation, stored: Stored) -> None:
    made = installation.cli("api-key", "create", "-w", workspace.id)
    key = made["api_key"]
    assert workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"}).status_code == 200
    for wrong in (key + "x", key[:-1], f"{key} {key}"):
        answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {wrong}"})
        assert key[30:73] not in answer.text
    installation.http.post(PATH, params={"key": key}, json={"email": "a@b.de"})

    hint = key[30:36]  # what people see of it
    listed = json.dumps(installation.cli("api-key", "list", "-w", workspace.id))
    assert hint in listed
    octets, log = stored.octets(), log_of(installation)
    assert hint.encode() in octets, "looked in the wrong place"
    for part in (key, key[8:], key[30:], key[36:73], key[36:50]):
        assert part.encode() not in octets
        assert part not in log
        assert part not in listed


def test_override_values_are_sealed(workspace: Workspace, installation: Installation, stored: Stored) -> None:
    secret, marker = canary("override"), canary("name")
    _, contact_id = workspace.sign_in(name=marker, http_action_overrides=overrides(secret))
    changed = canary("changed")
    workspace.sign_in(name=marker + "2", http_action_overrides=overrides(changed))
    assert workspace.overrides(contact_id) == overrides(changed)

    shown = json.dumps(installation.cli("contact", "show", contact_id, "-w", workspace.id))
    token, _ = workspace.sign_in()
    octets, log = stored.octets(), log_of(installation)
    assert marker.encode() in octets, "looked in the wrong place"
    for value in (secret, changed):
        assert value.encode() not in octets
        assert value not in log
        assert value not in shown
        assert value not in workspace.me(token).text


def test_custom_data_is_sealed(workspace: Workspace, stored: Stored) -> None:
    proven, claimed, changed, marker = (canary(what) for what in ("proven", "claimed", "changed", "name"))
    workspace.sign_in(name=marker, customData={"plan": proven, proven: True})
    claiming(workspace, "eve@example.com", non_verified_custom_data={"plan": claimed}).start()
    token, _ = workspace.sign_in(customData={"plan": changed})
    assert workspace.me(token).json()["custom_data"] == {"plan": changed}
    octets = stored.octets()
    assert marker.encode() in octets, "looked in the wrong place"
    for value in (proven, claimed, changed):
        assert value.encode() not in octets


def test_override_values_are_in_no_refusal(workspace: Workspace, installation: Installation) -> None:
    secret = canary("override")
    with workspace.unharmed():
        for wrong in (
            {"headers": {"Host": secret}},
            {"headers": {"X": f"{secret}\n"}},
            {"headers": {"X Y": secret}},
            {"query_params": {"a": f"{secret}\0"}},
            {"query_params": {"a": secret * 500}},
            {"body_params": {"a": [secret]}},
            {"path_params": secret},
            [secret],
        ):
            answer = workspace.authenticate(email="a@b.de", http_action_overrides=wrong)
            refused(answer, 400)
            assert secret not in answer.text
        body = json.dumps({"email": "a@b.de", "http_action_overrides": overrides(secret)}).encode()
        for broken in (
            body[:-1],
            body + b"}",
            body.replace(b'"email"', b'"email":1,"email"'),
            body.replace(b"a@b.de", b"\xff"),
        ):
            assert secret not in refused(workspace.post(broken), 400)["message"]
        refused(workspace.post(body, {"content-type": "text/plain"}), 415)
    assert secret not in log_of(installation)


def test_what_people_say_of_themselves_is_not_in_the_log(workspace: Workspace, installation: Installation) -> None:
    """OWASP ASVS 16.2.5: the log tells that and when, by ids."""
    person = {
        "name": canary("name"),
        "avatar_url": f"https://example.com/{canary('avatar')}",
        "phone": canary("phone"),
        "chat_context": canary("context"),
        "customData": {canary("custom-name"): canary("custom-value")},
    }
    email = f"{canary('email')}@example.com"
    token, contact_id = workspace.sign_in(email, **person)
    workspace.me(token)
    workspace.authenticate(person, email=f"{email}@")
    workspace.authenticate({**person, "language": canary("language")}, email=email)
    workspace.authenticate({**person, "customData": {canary("custom-name"): [canary("custom-value")]}}, email=email)
    workspace.post(json.dumps({"email": email, **person}).encode()[:-1])
    installation.http.get("/v1/me", params={canary("query-name"): canary("query-value")})
    installation.http.get(
        "/v1/me", headers={"x": canary("header"), "cookie": canary("cookie"), "referer": canary("referer")}
    )

    log = log_of(installation)
    assert contact_id in log, "looked in the wrong place"
    assert "canary" not in log


def test_contact_tokens_are_kept_nowhere(workspace: Workspace, installation: Installation, stored: Stored) -> None:
    token, _ = workspace.sign_in()
    assert workspace.me(token).status_code == 200
    for wrong in (token[:-1], token + ".x", token.upper()):
        assert token[-30:] not in workspace.me(wrong).text
    installation.http.get("/v1/me", params={"token": token})
    octets, log = stored.octets(), log_of(installation)
    for part in (token, token.split(".")[1][:60], token.split(".")[2][:40]):
        assert part.encode() not in octets
        assert part not in log


def test_private_signing_keys_and_the_secret_key_are_not_in_the_database(
    installation: Installation, stored: Stored, session_settings: dict[str, str]
) -> None:
    octets, log = stored.octets(), log_of(installation)
    secret = session_settings["VESTIBULE_SECRET_KEYS"]
    assert b'"crv"' in octets, "looked in the wrong place"
    for text in (secret, '"d":"', '\\"d\\":'):
        assert text.encode() not in octets
        assert text not in log
    for (sealed,) in installation.rows(
        "SELECT sealed_private_jwk FROM signing_keys WHERE sealed_private_jwk IS NOT NULL"
    ):
        opened = json.loads(unseal(installation, sealed))
        assert opened["d"].encode() not in octets
        assert "d" not in installation.http.get("/.well-known/jwks.json").json()["keys"][0]


def unseal(installation: Installation, sealed: str) -> str:
    [kid] = [row[0] for row in installation.rows("SELECT id FROM signing_keys WHERE sealed_private_jwk = $1", sealed)]
    return installation.desk.sealer.unseal(sealed, f"signing_keys.private_jwk:{kid}")


def test_arguments_of_processes_tell_no_secret(installation: Installation, session_settings: dict[str, str]) -> None:
    """A process's arguments are everybody's to read."""
    server = psutil.Process(installation.server.pid)
    for process in (server, *server.children(recursive=True)):
        arguments = " ".join(process.cmdline())
        assert session_settings["VESTIBULE_SECRET_KEYS"] not in arguments
        assert "postgresql://" not in arguments


def test_the_key_file_that_is_made_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """OWASP ASVS 13.3.1. Pure: the file is made before any server is there."""
    from vestibule.secret_key_file import load_secret_keys  # noqa: PLC0415
    from vestibule.settings import read_settings  # noqa: PLC0415

    settings = read_settings(environ={"VESTIBULE_DATABASE_URL": f"sqlite:///{tmp_path}/v.db"}, directory=tmp_path)
    keys, made = load_secret_keys(settings)
    again, made_again = load_secret_keys(settings)
    [file] = tmp_path.iterdir()
    assert (made, made_again) == (True, False)
    assert keys == again
    assert file.stat().st_mode & 0o777 == 0o600


def test_settings_that_are_wrong_are_named_and_not_repeated(tmp_path: Path) -> None:
    from vestibule.settings import InvalidSettings, read_settings  # noqa: PLC0415

    secret = new_secret_key()
    environ = {
        "VESTIBULE_SECRET_KEYS": f"{secret}x",
        "VESTIBULE_DATABASE_URL": f"mysql://root:{secret}@db/x",
        "VESTIBULE_PORT": secret,
        "VESTIBULE_PUBLIC_URL": f"https://u:{secret}@x",
    }
    with pytest.raises(InvalidSettings) as caught:
        read_settings(environ=environ, directory=tmp_path)
    assert len(caught.value.problems) == len(environ)
    assert secret not in str(caught.value)
    assert secret not in repr(read_settings(environ={"VESTIBULE_SECRET_KEYS": secret}, directory=tmp_path))
