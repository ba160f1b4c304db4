"""Modes of the widget (contracts/opencx.md 4.9): a responder opens one and leaves it, and the page says so too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.fake_bot import FakeBot, says
from tests.fixtures.fake_model import FakeModel, call, say
from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import answered_by_bot, answered_by_model, logged
from tests.fixtures.trading import Trade, get
from tests.fixtures.widget import Device, configure, verified
from vestibule.errors import InvalidField
from vestibule.model.action import ActionDeclaration
from vestibule.model.responder import Mode, WidgetSettings
from vestibule.responder.action_rules import check_declaration
from vestibule.responder.runner import HANDOFF_NOTICE

SALES = {"id": "m-1", "name": "Sales", "slug": "shop-window"}


@pytest.fixture
def device(shop_front: Workspace) -> Device:
    configure(shop_front, WidgetSettings(modes=(Mode(**SALES), Mode("m-2", "Support"))))
    return verified(shop_front)


def sent(device: Device, session_id: str, **members: Any) -> dict[str, Any]:
    answer = device.send(session_id, "show me", **members)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert body["session"]["modeId"] == device.poll(session_id).json()["session"]["modeId"]
    return body


class TestABot:
    @pytest.mark.parametrize("named", ["m-1", "sales", "SHOP-window"])
    def test_opens_one_by_id_name_or_slug(self, device: Device, bot: FakeBot, named: str) -> None:
        answered_by_bot(device.workspace, bot)
        session_id = device.start()
        bot.reply = says(text="Here it is.", mode=named)
        body = sent(device, session_id)
        assert body["session"]["modeId"] == "m-1"
        assert body["autopilotResponse"]["mode"] == SALES
        assert "didExitMode" not in body["autopilotResponse"]

        bot.reply = says(text="Take your time.")
        again = sent(device, session_id)
        assert again["session"]["modeId"] == "m-1"
        assert "mode" not in again["autopilotResponse"]
        assert [asked["conversation"]["mode"] for asked in bot.asked] == [None, "m-1"]

        bot.reply = says(text="Done.", exit_mode=True)
        left = sent(device, session_id)
        assert left["session"]["modeId"] is None
        assert left["autopilotResponse"]["didExitMode"] is True

    def test_may_open_one_without_a_word(self, device: Device, bot: FakeBot) -> None:
        answered_by_bot(device.workspace, bot)
        session_id = device.start()
        bot.reply = says(mode="Support")
        body = sent(device, session_id)
        assert body["session"]["modeId"] == "m-2"
        assert "autopilotResponse" not in body
        # The assignee is nobody by now: leaving it without a word is no less.
        bot.reply = says(exit_mode=True)
        assert sent(device, session_id)["session"]["modeId"] is None

    def test_that_names_one_that_there_is_not_has_failed(self, device: Device, bot: FakeBot) -> None:
        answered_by_bot(device.workspace, bot)
        session_id = device.start()
        bot.reply = says(text="Here it is.", mode="m-3")
        body = sent(device, session_id)
        assert (body["session"]["modeId"], body["session"]["isHandedOff"]) == (None, True)
        logged(device.workspace, "a mode that there is not")

    def test_is_told_when_the_page_leaves_it(self, device: Device, bot: FakeBot) -> None:
        answered_by_bot(device.workspace, bot)
        session_id = device.start()
        bot.reply = says(text="Here it is.", mode="m-1")
        sent(device, session_id)
        bot.reply = says(text="Welcome back.")
        body = sent(device, session_id, exit_mode_prompt="They chose the red one.")
        assert body["session"]["modeId"] is None
        assert bot.asked[-1]["exit_mode_prompt"] == "They chose the red one."
        assert bot.asked[-1]["conversation"]["mode"] is None


class TestAModel:
    def test_is_offered_what_there_is_and_opens_it(self, device: Device, model: FakeModel) -> None:
        answered_by_model(device.workspace, model)
        session_id = device.start()
        model.script = [call("enter_mode", {"mode": "m-1"}), say("Here it is.")]
        body = sent(device, session_id)
        assert model.tools()["enter_mode"]["parameters"]["properties"]["mode"]["enum"] == ["m-1", "m-2"]
        assert "leave_mode" not in model.tools()
        assert (body["session"]["modeId"], body["session"]["isHandedOff"]) == ("m-1", False)
        assert body["autopilotResponse"]["mode"] == SALES

        model.script = [call("leave_mode"), say("Closed.")]
        left = sent(device, session_id)
        assert model.tools(2)["enter_mode"]["parameters"]["properties"]["mode"]["enum"] == ["m-2"]
        assert left["session"]["modeId"] is None
        assert left["autopilotResponse"]["didExitMode"] is True

    def test_may_leave_it_at_that(self, device: Device, model: FakeModel) -> None:
        answered_by_model(device.workspace, model)
        session_id = device.start()
        model.script = [call("enter_mode", {"mode": "m-1"}), say("")]
        body = sent(device, session_id)
        assert (body["session"]["modeId"], body["session"]["isHandedOff"]) == ("m-1", False)
        assert "autopilotResponse" not in body

        model.script = [call("enter_mode", {"mode": "m-2"}, text="Here it is."), say("")]
        body = sent(device, session_id)
        assert (body["session"]["modeId"], body["session"]["isHandedOff"]) == ("m-2", False)
        assert body["autopilotResponse"]["value"]["content"] == "Here it is."

    @pytest.mark.parametrize("calls", [["look"], ["enter_mode"] * 5], ids=["an action", "no end of calls"])
    def test_that_owes_an_answer_besides_is_helped_out(self, device: Device, trade: Trade, calls: list[str]) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        session_id = device.start()
        mode = {"mode": "m-1"}
        further = [call(name, mode if name == "enter_mode" else {}) for name in calls]
        trade.model.script = [call("enter_mode", mode), *further, say("")]
        body = sent(device, session_id)
        assert (body["session"]["modeId"], body["session"]["isHandedOff"]) == ("m-1", True)
        assert body["autopilotResponse"]["value"]["content"] == HANDOFF_NOTICE

    def test_cannot_open_what_there_is_not(self, device: Device, model: FakeModel) -> None:
        answered_by_model(device.workspace, model)
        session_id = device.start()
        model.script = [call("enter_mode", {"mode": "m-3"}), say("I cannot.")]
        body = sent(device, session_id)
        assert model.results[0]["error"] == "unknown_mode"
        assert body["session"]["modeId"] is None

    def test_without_modes_has_no_tool_for_them(self, shop_front: Workspace, model: FakeModel) -> None:
        answered_by_model(shop_front, model)
        visitor = verified(shop_front)
        sent(visitor, visitor.start())
        assert model.tools().keys() == {"hand_off_to_a_person"}


@pytest.mark.parametrize("name", ["hand_off_to_a_person", "enter_mode", "leave_mode"])
def test_no_action_is_called_like_a_tool_of_ours(name: str) -> None:
    declaration = ActionDeclaration(name=name, method="GET", url_template="https://api.example.com/x")
    with pytest.raises(InvalidField, match="name"):
        check_declaration(declaration)
