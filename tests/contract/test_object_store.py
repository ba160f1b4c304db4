"""Files in a bucket, over real HTTP to a server that checks signatures: what the disk does, and what may go wrong."""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.files import assert_takes_ids_only, read_part
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.object_store import ObjectStore
from tests.fixtures.server import RunningServer, free_port
from tests.fixtures.widget import PREFIX, Device, anonymous, verified
from vestibule.errors import StorageUnavailable
from vestibule.ids import new_id
from vestibule.settings import read_settings
from vestibule.storage.file_store import FileStore
from vestibule.storage.object_store import ObjectFileStore
from vestibule.storage.opening import open_files

LINK = re.compile(r"/files/([0-9a-f-]{36})/([0-9a-f-]{36})/")


@pytest.fixture
def store(object_store: ObjectStore) -> FileStore:
    return other(object_store)


def other(object_store: ObjectStore, **settings: str) -> FileStore:
    """The bucket as settings like these would have it."""
    given = {f"VESTIBULE_{name.upper()}": value for name, value in settings.items()}
    return open_files(read_settings(environ={**object_store.settings, **given}, directory=Path("/nonexistent")))


@pytest.fixture(scope="module")
def installation(
    session_settings: dict[str, str], object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server whose files lie in the bucket. The database makes no difference to them."""
    directory = tmp_path_factory.mktemp("bucket")
    url = {"VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/vestibule.db"}
    with (
        RunningServer({**session_settings, **object_store.settings, **url}, directory) as server,
        Installation(server) as made,
    ):
        yield made
        assert object_store.secret not in server.log()
    assert "unexpected error" not in server.log(), server.log()[-20_000:]


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


def upload(device: Device, content: bytes, name: str = "invoice.pdf") -> httpx.Response:
    usual = {name: value for name, value in device.headers().items() if name in {"x-bot-token", "authorization"}}
    url = f"{PREFIX}/upload"
    return device.workspace.installation.http.post(url, files={"file": (name, content)}, headers=usual)


def link_of(device: Device, content: bytes = samples.PDF, name: str = "invoice.pdf") -> str:
    answer = upload(device, content, name)
    assert answer.status_code == 200, answer.text
    return str(urlsplit(answer.json()["fileUrl"]).path)


def key_of(link: str) -> str:
    match = LINK.match(link)
    assert match is not None, link
    return f"{match[1]}/{match[2][-2:]}/{match[2]}"


class TestTheStore:
    async def test_gives_back_what_it_was_given_and_forgets_it(self, store: FileStore) -> None:
        place = new_id(), new_id()
        await store.put(*place, io.BytesIO(b"content"))
        assert await read_part(store, *place, 0, 7) == b"content"
        assert await read_part(store, *place, 3, 2) == b"te"
        await store.delete(*place)
        await store.delete(*place)
        assert await store.open(*place, 0, 7) is None

    async def test_takes_large_files_in_parts(self, store: FileStore) -> None:
        place, content = (new_id(), new_id()), secrets.token_bytes(20_000_000)
        await store.put(*place, io.BytesIO(content))
        assert await read_part(store, *place, 0, len(content)) == content
        assert await read_part(store, *place, 8_388_600, 16) == content[8_388_600:8_388_616]
        await store.delete(*place)

    @pytest.mark.parametrize("size", [1_000_000, 20_000_000])
    async def test_keeps_all_of_a_file_or_nothing(self, store: FileStore, object_store: ObjectStore, size: int) -> None:
        class Broken(io.BytesIO):
            def read(self, amount: int | None = -1, /) -> bytes:
                if self.tell() >= size // 2:
                    raise RuntimeError("the source broke off")
                return super().read(min(amount or size, size // 4) if amount != -1 else size // 4)

        before = object_store.listed()
        with pytest.raises((RuntimeError, StorageUnavailable)):
            await store.put(new_id(), new_id(), Broken(b"x" * size))
        assert object_store.listed() == before

    @pytest.mark.parametrize("bad", ["../x", "", ".", "a/b", "x\0"])
    async def test_makes_keys_of_ids_only(self, store: FileStore, bad: str) -> None:
        for workspace_id, file_id in ((bad, new_id()), (new_id(), bad)):
            await assert_takes_ids_only(store, workspace_id, file_id)

    async def test_is_not_confused_by_many_at_once(self, store: FileStore) -> None:
        workspace_id, ids = new_id(), [new_id() for _ in range(40)]
        await asyncio.gather(*(store.put(workspace_id, each, io.BytesIO(each.encode())) for each in ids))
        found = await asyncio.gather(*(read_part(store, workspace_id, each, 0, 36) for each in ids))
        assert [content.decode() for content in found] == ids

    async def test_takes_no_proxy_of_the_environment(
        self, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        place = new_id(), new_id()
        await other(object_store).put(*place, io.BytesIO(b"x"))

    @pytest.mark.parametrize(
        "wrong", [{"s3_secret_access_key": "wrong"}, {"s3_access_key_id": "AKIAWRONG"}, {"s3_bucket": "another"}]
    )
    async def test_says_so_where_it_is_not_let_in(self, object_store: ObjectStore, wrong: dict[str, str]) -> None:
        refused = other(object_store, **wrong)
        with pytest.raises(StorageUnavailable) as refusal:
            await refused.put(new_id(), new_id(), io.BytesIO(b"x"))
        told = f"{refusal.value!r} {refusal.value.message} {refusal.value.detail} {refusal.value.__cause__}"
        assert not any(value in told for value in (object_store.secret, object_store.url, *wrong.values()))

    async def test_says_so_where_nobody_answers(self, object_store: ObjectStore) -> None:
        nobody = other(object_store, s3_endpoint=f"http://127.0.0.1:{free_port()}")
        with pytest.raises(StorageUnavailable):
            await nobody.put(new_id(), new_id(), io.BytesIO(b"x"))
        with pytest.raises(StorageUnavailable):
            await nobody.open(new_id(), new_id(), 0, 1)
        with pytest.raises(StorageUnavailable):
            await nobody.delete(new_id(), new_id())

    async def test_says_so_where_its_settings_cannot_be_used(self, object_store: ObjectStore, tmp_path: Path) -> None:
        (tmp_path / "no.pem").write_text("no certificate")
        for wrong in ({"ca_file": str(tmp_path / "none.pem")}, {"ca_file": str(tmp_path / "no.pem")}):
            with pytest.raises(StorageUnavailable, match="cannot be used"):
                other(object_store, **wrong)

    def test_shows_its_key_to_nobody(self, store: FileStore, object_store: ObjectStore) -> None:
        assert isinstance(store, ObjectFileStore)
        settings = read_settings(environ=object_store.settings, directory=Path("/nonexistent"))
        assert object_store.secret not in repr(settings) + repr(store) + repr(vars(store))


class TestThroughTheServer:
    def test_an_upload_lies_in_the_bucket_and_its_link_opens_it(
        self, workspace: Workspace, object_store: ObjectStore
    ) -> None:
        link = link_of(verified(workspace))
        assert object_store.content(key_of(link)) == samples.PDF
        http = workspace.installation.http
        whole = http.get(link)
        assert (whole.status_code, whole.content) == (200, samples.PDF)
        part = http.get(link, headers={"range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, samples.PDF[2:6])
        head = http.head(link)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(samples.PDF)))
        assert http.get(link, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
        assert not (workspace.installation.server.directory / "vestibule-files").exists()

    def test_a_link_leads_to_nothing_once_the_bytes_are_gone(
        self, workspace: Workspace, object_store: ObjectStore
    ) -> None:
        link = link_of(verified(workspace))
        object_store.forget(key_of(link))
        assert workspace.installation.http.get(link).status_code == 404

    def test_erasing_a_contact_empties_the_bucket_of_them(
        self, workspace: Workspace, object_store: ObjectStore
    ) -> None:
        device = verified(workspace)
        links = [link_of(device), link_of(device)]
        kept = link_of(verified(workspace, "bea@example.com"))
        workspace.installation.cli("contact", "erase", device.contact_id, "--workspace", workspace.id)
        assert [key for key in object_store.listed() if key.startswith(workspace.id)] == [key_of(kept)]
        assert [workspace.installation.http.get(link).status_code for link in (*links, kept)] == [404, 404, 200]

    def test_retention_does_so_as_well(self, workspace: Workspace, object_store: ObjectStore) -> None:
        device = anonymous(workspace)
        key = key_of(link_of(device))
        assert key in object_store.listed()
        installation = workspace.installation
        installation.rows(
            "UPDATE contacts SET expires_at = 1 WHERE workspace_id = $1 AND id = $2 RETURNING id",
            workspace.id,
            device.contact_id,
        )
        installation.cli("retention", "purge")
        assert key not in object_store.listed()

    def test_the_check_up_tries_the_bucket_and_leaves_nothing(
        self, installation: Installation, object_store: ObjectStore
    ) -> None:
        before = object_store.listed()
        [found] = [each for each in installation.cli("doctor")["items"] if each["check"] == "s3_bucket"]
        assert found["grade"] == "unwise"  # over http
        assert object_store.listed() == before
        wrong = {"VESTIBULE_S3_SECRET_ACCESS_KEY": "another-secret"}
        printed = installation.command("doctor", "--json", settings=wrong)
        [found] = [each for each in printed.json["items"] if each["check"] == "s3_bucket"]
        assert (printed.exit_code, found["grade"]) == (1, "bad")
        assert "another-secret" not in printed.stdout

    def test_a_bucket_that_hangs_costs_a_refusal_and_holds_up_nobody_else(
        self, workspace: Workspace, object_store: ObjectStore
    ) -> None:
        device = verified(workspace)
        link = link_of(device)
        object_store.freeze()
        try:
            began = time.monotonic()
            answer = upload(device, samples.PDF)
            assert (answer.status_code, answer.json()["error"]) == (503, "storage_unavailable")
            assert time.monotonic() - began < 12  # twice s3_timeout, and a loaded machine
            with workspace.unharmed(good_within=3.0):
                assert workspace.installation.http.get(link, timeout=30).status_code == 503
        finally:
            object_store.thaw()
        assert upload(device, samples.PDF).status_code == 200
        rows = workspace.installation.rows("SELECT id FROM files WHERE workspace_id = $1", workspace.id)
        assert len(rows) == 2

    def test_the_library_is_loaded_by_those_who_have_a_bucket(
        self, installation: Installation, sqlite_installation: Installation
    ) -> None:
        def libraries(server: RunningServer) -> set[str]:
            maps = psutil.Process(server.pid).memory_maps()
            return {name for each in maps for name in ("_obstore",) if name in each.path}

        assert libraries(installation.server) == {"_obstore"}
        assert libraries(sqlite_installation.server) == set()
