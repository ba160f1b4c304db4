"""The page that speaks the OpenCX widget API call by call, in a real Chromium, where the stock widget does more than
talk: files (contracts/opencx.md 4.7), values for actions, modes with their checkpoints (4.9), and what section 5 has
besides that changes a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.fixtures import sample_files as samples
from tests.fixtures.contract_page import Devices, Shop, asking_often, served
from tests.fixtures.fake_bot import FakeBot, says
from tests.fixtures.fake_model import FakeModel, call, say
from tests.fixtures.fake_shop import FakeShop
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.responding import answered_by_bot, answered_by_model
from tests.fixtures.trading import EXTRACTED, UPDATE, declare
from tests.fixtures.uploads import stored
from tests.fixtures.widget import PREFIX, Device, bot_token
from vestibule.model.responder import Mode

pytestmark = pytest.mark.slow

EMAIL = "ada@example.com"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with Shop.opened() as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Installation]:
    with served(tmp_path_factory.mktemp("widget"), secret_key) as made:
        yield made


@pytest.fixture
def workspace(api: Installation) -> Workspace:
    return asking_often(api, Mode("m-1", "Sales", "shop-window"))


@pytest.fixture
def devices(chromium: Browser, shop: Shop, workspace: Workspace, tmp_path: Path) -> Iterator[Devices]:
    made = Devices(chromium, shop, workspace)
    yield made
    made.close(tmp_path)


class TestAFile:
    @pytest.mark.parametrize("slash", ["", "/"], ids=["no slash", "slash"])
    def test_goes_up_as_the_stock_widget_sends_it_and_is_shown_on_the_second_device(
        self, devices: Devices, workspace: Workspace, slash: str
    ) -> None:
        """The slash at the end of `apiUrl` is dropped for all calls but this one (contract, section 1)."""
        content = samples.png(b"a red shoe")
        token = workspace.sign_in(EMAIL)[0]
        base_url = workspace.installation.base_url
        first = devices.visit(user={"token": token}, apiUrl=base_url + slash)
        first.starts_empty()
        asked = first.preflights()

        kept = first.attach("shoe.png", "image/png", content)

        assert kept.url == f"{base_url}{slash}{PREFIX}/upload"
        assert asked[kept.url] == "authorization,x-bot-token"
        assert kept.request.resource_type == "xhr"
        headers = kept.request.all_headers()
        assert headers["content-type"].startswith("multipart/form-data; boundary=")
        assert (headers["authorization"], headers["x-bot-token"]) == (f"Bearer {token}", bot_token(workspace))
        link = kept.json()["fileUrl"]
        session = first.say("this one")
        [attached] = first.sent[-1]["attachments"]
        assert UUID.fullmatch(attached["id"])
        assert attached == {
            "id": attached["id"],
            "name": "shoe.png",
            "size": len(content),
            "type": "image/png",
            "url": link,
        }

        second = devices.visit(user={"token": token})
        with second.page.expect_response(lambda response: response.url == link) as shown:
            second.open(session)
        assert shown.value.body() == content
        # As an element asks, which has no token: what opens the file is its address.
        assert not {"authorization", "x-bot-token"} & shown.value.request.all_headers().keys()
        second.sees(("user", "this one"))
        assert [row["attachments"] for row in second.state("rows") if row["attachments"]] == [[attached]]
        picture = second.page.locator("#chat img")
        expect(picture).to_have_attribute("alt", "shoe.png")
        assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1

    def test_begins_a_chat_without_a_word_and_comes_back_byte_for_byte(self, devices: Devices) -> None:
        visit = devices.visit()
        visit.starts_empty()
        visit.attach("invoice.pdf", "application/pdf", samples.PDF)
        session = visit.say("")
        assert visit.sent[-1]["content"] == ""

        visit.load()
        expect(visit.page.locator(f".card[data-id='{session}']")).to_have_text("invoice.pdf")
        visit.open(session)
        with visit.page.expect_download() as saved:
            visit.page.get_by_role("link", name="invoice.pdf").click()
        assert saved.value.suggested_filename == "invoice.pdf"
        assert saved.value.path().read_bytes() == samples.PDF
        expect(visit.page.locator(".bubble")).to_have_count(0)

    def test_goes_with_one_message_and_with_none_once_it_was_taken_away(self, devices: Devices) -> None:
        visit = devices.visit()
        visit.starts_empty()
        visit.attach("one.pdf", "application/pdf", samples.PDF)
        visit.attach("two.png", "image/png", samples.png())
        visit.page.get_by_role("button", name="Remove one.pdf").click()
        visit.say("the second one")
        visit.say("nothing more")
        names = [[attached["name"] for attached in body["attachments"]] for body in visit.sent]
        assert names == [["two.png"], []]

    def test_of_plain_text_is_taken_once_people_answer(self, devices: Devices) -> None:
        note = ("note.txt", "text/plain", b"one spade\n")
        visit = devices.visit()
        visit.starts_empty()
        visit.choose(*note)
        expect(visit.page.locator(".file.bad")).to_have_text("note.txt (not accepted)")
        visit.say("hello")
        # There is no responder here.
        visit.page.wait_for_function("window.widget.session.isHandedOff")
        visit.attach(*note)
        visit.say("as promised")
        expect(visit.page.locator("#chat a.attachment")).to_have_text("note.txt (10 bytes)")
        assert [len(body["attachments"]) for body in visit.sent] == [0, 1]

    def test_that_is_pasted_passes_the_page_unchecked_and_is_refused_by_the_server(
        self, chromium: Browser, shop: Shop, workspace: Workspace
    ) -> None:
        devices = Devices(chromium, shop, workspace)
        visit = devices.visit()
        visit.starts_empty()
        program = ("evil.exe", "application/x-msdownload", samples.REFUSED["a program"])
        visit.choose(*program)
        expect(visit.page.locator(".file.bad")).to_have_text("evil.exe (not accepted)")
        assert ("POST", "/upload") not in visit.calls

        assert visit.paste(*program).status == 415
        # A refusal lets the page read it, too: else this were a network error without a status.
        expect(visit.page.locator(".file.bad")).to_have_text(["evil.exe (not accepted)", "evil.exe (415)"])
        visit.say("hello")
        assert visit.sent[-1]["attachments"] == []
        assert stored(workspace) == ([], [])
        # Chromium says so itself on its console.
        assert all("415" in complaint for complaint in visit.complaints)
        visit.page.context.close()


def test_what_the_page_gives_for_actions_goes_with_every_message_and_reaches_the_called_api(
    devices: Devices, workspace: Workspace, tmp_path: Path
) -> None:
    """Options `headers`, `queryParams` and `bodyProperties`: over what the model says, and no headers of our calls."""
    body: dict[str, Any] = {"note": "page", "deep": {"list": [1, None, "x"]}}
    turn = [call("update_order", EXTRACTED), say("It is changed.")]
    with FakeModel(*turn, *turn) as model, FakeShop() as orders:
        answered_by_model(workspace, model)
        declare(workspace, tmp_path, UPDATE.format(shop=orders.url, more=""))
        visit = devices.visit(headers={"X-Tenant": "page"}, queryParams={"account": "page"}, bodyProperties=body)
        for text in ("change it", "and again"):
            visit.say(text)
        visit.sees(("user", "change it"), ("ai", "It is changed."), ("user", "and again"), ("ai", "It is changed."))
        for sent in visit.sent:
            assert sent["headers"] == {"X-Tenant": "page"}
            assert sent["query_params"] == {"account": "page"}
            assert sent["body_properties"] == body
        called = [(each.path, each.query, each.headers["x-tenant"], each.json) for each in orders.received]
        assert called == [("/orders/model", [("account", "page")], "page", body)] * 2
        assert not any("x-tenant" in request.headers for request in visit.requests)


def test_a_checkpoint_is_kept_in_the_session_and_comes_back_on_the_second_device(
    devices: Devices, workspace: Workspace
) -> None:
    token = workspace.sign_in(EMAIL)[0]
    with FakeBot() as bot:
        answered_by_bot(workspace, bot)
        bot.reply = says(text="Here it is.", mode="m-1")
        first = devices.visit(user={"token": token}, modesComponents=["SHOP-window"])
        session = first.say("show me")
        canvas = first.page.locator("#canvas")
        expect(canvas).to_contain_text("Sales")
        for step in (1, 2):
            payload = {"step": step, "basket": [{"id": "red", "count": step, "gift": None}]}
            with first.page.expect_response(lambda response: response.url.endswith("/checkpoint")) as kept:
                first.page.get_by_role("button", name="Next step").click()
            assert (kept.value.status, kept.value.json()) == (200, {"success": True})
            assert kept.value.request.post_data_json == {"session_id": session, "payload": payload}
            # By polling: the second step is made of what came back of the first.
            expect(canvas).to_contain_text(f'"step":{step}')
            assert first.state("session.latestStateCheckpointPayload") == payload

        second = devices.visit(user={"token": token}, modesComponents=["sales"])
        second.open(session)
        expect(second.page.locator("#canvas")).to_contain_text('"step":2')
        assert second.state("session.latestStateCheckpointPayload") == payload
        owner = Device(workspace, token)
        checkpoints = [
            row["systemMessagePayload"] for row in owner.history(session) if row["type"] == "state_checkpoint"
        ]
        assert [each["payload"]["step"] for each in checkpoints] == [1, 2]

        # A host without a component for it shows nothing of the mode.
        third = devices.visit(user={"token": token})
        third.open(session)
        third.sees(("user", "show me"), ("ai", "Here it is."))
        expect(third.page.locator("#canvas")).to_be_hidden()

        bot.reply = says(text="The red one, then.")
        first.page.get_by_role("button", name="Leave").click()
        first.sees(("user", "show me"), ("ai", "Here it is."), ("user", "I have chosen."), ("ai", "The red one, then."))
        assert first.sent[-1]["exit_mode_prompt"] == bot.asked[-1]["exit_mode_prompt"] == "They chose the red one."
        for device in (first, second):
            expect(device.page.locator("#canvas")).to_be_hidden()


def test_what_else_the_form_asks_is_told_with_the_first_message_only(devices: Devices) -> None:
    """`extraDataCollectionFields`: and so the form comes again, whatever token is stored (contract, section 3)."""
    visit = devices.visit(collectUserData=True, extraDataCollectionFields=["Order", "Coupon"])
    visit.page.get_by_label("Order").fill("4711")
    visit.introduce(EMAIL)
    visit.starts_empty()
    [introduced] = [request for request in visit.requests if request.method == "POST"]
    assert introduced.post_data_json == {"email": EMAIL, "non_verified_name": "Ada"}
    session = visit.say("hello")
    visit.say("again")
    assert [body["content"] for body in visit.sent] == ["Order: 4711\nhello", "again"]

    visit.load()
    expect(visit.page.locator("#welcome")).to_be_visible()
    visit.introduce(EMAIL)
    assert visit.cards == [session]
    visit.open(session)
    visit.sees(("user", "Order: 4711\nhello"), ("user", "again"))


def test_a_page_with_the_chat_alone_goes_on_in_the_open_one_and_begins_another_after_it(
    devices: Devices, workspace: Workspace
) -> None:
    """`router.chatScreenOnly`: the first of the list that is open, which need not be the first of the list."""
    token = workspace.sign_in(EMAIL)[0]
    owner = Device(workspace, token)
    still_open, over = owner.start(), owner.start()
    owner.say(still_open, "about the red one")
    owner.say(over, "about the blue one")
    assert owner.resolve(over).status_code == 200
    assert owner.listed() == [over, still_open]

    visit = devices.visit(user={"token": token}, router={"chatScreenOnly": True})
    visit.sees(("user", "about the red one"))
    assert visit.say("and its price") == still_open
    assert ("POST", "/create-session") not in visit.calls

    assert owner.resolve(still_open).status_code == 200
    visit.load()
    expect(visit.page.locator("#composer")).to_be_visible()
    expect(visit.page.locator(".bubble")).to_have_count(0)
    assert visit.say("something else") not in {still_open, over}
