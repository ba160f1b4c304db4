"""Signing keys as an operator handles them: published before they sign, kept until their last token ends, withdrawn at
once, surviving restarts, and never in clear in the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import jwt
import pytest

from tests.fixtures.front_door import PATH, Installation
from tests.fixtures.raw_http import RawResponse, exchange
from tests.fixtures.server import RunningServer, WorkspaceServer
from vestibule.clock import now_ms
from vestibule.storage.signing_keys import list_all
from vestibule.tokens.signing_keys import status_of

T = TypeVar("T")
ALIVE = {"pending", "signing", "retiring"}
SEEN_WITHIN = 5.0  # SECURITY 3.2: revocation seen by every worker


class Keys(Installation):
    """An installation of its own with two workers, as signing keys are the whole installation's."""

    server: WorkspaceServer

    def call(self, method: str, path: str, token: str = "", body: bytes = b"") -> RawResponse:
        """On a connection of its own, so that either worker may answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}"] if body else []
        lines += [f"Authorization: Bearer {token}"] if token else []
        return exchange(self.base_url, "\r\n".join([*lines, "", ""]).encode() + body)

    def token(self) -> str:
        answer = self.call("POST", PATH, self.server.api_key, b'{"email":"ada@example.com"}')
        assert answer.status == 200, answer.body
        text: str = json.loads(answer.body)["token"]
        return text

    def status(self, token: str) -> int:
        return self.call("GET", "/v1/me", token).status

    def published(self) -> set[str]:
        return {key["kid"] for key in json.loads(self.call("GET", "/.well-known/jwks.json").body)["keys"]}

    def states(self) -> dict[str, str]:
        """Every key's status, as `signing-keys list` shows it (which test_cli.py holds)."""
        rows = self.run(list_all(self.desk.store))
        return {row.id: status_of(row, rows, now_ms()).value for row in rows}

    def signing(self) -> str:
        [kid] = [kid for kid, status in self.states().items() if status == "signing"]
        return kid


@pytest.fixture(scope="module")
def keys(
    module_database_url: str, session_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keys]:
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": module_database_url}
    with WorkspaceServer(settings, tmp_path_factory.mktemp("own"), workers=2) as server:
        server.make_workspace("keys")
        with Keys(server) as made:
            yield made


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def everywhere(call: Callable[[], T]) -> list[T]:
    """What many calls at once get, among which every worker has its share."""
    with ThreadPoolExecutor(16) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(16)]]


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds for all of many calls at once, three times in a row."""
    began = time.monotonic()
    row = 0
    while row < 3:
        row = row + 1 if all(everywhere(holds)) else 0
        assert time.monotonic() - began < SEEN_WITHIN, "not within 5 s"
        if not row:
            time.sleep(0.02)


def test_a_key_is_published_before_it_signs(keys: Keys) -> None:
    before = keys.signing()
    made = keys.cli("signing-keys", "rotate", "--lead", "1h")
    assert made["status"] == "pending"
    until(lambda: made["kid"] in keys.published())
    assert set(everywhere(lambda: kid_of(keys.token()))) == {before}
    assert keys.signing() == before
    assert keys.cli("signing-keys", "retire", made["kid"])["status"] == "withdrawn"
    until(lambda: made["kid"] not in keys.published())
    assert keys.status(keys.token()) == 200


@pytest.mark.slow
def test_no_token_is_refused_while_keys_change(keys: Keys) -> None:
    """A token of the new key may come to a worker that has not heard of the key yet."""
    old = keys.token()
    made = keys.cli("signing-keys", "rotate", "--lead", "0s")

    began = time.monotonic()
    seen: list[str] = []
    while len(seen) < 40 or seen[-20:] != [made["kid"]] * 20:
        assert time.monotonic() - began < SEEN_WITHIN
        token = keys.token()
        seen.append(kid_of(token))
        assert [keys.status(token) for _ in range(3)] == [200] * 3, f"refused after {time.monotonic() - began:.2f} s"

    assert kid_of(old) != made["kid"]
    assert set(everywhere(lambda: keys.status(old))) == {200}
    assert {kid_of(old), made["kid"]} <= keys.published()
    assert (keys.states()[made["kid"]], keys.states()[kid_of(old)]) == ("signing", "retiring")


def test_a_withdrawn_key_ends_with_everything_it_signed(keys: Keys) -> None:
    old = keys.token()
    assert set(everywhere(lambda: keys.status(old))) == {200}  # every worker has seen it, and could remember

    withdrawn = keys.cli("signing-keys", "retire", kid_of(old))

    assert withdrawn["status"] == "withdrawn"
    until(lambda: keys.status(old) == 401)
    until(lambda: kid_of(old) not in keys.published())
    until(lambda: kid_of(keys.token()) != kid_of(old))
    assert keys.status(keys.token()) == 200
    assert keys.signing() != kid_of(old)


@pytest.mark.slow
def test_a_withdrawn_key_stays_withdrawn(keys: Keys) -> None:
    kid = keys.signing()
    first = keys.cli("signing-keys", "retire", kid)
    second = keys.cli("signing-keys", "retire", kid)
    assert first["withdrawn_at"] == second["withdrawn_at"]
    assert list(keys.states().values()).count("signing") == 1
    until(lambda: kid_of(keys.token()) == keys.signing())


@pytest.mark.slow
def test_where_the_signing_key_is_withdrawn_a_new_one_signs_and_none_that_was_rotated_out(keys: Keys) -> None:
    """Whoever rotates a key out has done with it, and may have a reason."""
    old = keys.signing()
    made = keys.cli("signing-keys", "rotate", "--lead", "0s")["kid"]
    until(lambda: kid_of(keys.token()) == made)
    keys.cli("signing-keys", "retire", made)
    assert keys.signing() not in {old, made}
    assert keys.states()[old] == "retiring"
    until(lambda: kid_of(keys.token()) == keys.signing())
    assert keys.status(keys.token()) == 200


def test_keys_and_tokens_survive_a_restart(keys: Keys) -> None:
    token = keys.token()
    until(lambda: keys.status(token) == 200)
    keys.server.restart()
    assert keys.status(token) == 200
    # A key may end between the two looks; then the workers notice a moment after the command line.
    until(lambda: keys.published() == {kid for kid, status in keys.states().items() if status in ALIVE})
    assert kid_of(keys.token()) == kid_of(token)


@pytest.mark.slow
def test_keys_and_tokens_survive_a_crash(keys: Keys) -> None:
    token = keys.token()
    keys.server.kill()
    keys.server.start()
    assert keys.status(token) == 200
    assert kid_of(keys.token()) == kid_of(token)


@pytest.mark.slow
def test_a_server_with_another_secret_key_does_not_start(keys: Keys, tmp_path: Path) -> None:
    """It could open nothing and would seal what the others cannot."""
    other = RunningServer({**settings_of(keys), "VESTIBULE_SECRET_KEYS": "A" * 43}, tmp_path)
    with pytest.raises(AssertionError, match="ended by itself"):
        other.start()
    assert "secret_keys" in other.log()
    assert "A" * 43 not in other.log()


@pytest.mark.slow
def test_a_secret_key_can_be_put_in_front(keys: Keys, secret_key: str, tmp_path: Path) -> None:
    """The first key seals, every key opens."""
    token = keys.token()
    with RunningServer({**settings_of(keys), "VESTIBULE_SECRET_KEYS": f"{'B' * 42}A,{secret_key}"}, tmp_path) as other:
        request = f"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        assert exchange(other.base_url, request.encode()).status == 200


def settings_of(keys: Keys) -> dict[str, str]:
    return {name: value for name, value in keys.server.settings.items() if name != "VESTIBULE_INSTANCE"}


@pytest.mark.slow
def test_the_first_key_is_one_however_many_start_at_once(
    database_url: str, session_settings: dict[str, str], tmp_path: Path
) -> None:
    settings = {**session_settings, "VESTIBULE_DATABASE_URL": database_url}
    with RunningServer(settings, tmp_path, workers=4) as server:
        assert len(server.cli("signing-keys", "list")["items"]) == 1


@pytest.mark.slow
def test_the_commands_show_no_private_key_and_refuse_a_key_that_is_none(keys: Keys) -> None:
    text = json.dumps(keys.cli("signing-keys", "list"))
    assert '"d"' not in text
    assert "sealed" not in text
    keys.command("signing-keys", "retire", "nobody", "--json").refused("not_found")


def test_the_private_key_is_not_in_clear_in_the_database(keys: Keys) -> None:
    """The database's files are searched in tests/security/test_secret_leak.py."""
    for public, sealed in keys.rows("SELECT public_jwk, sealed_private_jwk FROM signing_keys"):
        assert json.loads(public).keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
        assert sealed is None or sealed.startswith("v1.")
