"""How models and their endpoints ask for actions, each in ways of its own, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures.fake_model import call, call_all, pieces, say
from tests.fixtures.loopback import json_answer
from tests.fixtures.trading import EXTRACTED, UPDATE, Trade, get, talk
from tests.fixtures.widget import anonymous
from vestibule.responder.runner import HANDOFF_NOTICE


def part(call_id: str, name: str | None, arguments: str) -> dict[str, Any]:
    """A delta with a part of a call, numbered 0 as all of them."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]}


class TestAModelThat:
    def test_tries_again_what_was_not_answered_in_time_means_the_same_call(self, trade: Trade) -> None:
        """The API may have carried it out, and tells it by its key."""
        trade.declare(UPDATE.format(shop=trade.shop.url, more="timeout_ms = 300"))
        answers = iter([json_answer({}, wait=30.0), json_answer({"state": "shipped"})])
        trade.shop.bad_days["/orders/model"] = lambda: next(answers)
        trade.model.script = [call("update_order", EXTRACTED), call("update_order", EXTRACTED), say("It is shipped.")]
        talk(anonymous(trade.workspace))
        assert trade.model.results[0]["error"] == "upstream_timeout"
        [first, second] = [request.headers["idempotency-key"] for request in trade.shop.received]
        assert first == second

    def test_runs_out_of_calls_has_not_answered_with_what_it_said_beside_them(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        trade.model.script = [call("look", text="Let me check.") for _ in range(7)]
        _, body = talk(anonymous(trade.workspace))
        assert len(trade.shop.received) == 5
        assert body["sessionIsHandedOff"] is True
        assert body["autopilotResponse"]["value"]["content"] == HANDOFF_NOTICE

    def test_wrote_no_json_is_not_shown_it_again(self, trade: Trade) -> None:
        """Its server would answer 400 to it, and the conversation would not go on."""
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        written: list[tuple[str, object]] = [("update_order", text) for text in ("{not json", "", "[1]")]
        trade.model.script = [call_all([*written, ("update_order", EXTRACTED)]), say("ok")]
        talk(anonymous(trade.workspace))
        [asked] = [line["tool_calls"] for line in trade.model.asked[1]["messages"] if line.get("tool_calls")]
        assert [json.loads(each["function"]["arguments"]) for each in asked] == [{}, {}, {}, EXTRACTED]


class TestAnEndpointThat:
    def test_numbers_every_call_0_has_all_of_them_made(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1") + get(trade.shop, "/orders/2", name="peek"))
        both = [part("call_1", "look", "{}"), part("call_2", "peek", "{}")]
        trade.model.script = [pieces(*both), say("Both are shipped.")]
        talk(anonymous(trade.workspace))
        assert [request.path for request in trade.shop.received] == ["/orders/1", "/orders/2"]
        told = [line["tool_call_id"] for line in trade.model.asked[1]["messages"] if line["role"] == "tool"]
        assert told == ["call_1", "call_2"]

    def test_gives_each_part_of_a_call_another_id_has_it_made_once(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        written = json.dumps(EXTRACTED)
        parts = [
            part("call_1", "update_order", ""),
            part("call_2", None, written[:9]),
            part("call_3", None, written[9:]),
        ]
        trade.model.script = [pieces(*parts), say("It is shipped.")]
        talk(anonymous(trade.workspace))
        assert [request.path for request in trade.shop.received] == ["/orders/model"]

    def test_refuses_references_is_sent_none(self, trade: Trade) -> None:
        """It would refuse the whole request, and with it each chat of the workspace."""
        parameter = """
  [[actions.parameters]]
  location = "query"
  name = "id"
  schema = { "$ref" = "#/$defs/id", "$defs" = { id = { type = "string", maxLength = 8 } } }
"""
        trade.declare(get(trade.shop, "/orders/1") + parameter + get(trade.shop, "/orders/2", name="peek"))
        trade.model.script = [call("look", {"id": "123456789"}), call("look", {"id": "7"}), say("It is shipped.")]
        talk(anonymous(trade.workspace))
        tools = trade.model.tools()
        assert {"look", "peek"} < tools.keys()
        assert "$ref" not in json.dumps(tools)
        assert tools["look"]["parameters"]["properties"] == {"id": {"type": "string", "maxLength": 8}}
        # Checked by the schema as it was declared.
        assert [result["error"] for result in trade.model.results] == ["invalid_arguments", None]
        assert trade.shop.last.query == [("id", "7")]
