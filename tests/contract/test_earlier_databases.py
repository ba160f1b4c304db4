"""Each release's database, kept (tests/fixtures/releases), is brought up to date by this one and read: keys, tokens,
people, chats, what was sealed, and the audit's chain. Whoever changes the schema adds one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures.earlier_releases import (
    FOLDER,
    HEADER_TOKEN,
    INTROSPECTION_SECRET,
    PUBLIC_URL,
    RELEASES,
    SECRET_KEY,
    WORDS,
    known_of,
    restore,
)
from tests.fixtures.front_door import Installation
from tests.fixtures.server import RunningServer
from vestibule.administration import auth_endpoints, identity_providers
from vestibule.storage.opening import SCHEMA_VERSION

CHANGELOG = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Kept:
    """An earlier database under this release."""

    release: str
    installation: Installation
    known: dict[str, Any]

    def headers(self, token: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.known[token]}", "x-bot-token": self.known["widget_token"]}


@pytest.fixture(scope="module", params=RELEASES)
def kept(request: pytest.FixtureRequest, engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    directory = tmp_path_factory.mktemp("earlier")
    server = request.getfixturevalue("postgres_server") if engine == "postgresql" else None
    url = server.new_database() if server else f"sqlite:///{directory}/vestibule.db"
    restore(request.param, engine, url)
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_DATABASE_URL": url,
        "VESTIBULE_SECRET_KEYS": SECRET_KEY,
        "VESTIBULE_PUBLIC_URL": PUBLIC_URL,
        "VESTIBULE_AUDIT_RETENTION": "3650d",
        "VESTIBULE_UNVERIFIED_RETENTION": "3650d",
    }
    with RunningServer(settings, directory) as running, Installation(running) as installation:
        yield Kept(request.param, installation, known_of(request.param, engine))
    if server is not None:
        server.drop_database(url)


def test_is_at_this_release_s_schema(kept: Kept) -> None:
    assert kept.installation.rows("SELECT version_num FROM alembic_version") == [(SCHEMA_VERSION,)]


def test_its_api_key_finds_its_people(kept: Kept) -> None:
    body = {"email": "ada@example.com", "name": "Ada Löwe"}
    answer = kept.installation.http.post("/widget/authenticate-user", json=body, headers=kept.headers("api_key"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["contact"]["id"] == kept.known["contact_id"]
    token = answer.json()["token"]
    me = kept.installation.http.get("/v1/me", headers={"authorization": f"Bearer {token}"}).json()
    assert (me["verified"], me["custom_data"]) == (True, {"plan": "gold", "seats": "3"})


def test_its_visitors_are_known_by_their_tokens(kept: Kept) -> None:
    """A token without an end, under a signing key that was sealed then."""
    me = kept.installation.http.get("/v1/me", headers=kept.headers("visitor_token"))
    assert me.status_code == 200, me.text
    assert (me.json()["id"], me.json()["verified"]) == (kept.known["visitor_id"], False)


def test_its_chats_go_on(kept: Kept) -> None:
    path = f"/backend/widget/v2/poll/{kept.known['session_id']}"
    polled = kept.installation.http.get(path, headers=kept.headers("visitor_token"))
    assert polled.status_code == 200, polled.text
    assert WORDS in [row["content"]["text"] for row in polled.json()["history"]]
    message = {
        "content": "and on",
        "session_id": kept.known["session_id"],
        "uuid": "22222222-2222-4222-8222-222222222222",
    }
    sent = kept.installation.http.post(
        "/backend/widget/v2/chat/send", json=message, headers=kept.headers("visitor_token")
    )
    assert sent.status_code == 201, sent.text


def test_what_was_sealed_opens(kept: Kept) -> None:
    installation, workspace_id = kept.installation, kept.known["workspace_id"]
    contact = installation.run(installation.desk.contacts.find(workspace_id, kept.known["contact_id"]))
    assert contact is not None
    assert msgspec.to_builtins(contact.http_action_overrides) == {
        "headers": {"Authorization": "Bearer sealed-override"}
    }
    [provider] = installation.run(identity_providers.list_all(installation.desk, workspace_id))
    assert provider.introspection_client.client_secret == INTROSPECTION_SECRET
    settings = installation.run(auth_endpoints.read(installation.desk, workspace_id))
    assert settings.header_token == HEADER_TOKEN
    assert len(settings.secrets) == 1


def test_what_was_in_clear_is_sealed_by_one_command(kept: Kept) -> None:
    """The migration has no secret key: custom data of before schema 0016 are read as they lie there until then."""
    of_ada = (kept.known["workspace_id"], kept.known["contact_id"])
    columns = "custom_data, sealed_custom_data, version"
    sql = f"SELECT {columns} FROM contacts WHERE workspace_id = $1 AND id = $2"  # noqa: S608 - see above
    [(clear, sealed, version)] = kept.installation.rows(sql, *of_ada)
    assert (clear is None) == (sealed is not None), "in one of the two"
    kept.installation.cli("secret-key", "reseal")
    [(clear, sealed, still)] = kept.installation.rows(sql, *of_ada)
    assert (clear, sealed[:3], still) == (None, "v1.", version)
    assert kept.installation.cli("secret-key", "reseal")["resealed"] == {}
    contact = kept.installation.run(kept.installation.desk.contacts.find(*of_ada))
    assert contact is not None
    assert contact.custom_data == {"plan": "gold", "seats": "3"}


def test_its_audit_holds_and_goes_on(kept: Kept) -> None:
    """A chain that was begun by the release, or begins now."""
    proof = kept.installation.cli("audit", "verify", "-w", kept.known["workspace_id"])
    assert proof["whole"] is True, proof
    test_its_api_key_finds_its_people(kept)
    tail = kept.installation.cli("audit", "tail", "-w", kept.known["workspace_id"])["items"]
    if kept.release >= "0008":
        assert {entry["action"] for entry in tail} >= {"authenticate", "identity_provider.add"}


def test_the_database_of_every_release_is_kept() -> None:
    """CHANGELOG.md names the releases, the table beside the folders says whose each is."""
    told = re.findall(r"^\| `(\d{4})` \| ([^|]+) \|", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [folder for folder, _ in told] == RELEASES
    for folder in RELEASES:
        assert {path.name for path in (FOLDER / folder).iterdir()} == {"known.json", "vestibule.db", "vestibule.sql"}
    released = set(re.findall(r"^## \[?v?(\d+\.\d+\.\d+[^\s\]]*)", CHANGELOG, re.MULTILINE))
    kept = {release for _, whose in told for release in re.findall(r"\d+\.\d+\.\d+[^\s,]*", whose)}
    assert released <= kept, f"no folder is of {sorted(released - kept)}: keep their databases (releases/make.py)"


def test_the_database_of_this_schema_is_kept() -> None:
    """The main branch can be released on any day (CONTRIBUTING.md): today's schema may be a release's tomorrow."""
    assert SCHEMA_VERSION in RELEASES, f"keep a database of schema {SCHEMA_VERSION}: tests/fixtures/releases/make.py"
