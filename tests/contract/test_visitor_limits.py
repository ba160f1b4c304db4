"""What one visitor may use up is counted by what they have proven: whoever merely says the same e-mail has the same
contact, and takes nothing from another."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.front_door import Installation, Workspace, beside
from tests.fixtures.native import Client
from tests.fixtures.server import RunningServer
from tests.fixtures.uploads import UPLOAD, upload
from tests.fixtures.widget import Device, anonymous, claiming, claims_of, new_uuid, unverified_token, verified
from vestibule.app import make_runtime
from vestibule.clock import SECOND_MS, now_ms
from vestibule.conversations.files import Kept, keep_file
from vestibule.conversations.visitor import Visitor
from vestibule.errors import BodyTooLarge
from vestibule.model.claims import Method
from vestibule.runtime import Runtime

FILES = 5_000
MESSAGES = 3
EMAIL = "ada@example.com"


@pytest.fixture(scope="module")
def narrow(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server beside the installation's, with limits that a test reaches."""
    with beside(
        installation,
        tmp_path_factory.mktemp("narrow"),
        max_contact_file_bytes=f"{FILES}",
        rate_limit_messages=f"{MESSAGES}",
    ) as server:
        yield server


class TestFiles:
    def test_are_counted_by_device_where_nothing_is_proven(self, workspace: Workspace, narrow: RunningServer) -> None:
        def uploads(device: Device, count: int) -> list[int]:
            answers = [upload(device, samples.png_of(2_048), path=narrow.base_url + UPLOAD) for _ in range(count)]
            return [answer.status_code for answer in answers]

        first, second = claiming(workspace, EMAIL), claiming(workspace, EMAIL)
        assert first.contact_id == second.contact_id
        assert uploads(first, 3) == [200, 200, 413]
        assert uploads(second, 3) == [200, 200, 413]
        assert uploads(first, 1) == [413]

    def test_are_counted_by_contact_where_it_is_proven(self, workspace: Workspace, narrow: RunningServer) -> None:
        statuses = [
            upload(verified(workspace), samples.png_of(2_048), path=narrow.base_url + UPLOAD).status_code
            for _ in range(3)
        ]
        assert statuses == [200, 200, 413]


def test_messages_are_counted_by_device_where_nothing_is_proven(workspace: Workspace, narrow: RunningServer) -> None:
    def sends(device: Device) -> list[int]:
        return [device.send(chat).status_code for chat in [device.start()] for _ in range(MESSAGES + 1)]

    def on_it(device: Device) -> Device:
        return Device(workspace, device.token, device.scope, base_url=narrow.base_url)

    bounded = [201] * MESSAGES + [429]
    assert sends(on_it(claiming(workspace, EMAIL))) == bounded
    assert sends(on_it(claiming(workspace, EMAIL))) == bounded
    assert sends(on_it(verified(workspace, EMAIL))) == bounded
    assert sends(on_it(verified(workspace, EMAIL))) == [429] * (MESSAGES + 1)


def test_chats_and_checkpoints_are_counted_each_by_itself(workspace: Workspace, narrow: RunningServer) -> None:
    """What is stored for somebody of whom nothing is known, at no cost of theirs."""
    bounded = [True] * MESSAGES + [False]
    device = Device(workspace, anonymous(workspace).token, new_uuid(), base_url=narrow.base_url)
    begun = [device.create_session(external_id=device.scope) for _ in range(MESSAGES + 1)]
    assert [answer.status_code for answer in begun] == [201 if good else 429 for good in bounded]
    set_ = [device.do("checkpoint", begun[0].json()["id"]).status_code for _ in range(MESSAGES + 1)]
    assert set_ == [200 if good else 429 for good in bounded]
    client = Client(workspace, unverified_token(workspace), base_url=narrow.base_url)
    assert [client.create("s").status_code for _ in range(MESSAGES + 1)] == [201 if good else 429 for good in bounded]


class TestFilesAtOnce:
    @pytest.fixture
    def runtime(self, installation: Installation, tmp_path: Path) -> Iterator[Runtime]:
        """What the installation's server has, in this process, but for its files, of which it keeps little."""
        settings = dataclasses.replace(
            installation.desk.settings, files_directory=str(tmp_path), max_contact_file_bytes=len(samples.PDF) + 1
        )
        made = installation.run(make_runtime(settings, installation.desk.sealer))
        yield made
        installation.run(made.store.close())

    def test_do_not_pass_the_limit_together(self, runtime: Runtime, workspace: Workspace, tmp_path: Path) -> None:
        """Each was in time to find room; the one that is stored first has it."""
        claims = claims_of(anonymous(workspace).token or "")
        author = Visitor(
            workspace.id, claims["sub"], verified=False, token_id=claims["jti"], method=Method.UNVERIFIED,
            auth_time=now_ms() // SECOND_MS,
        )  # fmt: skip

        async def all_at_once() -> list[Any]:
            uploads = (
                keep_file(runtime, author, name="a.pdf", size=len(samples.PDF), content=io.BytesIO(samples.PDF))
                for _ in range(10)
            )
            return await asyncio.gather(*uploads, return_exceptions=True)

        found = workspace.installation.run(all_at_once())
        [kept] = [each for each in found if isinstance(each, Kept)]
        assert sum(isinstance(each, BodyTooLarge) for each in found) == 9
        rows = workspace.installation.rows("SELECT id FROM files WHERE workspace_id = $1", workspace.id)
        assert rows == [(kept.file.id,)]
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [kept.file.id]
