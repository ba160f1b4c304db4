"""Files in the widget: `/upload`, `GET /files/…`, attachments of `chat/send` (contracts/opencx.md 0.11, 4.5, 4.7)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Installation, Workspace, as_httpx, refused
from tests.fixtures.raw_http import RawConnection, exchange
from tests.fixtures.server import RunningServer
from tests.fixtures.uploads import UPLOAD, get, link_of, parts_of, stored, until, upload
from tests.fixtures.widget import Device, anonymous, verified
from vestibule.clock import now_ms
from vestibule.storage import token_endings
from vestibule.storage.token_endings import Ending

LIMIT = 5_242_880


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
        answer = until(lambda: upload(device, samples.png()), lambda answer: answer.status_code != 200)
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

    def test_meets_who_has_uploaded_as_much_as_is_kept_of_one(
        self, installation: Installation, strict: RunningServer
    ) -> None:
        device = verified(installation.workspace())
        answers = [upload(device, samples.png_of(2048), path=strict.base_url + UPLOAD) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 413]
        refused(answers[-1], 413, "body_too_large", names="5000 bytes together")
        assert len(stored(device.workspace)[0]) == 2
