"""One credential, in one place, in one form: everything else is refused before the body is looked at (RFC 6750)."""

from __future__ import annotations

import base64
import uuid
import zlib

import httpx
import pytest

from tests.fixtures.front_door import GOOD, PATH, Installation, Workspace, as_httpx, refused
from tests.fixtures.raw_http import exchange
from vestibule.ids import to_base62

KEY = "@KEY@"  # stands for the good key


def with_key(text: str, key: str) -> str:
    return text.replace(KEY, key).replace("@BASIC@", base64.b64encode(f"{key}:".encode()).decode())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Bearer{KEY}",
        f"Bearer:{KEY}",
        f"Bearer: {KEY}",
        f"Bearer\t{KEY}",
        f"Bearer\u00a0{KEY}",
        f"Bearer={KEY}",
        f'Bearer "{KEY}"',
        f"Bearer <{KEY}>",
        f"Bearer {KEY} x",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY},",
        f"Bearer {KEY}, Bearer {KEY}",
        f"Bearer {KEY};x=1",
        f"Bearer {KEY}%00",
        f"Bearer {KEY}\u00e9",
        f"Bearer \u0412{KEY}",
        f"B\u0435arer {KEY}",
        f"Basic {KEY}",
        "Basic @BASIC@",
        f"Token {KEY}",
        f"ApiKey {KEY}",
        f"Digest {KEY}",
        f"Negotiate {KEY}",
        f"Bearer realm=x, {KEY}",
        f"Bearer {'=' * 3}{KEY}",
        f"Bearer {KEY}' OR '1'='1",
    ],
)
def test_a_header_of_another_form_is_no_credential(workspace: Workspace, value: str) -> None:
    with workspace.unharmed():
        line = b"Authorization: " + with_key(value, workspace.api_key).encode()
        answer = as_httpx(exchange(workspace.installation.base_url, workspace.raw(line)))
        refused(answer, 401, "missing_credentials")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_schemes_letter_case_does_not_matter(workspace: Workspace, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    assert workspace.post(b'{"email":"a@b.de"}', {"authorization": f"{scheme} {workspace.api_key}"}).status_code == 200


def test_spaces_around_the_credential_do_not_matter(workspace: Workspace) -> None:
    """RFC 9110 sections 5.5 (white space around a value is no part of it) and 11.4 (1*SP)."""
    for value in (f"  Bearer {KEY}", f"Bearer   {KEY}", f"Bearer {KEY}  ", f"\tBearer {KEY}\t"):
        line = b"Authorization:" + with_key(value, workspace.api_key).encode()
        assert exchange(workspace.installation.base_url, workspace.raw(line)).status == 200, value


@pytest.mark.parametrize(
    "values",
    [
        [f"Bearer {KEY}", f"Bearer {KEY}"],
        [f"Bearer {KEY}", "Bearer wrong"],
        ["Bearer wrong", f"Bearer {KEY}"],
        ["Basic @BASIC@", f"Bearer {KEY}"],
        [f"Bearer {KEY}", ""],
        [f"Bearer {KEY}"] * 3,
    ],
    ids=range(6),
)
def test_two_authorization_headers_are_ambiguous(workspace: Workspace, values: list[str]) -> None:
    """A proxy may check one of them and we another."""
    with workspace.unharmed():
        spellings = (b"Authorization: ", b"authorization: ", b"AUTHORIZATION: ")
        pairs = zip(spellings, values, strict=False)
        lines = [spelling + with_key(value, workspace.api_key).encode() for spelling, value in pairs]
        answer = as_httpx(exchange(workspace.installation.base_url, workspace.raw(*lines)))
        refused(answer, 400, "ambiguous_credentials")


@pytest.mark.parametrize(
    "name", ["token", "access_token", "api_key", "apikey", "key", "authorization", "Authorization"]
)
def test_a_key_in_the_query_is_no_credential(workspace: Workspace, installation: Installation, name: str) -> None:
    """RFC 6750 section 5.3: addresses end up in logs and histories."""
    with workspace.unharmed():
        for value in (workspace.api_key, f"Bearer {workspace.api_key}"):
            answer = installation.http.post(PATH, params={name: value}, json={"email": "a@b.de"})
            refused(answer, 401, "missing_credentials")
    assert workspace.api_key not in installation.server.log()


def test_a_key_in_the_query_beside_a_header_does_not_count(workspace: Workspace, installation: Installation) -> None:
    answer = installation.http.post(
        PATH,
        params={"access_token": workspace.api_key},
        headers={"authorization": "Bearer wrong"},
        json={"email": "a@b.de"},
    )
    refused(answer, 401, "invalid_api_key")


def test_a_key_in_the_body_or_a_cookie_or_another_header_is_no_credential(
    workspace: Workspace, installation: Installation
) -> None:
    """RFC 6750 section 2.2 allows a form parameter; this API has no forms."""
    key = workspace.api_key
    with workspace.unharmed():
        for members in ({"access_token": key}, {"token": key}, {"api_key": key}, {"Authorization": f"Bearer {key}"}):
            refused(installation.http.post(PATH, json={"email": "a@b.de", **members}), 401, "missing_credentials")
        refused(installation.http.post(PATH, data={"email": "a@b.de", "access_token": key}), 401)
        for header in (
            "X-Api-Key",
            "X-Authorization",
            "Proxy-Authorization",
            "Authentication",
            "X-Original-Authorization",
        ):
            for value in (key, f"Bearer {key}"):
                answer = installation.http.post(PATH, json={"email": "a@b.de"}, headers={header: value})
                refused(answer, 401, "missing_credentials")
        answer = installation.http.post(
            PATH, json={"email": "a@b.de"}, headers={"cookie": f"token={key}; access_token={key}"}
        )
        refused(answer, 401, "missing_credentials")


def test_an_over_long_credential_is_refused_without_a_look_up(workspace: Workspace) -> None:
    with workspace.unharmed():
        for length in (4_096, 20_000, 30_000):
            line = b"Authorization: Bearer " + b"a" * length
            refused(as_httpx(exchange(workspace.installation.base_url, workspace.raw(line))), 401)


def test_a_header_over_the_limit_is_431(workspace: Workspace) -> None:
    """RFC 6585 section 5."""
    with workspace.unharmed():
        line = b"Authorization: Bearer " + b"a" * 40_000
        assert exchange(workspace.installation.base_url, workspace.raw(line)).status == 431


@pytest.mark.parametrize("octet", [b"\x00", b"\x01", b"\x7f", b"\x1b"])
def test_control_characters_in_the_header_are_refused(workspace: Workspace, octet: bytes) -> None:
    """RFC 9110 section 5.5: CR, LF and NUL are dangerous in a field value."""
    with workspace.unharmed():
        for line in (workspace.authorization + octet, b"Authorization: Bearer " + octet + workspace.api_key.encode()):
            answer = exchange(workspace.installation.base_url, workspace.raw(line))
            assert answer.status in {400, 401}, octet


@pytest.mark.parametrize("octets", [b"\xff\xfe", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\x80"])
def test_octets_beyond_ascii_are_no_credential(workspace: Workspace, octets: bytes) -> None:
    with workspace.unharmed():
        for line in (b"Authorization: Bearer " + octets, workspace.authorization + octets, b"Authorization: " + octets):
            answer = as_httpx(exchange(workspace.installation.base_url, workspace.raw(line)))
            refused(answer, 401, "missing_credentials")


def altered(key: str) -> dict[str, str]:
    """Keys that nobody was given, by what is wrong with them."""
    foreign = key[:8] + to_base62(uuid.UUID("01900000-0000-7000-8000-000000000000").int, 22) + key[30:-6]
    return {
        "cut short": key[:-1],
        "one character more": key + "0",
        "in capitals": key.upper(),
        "checksum of another": key[:-6] + "000000",
        "one letter changed": key[:40] + ("a" if key[40] != "a" else "b") + key[41:],
        "right checksum, wrong secret": checked(key[:40] + ("a" if key[40] != "a" else "b") + key[41:-6]),
        "right checksum, another workspace": checked(foreign),
        "workspace out of range": checked(key[:8] + "z" * 22 + key[30:-6]),
        "without prefix": key.removeprefix("vst_key_"),
        "twice": key + key,
        "empty secret": key[:30],
        "a hash": "0" * 64,
        "the prefix": "vst_key_",
        "dots": "..",
        "a path": "../../etc/passwd",
    }


def checked(body: str) -> str:
    return body + to_base62(zlib.crc32(body.encode()), 6)


def comparable(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    own = {"date", "x-request-id"}
    return (
        answer.status_code,
        {name: value for name, value in answer.headers.items() if name not in own},
        answer.content,
    )


def test_every_wrong_key_is_refused_in_the_same_words(workspace: Workspace, installation: Installation) -> None:
    """Unknown, malformed, expired and revoked cannot be told apart (ASVS 6.3.8)."""
    _, expired = workspace.new_key(lifetime_ms=1)
    ended_id, revoked = workspace.new_key()
    installation.rows("UPDATE api_keys SET revoked_at = 1 WHERE workspace_id = $1 AND id = $2", workspace.id, ended_id)
    wrong = {**altered(workspace.api_key), "expired": expired, "revoked": revoked}
    with workspace.unharmed():
        answers = {
            what: workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"})
            for what, key in wrong.items()
        }
        first = comparable(answers["revoked"])
        for what, answer in answers.items():
            refused(answer, 401, "invalid_api_key")
            assert comparable(answer) == first, what


def test_a_key_speaks_for_its_own_workspace_only(workspace: Workspace, installation: Installation) -> None:
    other = installation.workspace()
    answer = workspace.post(
        b'{"email":"a@b.de"}', {"authorization": f"Bearer {other.api_key}", "x-workspace": workspace.id}
    )
    assert answer.status_code == 200
    assert workspace.contacts() == []
    assert [row[0] for row in other.contacts()] == [answer.json()["contact"]["id"]]


def test_a_contact_token_is_no_api_key_and_an_api_key_no_contact_token(workspace: Workspace) -> None:
    """Kinds of credential are never interchangeable (ASVS 9.2.2)."""
    token, _ = workspace.sign_in("ada@example.com")
    with workspace.unharmed():
        refused(workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {token}"}), 401, "invalid_api_key")
        assert workspace.me(workspace.api_key).status_code == 401


def test_the_credential_is_judged_before_the_body(workspace: Workspace) -> None:
    """Who has no key learns nothing about what the body should look like."""
    for body in (b"", b"{", b'{"email":1}', b"x" * 100_000):
        refused(workspace.post(body, {"authorization": "Bearer wrong"}), 401, "invalid_api_key")
        refused(workspace.post(body, {"content-type": "text/plain", "authorization": "Bearer wrong"}), 401)
    assert workspace.authenticate(GOOD).status_code == 200
