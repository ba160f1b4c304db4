"""What becomes of a file: the link that opens it, the message it hangs on, its place on the disk."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.files import assert_takes_ids_only, read_part
from tests.fixtures.front_door import Installation, Workspace, beside, refused
from tests.fixtures.native import Client
from tests.fixtures.raw_http import RawConnection
from tests.fixtures.server import RunningServer
from tests.fixtures.staff import signed_in
from tests.fixtures.uploads import UPLOAD, get, link_of, parts_of, path_of, stored, until, upload
from tests.fixtures.widget import Device, anonymous, claiming, verified
from vestibule.clock import now_ms
from vestibule.conversations.files import delete_files_of
from vestibule.errors import StorageUnavailable
from vestibule.storage.file_store import DiskFileStore

WORKSPACE = "0190a0a0-0000-7000-8000-000000000001"
FILE = "0190a0a0-0000-7000-8000-0000000000ff"


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
        link = Client(device.workspace, device.token).upload(content, "voice.wav").json()["url"]
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
        assert served.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("asked", ["bytes=0-1", "bytes=100000-"])
    def test_knows_no_range_where_no_content_is_asked_for(self, device: Device, asked: str) -> None:
        """RFC 9110 section 14.2."""
        served = device.workspace.installation.http.head(link_of(device), headers={"range": asked})
        assert served.status_code == 200
        assert served.headers["content-length"] == str(len(samples.PDF))
        assert "content-range" not in served.headers

    @pytest.mark.parametrize(
        ("content", "name", "kind"),
        [
            ("a;ä\n".encode("utf-16"), "table.csv", "text/csv"),
            ("a;ä\n".encode("latin-1"), "table.csv", "text/csv"),
            ("a;ä\n".encode(), "note.txt", "text/plain; charset=utf-8"),
        ],
        ids=["UTF-16", "Latin-1", "text"],
    )
    def test_says_of_text_alone_how_it_is_written(self, device: Device, content: bytes, name: str, kind: str) -> None:
        served = get(device.workspace, Client(device.workspace, device.token).upload(content, name).json()["url"])
        assert (served.headers["content-type"], served.content) == (kind, content)

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
        gone = until(lambda: get(device.workspace, ending), lambda answer: answer.status_code != 200)
        assert gone.status_code == 404
        assert gone.json()["code"] == "not_found"

    @pytest.mark.slow
    def test_ends_with_the_workspace_being_disabled(self, device: Device) -> None:
        link = link_of(device)
        device.workspace.installation.rows(
            "UPDATE workspaces SET disabled_at = $2 WHERE id = $1 RETURNING id", device.workspace.id, now_ms()
        )
        gone = until(lambda: get(device.workspace, link), lambda answer: answer.status_code != 200)
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
        # Without any words the list's card shows its name: one without a text looks as if it were loading.
        assert device.session(session)["lastMessage"] == row["attachments"][0]["name"]
        device.say(session, "with words")
        assert device.session(session)["lastMessage"] == "with words"

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

    def test_may_be_named_by_the_address_of_before(
        self, installation: Installation, device: Device, tmp_path: Path
    ) -> None:
        before, now = installation.base_url, "http://new.example.com"
        sent, link = link_of(device), link_of(device)
        chat = device.start()
        device.say(chat, "then", attachments=[attachment(sent)])
        with beside(installation, tmp_path, public_url=now, former_public_urls=before) as moved:
            there = Device(device.workspace, device.token, base_url=moved.base_url)
            there.say(chat, "", attachments=[attachment(link)])
            row = [row for row in there.history(chat) if row["sender"]["kind"] == "user"][-1]
            assert row["attachments"][0]["url"] == link.replace(before, now)
            elsewhere = link.replace(before, "http://other.example.com")
            refused(there.send(chat, "x", attachments=[attachment(elsewhere)]), 400, "invalid_field")
            # Staff find what was sent before where the service is now.
            page = signed_in(device.workspace).http.get(f"{moved.base_url}/dashboard/inbox/{chat}")
            assert page.status_code == 200
            for each in (sent, link):
                assert f'href="{each.replace(before, now)}"' in page.text
            assert before not in page.text

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
            await assert_takes_ids_only(store, workspace_id, file_id)

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
