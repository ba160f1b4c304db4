"""Files in the widget: `/upload`, `GET /files/…`, attachments of `chat/send` (contracts/opencx.md 0.11, 4.5, 4.7)."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.files import read_part
from tests.fixtures.front_door import Installation, Workspace, as_httpx, beside, refused
from tests.fixtures.raw_http import RawConnection, exchange
from tests.fixtures.server import RunningServer
from tests.fixtures.widget import PREFIX, Device, anonymous, claiming, verified
from vestibule.clock import now_ms
from vestibule.conversations.files import delete_files_of
from vestibule.errors import StorageUnavailable
from vestibule.storage import token_endings
from vestibule.storage.file_store import DiskFileStore
from vestibule.storage.token_endings import Ending

UPLOAD = f"{PREFIX}/upload"
LIMIT = 5_242_880
WORKSPACE = "0190a0a0-0000-7000-8000-000000000001"
FILE = "0190a0a0-0000-7000-8000-0000000000ff"
INLINE = ("image/", "audio/", "video/")
LINK = re.compile(r"/files/([0-9a-f-]{36})/([0-9a-f-]{36})/([0-9A-Za-z]{43})/([^/?#]+)")


def send_form(
    device: Device, files: Any, *, path: str = UPLOAD, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Posts a form as the widget's XMLHttpRequest does: without the JSON headers of its other calls."""
    usual = {name: value for name, value in device.headers().items() if name in {"x-bot-token", "authorization"}}
    return device.workspace.installation.http.post(path, files=files, headers={**usual, **(headers or {})})


def upload(
    device: Device, content: bytes, name: str = "photo.png", kind: str = "image/png", **more: Any
) -> httpx.Response:
    return send_form(device, {"file": (name, content, kind)}, **more)


def link_of(device: Device, content: bytes = samples.PDF, name: str = "invoice.pdf") -> str:
    """The link of an upload that must succeed."""
    answer = upload(device, content, name)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["fileUrl"])


def path_of(link: str) -> str:
    return urlsplit(link).path


def parts_of(link: str) -> tuple[str, str, str, str]:
    """Workspace, file, secret and name of a link."""
    match = LINK.fullmatch(path_of(link))
    assert match is not None, link
    return match[1], match[2], match[3], match[4]


def stored(workspace: Workspace) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The rows and the files of a workspace: equal before and after means that nothing was kept."""
    rows = workspace.installation.rows("SELECT id, name FROM files WHERE workspace_id = $1 ORDER BY id", workspace.id)
    directory = workspace.installation.server.directory / "vestibule-files" / workspace.id
    return rows, sorted(path.name for path in directory.rglob("*") if path.is_file())


def raw_head(device: Device, length: int, *, path: str = UPLOAD) -> bytes:
    """The head of an upload of `length` bytes."""
    host = urlsplit(device.workspace.installation.base_url).netloc
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Bot-Token: {device.bot}\r\nAuthorization: Bearer {device.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def part(content: bytes, disposition: str = 'form-data; name="file"; filename="photo.png"', more: str = "") -> bytes:
    return f"--b\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode() + content + b"\r\n"


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(parts) + end


def send_raw(device: Device, body: bytes, content_type: str = "multipart/form-data; boundary=b") -> httpx.Response:
    usual = {name: value for name, value in device.headers().items() if name in {"x-bot-token", "authorization"}}
    return device.workspace.installation.http.post(
        UPLOAD, content=body, headers={**usual, "content-type": content_type}
    )


def get(workspace: Workspace, link: str, **headers: str) -> httpx.Response:
    """Fetches a link as an element of a page does: without any credential."""
    return workspace.installation.http.get(
        link, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.fixture
def device(workspace: Workspace) -> Device:
    return verified(workspace)


@pytest.fixture(scope="module")
def strict(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server beside the installation's that takes small files, few of them, and whose links end soon."""
    with beside(
        installation,
        tmp_path_factory.mktemp("strict"),
        max_file_bytes="2048",
        rate_limit_uploads="3",
        file_link_lifetime="2s",
        contact_token_lifetime="24h",
        public_url=installation.base_url,
    ) as server:
        yield server


class TestAnUpload:
    def test_is_answered_with_a_name_and_an_absolute_link(self, device: Device) -> None:
        answer = upload(device, samples.png(), headers={"origin": "https://shop.example"})

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json().keys() == {"fileName", "fileUrl"}
        assert answer.json()["fileName"] == "photo.png"
        link = answer.json()["fileUrl"]
        assert link.startswith(device.workspace.installation.base_url + "/files/")
        assert parts_of(link)[0] == device.workspace.id
        assert parts_of(link)[3] == "photo.png"

    def test_may_have_one_slash_more(self, device: Device) -> None:
        """The widget keeps the slash that `apiUrl` ends with, for uploads only."""
        answer = upload(device, samples.png(), path=f"{device.workspace.installation.base_url}/{UPLOAD}")
        assert answer.status_code == 200
        assert get(device.workspace, answer.json()["fileUrl"]).content == samples.png()

    @pytest.mark.parametrize("path", [UPLOAD, "/" + UPLOAD])
    def test_is_allowed_by_a_preflight(self, workspace: Workspace, path: str) -> None:
        answer = workspace.installation.http.request(
            "OPTIONS",
            workspace.installation.base_url + path,
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,x-bot-token",
            },
        )
        assert answer.status_code == 204
        allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert {"authorization", "x-bot-token"} <= set(allowed)

    @pytest.mark.parametrize("kind", samples.ACCEPTED)
    def test_is_served_as_what_it_is(self, device: Device, kind: str) -> None:
        content, name, media_type = samples.ACCEPTED[kind]
        # What the client says of the type counts for nothing.
        answer = upload(device, content, name, kind="text/html")
        assert answer.status_code == 200, answer.text

        served = get(device.workspace, answer.json()["fileUrl"])

        assert served.status_code == 200
        assert served.content == content
        assert served.headers["content-type"].split(";")[0] == media_type
        shown = "inline" if media_type.startswith(INLINE) else "attachment"
        assert served.headers["content-disposition"].startswith(f'{shown}; filename="')

    def test_may_be_an_unverified_visitors(self, workspace: Workspace) -> None:
        """Its contact exists from then on, and is purged with its files when its time is over."""
        visitor = anonymous(workspace)
        assert workspace.contacts() == []

        link = link_of(visitor)

        assert get(workspace, link).content == samples.PDF
        [(contact_id, expires_at)] = workspace.installation.rows(
            "SELECT id, expires_at FROM contacts WHERE workspace_id = $1", workspace.id
        )
        assert contact_id == visitor.contact_id
        assert expires_at > now_ms()

    def test_may_be_as_large_as_the_limit(self, device: Device) -> None:
        content = samples.png_of(LIMIT)
        assert len(content) == LIMIT
        assert get(device.workspace, link_of(device, content, "large.png")).content == content

    def test_may_come_beside_others(self, device: Device) -> None:
        contents = [samples.png(bytes([97 + number]) * 700_000) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            links = list(pool.map(lambda content: link_of(device, content, "same.png"), contents))
        assert len(set(links)) == 8
        assert [get(device.workspace, link).content for link in links] == contents

    def test_may_come_in_pieces_of_any_size(self, device: Device) -> None:
        """The boundary may lie across two of them."""
        body = form(part(samples.png(b"\r\n--b\r" * 50)))
        head = raw_head(device, len(body))
        pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
        answer = as_httpx(exchange(device.workspace.installation.base_url, head, *pieces))
        assert answer.status_code == 200, answer.text
        assert get(device.workspace, answer.json()["fileUrl"]).content == samples.png(b"\r\n--b\r" * 50)

    def test_keeps_of_its_link_a_hash_only(self, device: Device) -> None:
        _, file_id, secret, _ = parts_of(link_of(device))
        [row] = device.workspace.installation.rows("SELECT * FROM files WHERE id = $1", file_id)
        assert hashlib.sha256(secret.encode()).hexdigest() in row
        assert not any(isinstance(value, str) and secret in value for value in row)

    def test_lies_where_only_the_server_reads_it(self, device: Device) -> None:
        _, file_id, _, _ = parts_of(link_of(device))
        [path] = (device.workspace.installation.server.directory / "vestibule-files").rglob(file_id)
        assert path.stat().st_mode & 0o777 == 0o600


class TestAFileName:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("../../../etc/passwd", "passwd.png"),
            ("C:\\Windows\\system.png", "system.png"),
            ("page.html", "page.html.png"),
            ("Straße 👋.png", "Straße 👋.png"),
            ("x" * 500 + ".png", "x" * 196 + ".png"),
            ("gnp\u202eexe.png", "gnpexe.png"),
            ("quo'te; a=b.png", "quo'te; a=b.png"),
        ],
    )
    def test_is_cleaned(self, device: Device, given: str, kept: str) -> None:
        disposition = f'form-data; name="file"; filename="{given.replace(chr(92), chr(92) * 2)}"'
        answer = send_raw(device, form(part(samples.png(), disposition)))
        assert answer.status_code == 200, answer.text
        assert answer.json()["fileName"] == kept
        served = get(device.workspace, answer.json()["fileUrl"])
        assert served.status_code == 200
        name = served.headers["content-disposition"].partition("filename*=UTF-8''")[2]
        assert httpx.URL(f"http://x/{name}").path == f"/{kept}"

    def test_is_what_the_form_says_and_no_other_spelling_of_it(self, device: Device) -> None:
        """RFC 7578 section 4.2 forbids `filename*`: two readers would each take another name."""
        disposition = 'form-data; name="file"; filename="a.png"; filename*=UTF-8\'\'b.png'
        answer = send_raw(device, form(part(samples.png(), disposition)))
        assert answer.json()["fileName"] == "a.png"

    def test_cannot_write_headers(self, device: Device) -> None:
        disposition = 'form-data; name="file"; filename="a%0d%0aSet-Cookie: x=1\u0085.png"'
        answer = send_raw(device, form(part(samples.png(), disposition)))
        served = get(device.workspace, answer.json()["fileUrl"])
        assert served.status_code == 200
        assert "set-cookie" not in served.headers


def malformed() -> dict[str, tuple[bytes, str, int, str]]:
    """Body, content type, status and code of forms that cannot be used."""
    good, kind = part(samples.png()), "multipart/form-data; boundary=b"
    other = part(samples.png(), 'form-data; name="other"; filename="a.png"')
    return {
        "no part": (form(), kind, 400, "invalid_field"),
        "nothing": (b"", kind, 400, "malformed_body"),
        "another field": (form(other), kind, 400, "invalid_field"),
        "another field before": (form(other, good), kind, 400, "invalid_field"),
        "another field behind": (form(good, other), kind, 400, "invalid_field"),
        "two files": (form(good, good), kind, 400, "invalid_field"),
        "ten thousand parts": (form(*[part(b"", 'form-data; name="x"')] * 10_000), kind, 400, "invalid_field"),
        "a field that is no file": (form(part(b"x", 'form-data; name="file"')), kind, 400, "invalid_field"),
        "no file chosen": (form(part(b"", 'form-data; name="file"; filename=""')), kind, 400, "invalid_field"),
        "an empty file": (form(part(b"")), kind, 400, "invalid_field"),
        "no disposition": (form(b"--b\r\nX: y\r\n\r\nx\r\n"), kind, 400, "invalid_field"),
        "another disposition": (
            form(part(samples.png(), 'attachment; name="file"; filename="a"')),
            kind,
            400,
            "invalid_field",
        ),
        "no end": (form(good, end=b""), kind, 400, "malformed_body"),
        "cut within the file": (form(good)[:60], kind, 400, "malformed_body"),
        "another boundary": (form(good).replace(b"--b", b"--c"), kind, 400, "malformed_body"),
        "no boundary": (form(good), "multipart/form-data", 400, "malformed_body"),
        "an endless boundary": (form(good), f"multipart/form-data; boundary={'b' * 71}", 400, "malformed_body"),
        "endless headers": (form(part(b"x", more="X: " + "y" * 9000 + "\r\n")), kind, 400, "malformed_body"),
        "many headers": (form(part(b"x", more="X: y\r\n" * 50)), kind, 400, "malformed_body"),
        "JSON": (b'{"file":"x"}', "application/json", 415, "unsupported_media_type"),
        "a plain form": (b"file=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        "a bare file": (samples.png(), "image/png", 415, "unsupported_media_type"),
        "multipart of another kind": (form(good), "multipart/mixed; boundary=b", 415, "unsupported_media_type"),
    }


class TestARefusal:
    @pytest.mark.parametrize("kind", samples.REFUSED)
    def test_meets_whatever_is_on_no_list(self, device: Device, kind: str) -> None:
        before = stored(device.workspace)
        refused(upload(device, samples.REFUSED[kind]), 415, "unsupported_file_type")
        assert stored(device.workspace) == before

    @pytest.mark.parametrize("kind", malformed())
    def test_meets_forms_that_cannot_be_used(self, device: Device, kind: str) -> None:
        body, content_type, status, code = malformed()[kind]
        before = stored(device.workspace)
        refused(send_raw(device, body, content_type), status, code)
        assert stored(device.workspace) == before

    def test_meets_what_is_compressed(self, device: Device) -> None:
        answer = upload(device, samples.png(), headers={"content-encoding": "gzip"})
        refused(answer, 415, "unsupported_media_type", names="not compressed")

    @pytest.mark.parametrize("more", [1, 1000, 70_000, 3_000_000])
    def test_meets_a_file_that_is_too_large(self, device: Device, more: int) -> None:
        """Pasted files pass the widget unchecked. The answer arrives although the client was still sending."""
        before = stored(device.workspace)
        refused(upload(device, samples.png_of(LIMIT + more)), 413, "body_too_large")
        assert stored(device.workspace) == before

    def test_comes_before_a_large_body_does(self, device: Device) -> None:
        began = time.monotonic()
        answer = exchange(device.workspace.installation.base_url, raw_head(device, 10**12))
        assert answer.status == 413
        assert answer.header("connection") == "close"
        assert time.monotonic() - began < 1

    def test_comes_before_a_body_that_waits_for_leave(self, device: Device) -> None:
        """RFC 9110 section 10.1.1: who asks first is not told to send what will be refused."""
        head = raw_head(device, LIMIT + 100_000).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        with RawConnection(device.workspace.installation.base_url) as connection:
            connection.send(head)
            assert connection.read_to_end().startswith(b"HTTP/1.1 413 ")

    def test_comes_where_a_large_body_was_not_announced(self, device: Device) -> None:
        def endless() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
            for _ in range(90):
                yield b"x" * 65_536

        headers = {**device.headers(), "content-type": "multipart/form-data; boundary=b"}
        answer = device.workspace.installation.http.post(UPLOAD, content=endless(), headers=headers)
        refused(answer, 413, "body_too_large")

    def test_meets_whoever_has_no_good_token(self, workspace: Workspace, device: Device) -> None:
        other = verified(workspace.installation.workspace())
        strangers = {
            "no token": Device(workspace, None),
            "a token of another workspace": Device(workspace, other.token),
            "something else": Device(workspace, "x.y.z"),
        }
        for who, stranger in strangers.items():
            code = "missing_credentials" if stranger.token is None else "invalid_token"
            assert refused(upload(stranger, samples.png()), 401, code), who
        refused(upload(Device(workspace, device.token, bot="nobody"), samples.png()), 401, "invalid_widget_token")
        assert stored(workspace) == ([], [])

    def test_meets_a_token_that_was_ended(self, device: Device) -> None:
        link_of(device)
        installation = device.workspace.installation
        ending = Ending(device.workspace.id, device.contact_id, "", now_ms() + 60_000)
        installation.run(token_endings.insert(installation.desk.store, ending, now_ms()))
        answer = _until(lambda: upload(device, samples.png()), lambda answer: answer.status_code != 200)
        refused(answer, 401, "invalid_token")

    @pytest.mark.slow
    def test_meets_a_contact_that_was_erased(self, device: Device) -> None:
        device.workspace.installation.server.cli(
            "contact", "erase", device.contact_id, "-w", device.workspace.id, "--yes"
        )
        refused(upload(device, samples.png()), 401, "invalid_token")
        assert stored(device.workspace) == ([], [])

    @pytest.mark.slow
    def test_meets_who_sends_too_slowly(self, device: Device) -> None:
        before = stored(device.workspace)
        body = form(part(samples.png_of(100_000)))
        url = device.workspace.installation.base_url
        waits = as_httpx(exchange(url, raw_head(device, len(body)) + body[:5000], b"x", delay=2.5))
        refused(waits, 408, "body_too_slow")
        # Never silent for long, and yet slower than any connection that people use.
        pieces = [body[at : at + 10] for at in range(0, 300, 10)]
        began = time.monotonic()
        trickles = as_httpx(exchange(url, raw_head(device, len(body)), *pieces, delay=0.2))
        refused(trickles, 408, "body_too_slow")
        assert time.monotonic() - began < 8
        assert stored(device.workspace) == before

    def test_leaves_nothing_of_an_upload_that_breaks_off(self, device: Device) -> None:
        before = stored(device.workspace)
        body = form(part(samples.png_of(3_000_000)))
        for sent in (10, 5_000, 1_500_000, len(body) - 1):
            with RawConnection(device.workspace.installation.base_url) as connection:
                connection.send(raw_head(device, len(body)) + body[:sent])
                time.sleep(0.05)
        time.sleep(0.2)
        assert stored(device.workspace) == before
        assert upload(device, samples.png()).status_code == 200

    def test_is_told_in_the_dialect_for_other_methods_and_paths(self, device: Device) -> None:
        http, base = device.workspace.installation.http, device.workspace.installation.base_url
        for slash in ("", "/"):
            refused(http.get(f"{base}{slash}{UPLOAD}"), 405, "method_not_allowed")
            refused(http.post(f"{base}{slash}{UPLOAD}/x"), 404, "no_such_path")

    def test_meets_who_uploads_too_often_and_nobody_else(
        self, installation: Installation, strict: RunningServer
    ) -> None:
        device = verified(installation.workspace())
        answers = [upload(device, samples.png(), path=strict.base_url + UPLOAD) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        refused(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["retry-after"]) >= 1
        other = verified(installation.workspace())
        assert upload(other, samples.png(), path=strict.base_url + UPLOAD).status_code == 200

    def test_knows_the_limit_that_is_set(self, installation: Installation, strict: RunningServer) -> None:
        device = verified(installation.workspace())
        assert upload(device, samples.png_of(2048), path=strict.base_url + UPLOAD).status_code == 200
        answer = upload(device, samples.png_of(2049), path=strict.base_url + UPLOAD)
        refused(answer, 413, "body_too_large", names="2048")


class TestALink:
    def test_opens_its_file_without_a_credential_and_as_no_page(self, device: Device) -> None:
        """OWASP ASVS 3.4.4, 14.3.2; whatever is in the file, nothing of it runs in our origin."""
        served = get(device.workspace, link_of(device, samples.GIF_AND_SCRIPT, "both.gif"))

        assert served.status_code == 200
        assert served.content == samples.GIF_AND_SCRIPT
        # Not a script to any browser: `nosniff` blocks a picture that is loaded as one.
        assert served.headers["content-type"] == "image/gif"
        assert served.headers["x-content-type-options"] == "nosniff"
        assert served.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert served.headers["cache-control"].startswith("private, max-age=")
        assert served.headers["referrer-policy"] == "no-referrer"
        assert served.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "set-cookie" not in served.headers

    def test_answers_alike_whatever_is_wrong_with_it(self, device: Device) -> None:
        workspace = device.workspace
        link = link_of(device)
        workspace_id, file_id, secret, name = parts_of(link)
        other = verified(workspace.installation.workspace())
        other_workspace, other_file, other_secret, _ = parts_of(link_of(other))
        flipped = secret[:-1] + ("a" if secret[-1] != "a" else "b")
        wrong = [
            (workspace_id, file_id, flipped),
            (workspace_id, file_id, secret.swapcase()),
            (workspace_id, file_id, secret[:-1]),
            (workspace_id, file_id, secret + "a"),
            (workspace_id, file_id, "0" * 43),
            (workspace_id, file_id, "x"),
            (workspace_id, file_id, other_secret),
            (workspace_id, other_file, secret),
            (workspace_id, other_file, other_secret),
            (other_workspace, file_id, secret),
            (workspace_id, workspace_id, secret),
            (workspace_id, file_id.upper(), secret),
            ("x", "y", "z"),
            ("..", "..", ".."),
            ("%00", file_id, secret),
            (workspace_id, "%00", secret),
            (workspace_id, file_id, "%00"),
            (workspace_id, file_id, "%ED%A0%80"),
            (workspace_id, file_id, hashlib.sha256(secret.encode()).hexdigest()),
        ]
        base = workspace.installation.base_url
        answers = [get(workspace, f"{base}/files/{'/'.join(parts)}/{name}") for parts in wrong]
        assert {answer.status_code for answer in answers} == {404}
        known = [answer for parts, answer in zip(wrong, answers, strict=True) if ".." not in parts]
        assert {answer.json()["code"] for answer in known} == {"not_found"}
        assert len({answer.content for answer in known}) == 1
        assert get(workspace, link).status_code == 200

    def test_needs_all_of_its_parts(self, device: Device) -> None:
        link = link_of(device)
        for short in (link.rpartition("/")[0], link.rpartition("/")[0] + "/", link + "/x"):
            answer = get(device.workspace, short)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"

    def test_answers_reading_only(self, device: Device) -> None:
        link = link_of(device)
        for method in ("POST", "PUT", "DELETE"):
            assert device.workspace.installation.http.request(method, link).status_code == 405
        head = device.workspace.installation.http.head(link)
        assert head.status_code == 200
        assert head.headers["content-length"] == str(len(samples.PDF))
        assert head.content == b""

    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-", 0, 999),
            ("bytes=0-1", 0, 1),
            ("bytes=10-19", 10, 19),
            ("bytes=990-5000", 990, 999),
            ("bytes=999-999", 999, 999),
            ("bytes=-10", 990, 999),
            ("bytes=-5000", 0, 999),
        ],
    )
    def test_gives_a_part_to_players_that_seek(self, device: Device, asked: str, first: int, last: int) -> None:
        """RFC 9110 section 14; Safari plays no video without."""
        content = samples.wav() + bytes(range(256)) * 4
        content = content[:1000]
        link = link_of(device, content, "voice.wav")
        served = get(device.workspace, link, range=asked)
        assert served.status_code == 206
        assert served.headers["content-range"] == f"bytes {first}-{last}/1000"
        assert served.headers["accept-ranges"] == "bytes"
        assert served.content == content[first : last + 1]
        assert served.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize(
        "asked", ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b", "x"]
    )
    def test_gives_the_whole_where_no_one_range_is_asked_for(self, device: Device, asked: str) -> None:
        served = get(device.workspace, link_of(device), range=asked)
        assert served.status_code == 200
        assert served.content == samples.PDF

    @pytest.mark.parametrize("asked", ["bytes=100000-", "bytes=100000-100001", "bytes=-0", "bytes=999999999999999999-"])
    def test_gives_nothing_of_a_range_outside(self, device: Device, asked: str) -> None:
        served = get(device.workspace, link_of(device), range=asked)
        assert served.status_code == 416
        assert served.headers["content-range"] == f"bytes */{len(samples.PDF)}"

    def test_knows_what_a_client_has(self, device: Device) -> None:
        link = link_of(device)
        tag = get(device.workspace, link).headers["etag"]
        assert get(device.workspace, link, if_none_match=tag).status_code == 304
        assert get(device.workspace, link, range="bytes=0-4", if_range=tag).status_code == 206
        assert get(device.workspace, link, range="bytes=0-4", if_range='"other"').status_code == 200

    def test_survives_readers_that_hang_up(self, device: Device) -> None:
        link = link_of(device, samples.png_of(4_000_000), "large.png")
        host = urlsplit(link).netloc
        for _ in range(5):
            with RawConnection(device.workspace.installation.base_url) as connection:
                connection.send(f"GET {path_of(link)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                time.sleep(0.02)
        assert len(get(device.workspace, link).content) == 4_000_000

    def test_stays_out_of_the_log(self, device: Device) -> None:
        link = link_of(device)
        _, file_id, secret, _ = parts_of(link)
        get(device.workspace, link)
        get(device.workspace, link + "/x")
        get(device.workspace, link.replace(file_id, "x"))
        time.sleep(0.5)
        log = device.workspace.installation.server.log()
        assert file_id in log
        assert secret not in log

    @pytest.mark.slow
    def test_ends_where_it_is_told_to(self, installation: Installation, strict: RunningServer) -> None:
        device = verified(installation.workspace())
        link = upload(device, samples.PDF, path=strict.base_url + UPLOAD).json()["fileUrl"]
        ending = link.replace(installation.base_url, strict.base_url)
        served = get(device.workspace, ending)
        assert served.status_code == 200
        fresh = re.search(r"max-age=(\d+)", served.headers["cache-control"])
        assert fresh is not None
        assert int(fresh[1]) <= 2
        gone = _until(lambda: get(device.workspace, ending), lambda answer: answer.status_code != 200)
        assert gone.status_code == 404
        assert gone.json()["code"] == "not_found"

    @pytest.mark.slow
    def test_ends_with_the_workspace_being_disabled(self, device: Device) -> None:
        link = link_of(device)
        device.workspace.installation.rows(
            "UPDATE workspaces SET disabled_at = $2 WHERE id = $1 RETURNING id", device.workspace.id, now_ms()
        )
        gone = _until(lambda: get(device.workspace, link), lambda answer: answer.status_code != 200)
        assert gone.status_code == 404

    def test_leads_to_nothing_once_the_bytes_are_gone(self, device: Device) -> None:
        link = link_of(device)
        [path] = (device.workspace.installation.server.directory / "vestibule-files").rglob(parts_of(link)[1])
        path.unlink()
        assert get(device.workspace, link).json()["code"] == "not_found"

    def test_leads_to_nothing_once_the_contacts_files_are_forgotten(self, device: Device) -> None:
        installation = device.workspace.installation
        links = [link_of(device), link_of(device, samples.png(), "a.png")]
        kept = link_of(verified(device.workspace, "bea@example.com"))
        files = DiskFileStore(installation.server.directory / "vestibule-files")
        store = installation.desk.store
        done = installation.run(delete_files_of(store, files, device.workspace.id, device.contact_id))
        assert done == 2
        assert [get(device.workspace, link).status_code for link in links] == [404, 404]
        assert get(device.workspace, kept).status_code == 200
        assert len(stored(device.workspace)[0]) == len(stored(device.workspace)[1]) == 1


def attachment(link: str, **said: Any) -> dict[str, Any]:
    """As the widget's composer sends it."""
    return {"id": "client-id", "name": "invoice.pdf", "size": 1, "type": "application/pdf", "url": link, **said}


class TestAnAttachment:
    @pytest.mark.parametrize("who", [verified, anonymous])
    def test_is_told_as_it_was_found_and_not_as_the_client_says(
        self, workspace: Workspace, who: Callable[[Workspace], Device]
    ) -> None:
        device = who(workspace)
        link = link_of(device)
        session = device.start()
        said = attachment(link, name="<b>harmless.png", size=99999, type="image/png")

        device.say(session, "", attachments=[said])

        [row] = [row for row in device.history(session) if row["sender"]["kind"] == "user"]
        assert row["attachments"] == [
            {"id": "client-id", "name": "invoice.pdf", "size": len(samples.PDF), "type": "application/pdf", "url": link}
        ]
        assert get(workspace, row["attachments"][0]["url"]).content == samples.PDF

    def test_is_there_on_the_contacts_other_device(self, workspace: Workspace) -> None:
        first, second = verified(workspace), verified(workspace)
        link = link_of(first)
        session = second.start()
        second.say(session, "mine", attachments=[attachment(link)])
        assert first.history(session)[0]["attachments"][0]["url"] == link

    def test_may_come_ten_times_and_not_more(self, device: Device) -> None:
        link, session = link_of(device), device.start()
        device.say(session, "ten", attachments=[attachment(link)] * 10)
        refused(device.send(session, "eleven", attachments=[attachment(link)] * 11), 400, "invalid_field")

    def test_may_only_be_a_file_that_this_contact_has_uploaded(self, workspace: Workspace, device: Device) -> None:
        own = link_of(device)
        workspace_id, file_id, secret, name = parts_of(own)
        base = workspace.installation.base_url
        stranger = verified(workspace.installation.workspace())
        foreign = {
            "another contact's": link_of(verified(workspace, "eve@example.com")),
            "an unverified visitor's": link_of(anonymous(workspace)),
            "one who claims the same e-mail": link_of(claiming(workspace, "ada@example.com")),
            "another workspace's": link_of(stranger),
            "another site's": "https://evil.example/invoice.pdf",
            "another site's, under our path": own.replace(base, "https://evil.example"),
            "a host that begins like ours": own.replace(base, base + ".evil.example"),
            "ours as a user name": own.replace(base, base + "@evil.example"),
            "a script": "javascript:alert(1)",
            "data": "data:text/html,x",
            "nothing": "",
            "no host": path_of(own),
            "a wrong secret": f"{base}/files/{workspace_id}/{file_id}/{'0' * 43}/{name}",
            "a file that does not exist": f"{base}/files/{workspace_id}/{workspace_id}/{secret}/{name}",
            "no secret": f"{base}/files/{workspace_id}/{file_id}",
            "with a query": own + "?x",
            "with a fragment": own + "#x",
            "with more of a path": own + "/x",
            "endless": own + "x" * 5000,
            "with a NUL": own + "\0",
            "no ids": f"{base}/files/{'-' * 36}/{'-' * 36}/{secret}/{name}",
        }
        session = device.start()
        before = device.history(session)
        for which, link in foreign.items():
            if which == "with a NUL":
                continue
            answer = device.send(session, "look", attachments=[attachment(link)])
            body = refused(answer, 400, "invalid_field", names="attachments.url")
            assert body["message"] == ("attachments.url: is not the address of a file that you have uploaded here"), (
                which
            )
        refused(device.send(session, "both", attachments=[attachment(own), attachment("https://evil.example")]), 400)
        assert device.history(session) == before

    def test_is_told_by_its_own_name_whatever_the_link_says(self, device: Device) -> None:
        link, session = link_of(device), device.start()
        renamed = link.rpartition("/")[0] + "/%22%3E%3Cscript%3E"
        device.say(session, "x", attachments=[attachment(renamed)])
        assert device.history(session)[0]["attachments"][0]["url"] == link

    @pytest.mark.parametrize(
        "attachments",
        [
            "x",
            {},
            ["x"],
            [{}],
            [{"id": "a"}],
            [{"id": 1, "url": "x"}],
            [{"id": "a", "url": None}],
            [{"id": "a" * 300, "url": "x"}],
            [{"id": "a\0", "url": "x"}],
        ],
    )
    def test_must_have_its_shape(self, device: Device, attachments: Any) -> None:
        refused(device.send(device.start(), "x", attachments=attachments), 400, "invalid_field", names="attachments")


class TestTheDisk:
    async def test_keeps_all_of_a_file_or_nothing(self, tmp_path: Path) -> None:
        class Broken(io.BytesIO):
            def read(self, _size: int | None = -1, /) -> bytes:
                if self.tell() >= 1_000_000:
                    raise RuntimeError("the source broke off")
                return super().read(500_000)

        store = DiskFileStore(tmp_path)
        with pytest.raises(RuntimeError, match="broke off"):
            await store.put(WORKSPACE, FILE, Broken(b"x" * 5_000_000))
        assert not any(name for _, _, names in os.walk(tmp_path) for name in names)
        assert await store.open(WORKSPACE, FILE, 0, 1) is None

    async def test_gives_back_what_it_was_given_and_forgets_it(self, tmp_path: Path) -> None:
        store = DiskFileStore(tmp_path)
        await store.put(WORKSPACE, FILE, io.BytesIO(b"content"))
        assert await read_part(store, WORKSPACE, FILE, 0, 7) == b"content"
        assert await read_part(store, WORKSPACE, FILE, 3, 2) == b"te"
        await store.delete(WORKSPACE, FILE)
        await store.delete(WORKSPACE, FILE)
        assert await store.open(WORKSPACE, FILE, 0, 1) is None

    @pytest.mark.parametrize("bad", ["../x", "", ".", "a/b", "x\0", FILE.upper()])
    async def test_makes_paths_of_ids_only(self, tmp_path: Path, bad: str) -> None:
        store = DiskFileStore(tmp_path)
        for workspace_id, file_id in ((bad, FILE), (WORKSPACE, bad)):
            with pytest.raises(ValueError, match="not ids"):
                await store.put(workspace_id, file_id, io.BytesIO(b""))
            with pytest.raises(ValueError, match="not ids"):
                await store.open(workspace_id, file_id, 0, 1)
            with pytest.raises(ValueError, match="not ids"):
                await store.delete(workspace_id, file_id)

    async def test_says_so_where_it_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = DiskFileStore(tmp_path / "file")
        with pytest.raises(StorageUnavailable) as refusal:
            await store.put(WORKSPACE, FILE, io.BytesIO(b"x"))
        assert str(tmp_path) not in refusal.value.message + refusal.value.detail

    async def test_is_not_confused_by_many_at_once(self, tmp_path: Path) -> None:
        store = DiskFileStore(tmp_path)
        ids = [f"0190a0a0-0000-7000-8000-{number:012x}" for number in range(40)]
        await asyncio.gather(*(store.put(WORKSPACE, file_id, io.BytesIO(file_id.encode())) for file_id in ids))
        for file_id in ids:
            assert await read_part(store, WORKSPACE, file_id, 0, 36) == file_id.encode()


def _until(
    call: Callable[[], httpx.Response], done: Callable[[httpx.Response], bool], *, within: float = 8.0
) -> httpx.Response:
    """Repeats a call until its answer is what is waited for; the last one."""
    deadline = time.monotonic() + within
    while True:
        answer = call()
        if done(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)
