"""Which kinds of files `/upload` takes, told by their content, and how each is served (contracts/opencx.md 4.7)."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.fixtures import sample_files as samples
from tests.fixtures.fake_bot import FakeBot, says
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.native import Client
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.uploads import get, stored, upload
from tests.fixtures.widget import Device, anonymous, claiming, verified

EMAIL = "ada@example.com"
INLINE = ("image/", "audio/", "video/")


def assert_served_as_what_it_is(workspace: Workspace, link: str, kind: str) -> None:
    content, _, media_type = samples.ACCEPTED[kind]
    served = get(workspace, link)
    assert served.status_code == 200
    assert served.content == content
    assert served.headers["content-type"].split(";")[0] == media_type
    assert served.headers["x-content-type-options"] == "nosniff"
    shown = "inline" if media_type.startswith(INLINE) else "attachment"
    assert served.headers["content-disposition"].startswith(f'{shown}; filename="')


class TestAFile:
    @pytest.mark.parametrize("kind", samples.OF_THE_WIDGET)
    def test_that_the_widget_sends_is_served_as_what_it_is(self, device: Device, kind: str) -> None:
        content, name, _ = samples.ACCEPTED[kind]
        # What the client says of the type counts for nothing.
        answer = upload(device, content, name, kind="text/html")
        assert answer.status_code == 200, answer.text
        assert_served_as_what_it_is(device.workspace, answer.json()["fileUrl"], kind)

    @pytest.mark.parametrize("kind", sorted(samples.ACCEPTED.keys() - set(samples.OF_THE_WIDGET)))
    def test_that_it_does_not_send_comes_by_our_own_wire_only(self, device: Device, kind: str) -> None:
        """A pasted one passes the widget unchecked."""
        content, name, media_type = samples.ACCEPTED[kind]
        before = stored(device.workspace)
        for called in (name, "photo.png", "table.xlsx"):
            answer = upload(device, content, called)
            refused(answer, 415, "unsupported_file_type", names="send PNG, JPEG, GIF, WebP, PDF, CSV, XLS or XLSX")
        assert stored(device.workspace) == before

        kept = Client(device.workspace, device.token).upload(content, name)
        assert kept.status_code == 201, kept.text
        link = kept.json()["url"]
        assert_served_as_what_it_is(device.workspace, link, kind)
        said, session = {"id": "a", "name": "photo.png", "size": 1, "type": "image/png", "url": link}, device.start()
        device.say(session, "", attachments=[said])
        assert device.history(session)[0]["attachments"][0]["type"] == media_type


def send_text(device: Device) -> httpx.Response:
    content, name, _ = samples.ACCEPTED["text"]
    return upload(device, content, name)


def assert_refused(device: Device) -> None:
    refused(send_text(device), 415, "unsupported_file_type", names="plain text once people answer")


class TestText:
    @pytest.mark.parametrize("who", [verified, anonymous])
    def test_is_taken_while_people_answer(
        self, shop_front: Workspace, bot: FakeBot, who: Callable[[Workspace], Device]
    ) -> None:
        answered_by_bot(shop_front, bot)
        device = who(shop_front)
        session = device.start()
        device.say(session)
        assert_refused(device)
        bot.reply = says(handoff=True)
        device.say(session, "a person, please")
        assert send_text(device).status_code == 200
        assert device.resolve(session).status_code == 200
        assert_refused(device)

    def test_is_taken_for_a_chat_that_the_token_may_see_and_for_no_other(self, workspace: Workspace) -> None:
        """Without a responder people answer from the beginning."""
        device = claiming(workspace, EMAIL)
        device.start()
        assert send_text(device).status_code == 200
        for other in (claiming(workspace, EMAIL), verified(workspace, EMAIL), anonymous(workspace)):
            assert_refused(other)
        reloaded = claiming(workspace, EMAIL, scope=device.scope)
        assert len(reloaded.listed()) == 1
        assert send_text(reloaded).status_code == 200

        verified(workspace, EMAIL).start()
        assert send_text(verified(workspace, EMAIL)).status_code == 200, "a person's other device"
        assert_refused(claiming(workspace, EMAIL))
