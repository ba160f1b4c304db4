"""Actions through the whole product: declared by an operator, wanted by a model, received by the customer's API."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.fixtures.fake_bot import FakeBot, says
from tests.fixtures.fake_model import FakeModel, call, call_all, say
from tests.fixtures.fake_shop import HEADER, FakeShop, checked_assertion
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.responding import answered_by_bot, answered_by_model, cli, cli_refuses, logged
from tests.fixtures.widget import Device, anonymous, new_uuid, verified
from vestibule.administration import actions
from vestibule.administration.action_file import read_action_file
from vestibule.errors import InvalidDeclaration, InvalidField

UPDATE = """
[[actions]]
name = "update_order"
method = "POST"
url_template = "{shop}/orders/{{order_id}}"
description = "Changes an order."
required_trust = "unverified"
{more}
  [[actions.parameters]]
  location = "path"
  name = "order_id"
  schema = {{ type = "string" }}
  [[actions.parameters]]
  location = "query"
  name = "account"
  schema = {{ type = "string" }}
  [[actions.parameters]]
  location = "header"
  name = "X-Tenant"
  schema = {{ type = "string" }}
  [[actions.parameters]]
  location = "body"
  name = "note"
  schema = {{ type = "string", maxLength = 40 }}
"""
EXTRACTED = {"order_id": "model", "account": "model", "X-Tenant": "model", "note": "model"}


@dataclass(frozen=True)
class Trade:
    """A workspace whose visitors a model answers, and the customer's API."""

    workspace: Workspace
    model: FakeModel
    shop: FakeShop
    directory: Path

    def declare(self, text: str, *, prune: bool = False) -> actions.Applied:
        return declare(self.workspace, self.directory, text, prune=prune)


@pytest.fixture
def trade(shop_front: Workspace, model: FakeModel, shop: FakeShop, tmp_path: Path) -> Trade:
    answered_by_model(shop_front, model)
    return Trade(shop_front, model, shop, tmp_path)


def declare(workspace: Workspace, directory: Path, text: str, *, prune: bool = False) -> actions.Applied:
    """What `vestibule action apply` does, without starting a process for it."""
    path = directory / "actions.toml"
    path.write_text(text, encoding="utf-8")
    declared = read_action_file(path, {}, allow_http=True)
    desk = workspace.installation.desk
    return workspace.installation.run(actions.apply(desk, workspace.id, declared, prune=prune))


def get(shop: FakeShop, path: str, *, name: str = "look", more: str = "") -> str:
    """The declaration of a plain GET."""
    return f"""
[[actions]]
name = "{name}"
method = "GET"
url_template = "{shop.url}{path}"
required_trust = "unverified"
{more}
"""


def talk(device: Device, content: str = "please", **members: Any) -> tuple[str, dict[str, Any]]:
    """Sends into a new chat; its id, and the answer that came."""
    session_id = device.start()
    answer = device.send(session_id, content, **members)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return session_id, body


def action_calls(device: Device, session_id: str) -> list[dict[str, Any]]:
    return [action for row in device.history(session_id) for action in row["actionCalls"] or ()]


class TestCall:
    def test_reaches_the_shop_and_its_answer_the_model_and_the_widget(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED), say("It is shipped.")]
        device = anonymous(trade.workspace)
        session_id, body = talk(device)
        assert body["autopilotResponse"]["value"]["content"] == "It is shipped."
        assert (trade.shop.last.method, trade.shop.last.path, trade.shop.last.query) == (
            "POST",
            "/orders/model",
            [("account", "model")],
        )
        assert (trade.shop.last.json, trade.shop.last.headers["x-tenant"]) == ({"note": "model"}, "model")
        told = {"path": "/orders/model", "state": "shipped"}
        assert json.loads(trade.model.results[0]["text"]) == told
        [shown] = action_calls(device, session_id)
        assert (shown["actionName"], shown["args"]) == ("update_order", EXTRACTED)
        # A host's component finds the parsed body (contracts/opencx.md 4.6).
        assert json.loads(shown["result"]["responseBodyText"]) == told
        logged(trade.workspace, f"action update_order called by the model in workspace {trade.workspace.id}")

    def test_that_changes_something_has_a_key_of_its_own(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more="") + get(trade.shop, "/orders/1"))
        trade.model.script = [
            call_all([("update_order", EXTRACTED), ("update_order", EXTRACTED), ("look", {})]),
            say("Done."),
            call("update_order", EXTRACTED),
            say("Done again."),
        ]
        device = anonymous(trade.workspace)
        session_id, _ = talk(device)
        device.send(session_id, "again")
        keys = [request.headers.get("idempotency-key") for request in trade.shop.received]
        # A GET has none; the same call twice, and for another message, is meant each time.
        assert keys[2] is None
        assert len({keys[0], keys[1], keys[3]} - {None}) == 3

    def test_is_made_by_the_names_that_the_model_was_given(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [
            call_all([("nonsense", {}), ("update_order", {"note": 5}), ("update_order", "{not json")])
        ]
        talk(anonymous(trade.workspace))
        assert [result["error"] for result in trade.model.results] == [
            "unknown_action",
            "invalid_arguments",
            "invalid_arguments",
        ]
        assert trade.shop.received == []

    def test_cannot_be_made_without_end(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        trade.model.script = [call_all([("look", {})] * 20) for _ in range(20)]
        session_id, body = talk(device := anonymous(trade.workspace))
        assert len(trade.shop.received) == 5
        assert body["sessionIsHandedOff"] is True
        assert len(action_calls(device, session_id)) == 5

    @pytest.mark.parametrize(
        ("path", "code", "told"),
        [
            ("/slow", "upstream_timeout", "300 ms"),
            ("/redirect", "upstream_redirect", "redirect"),
            ("/huge", "upstream_too_large", "too large"),
            ("/broken", None, "broken"),
        ],
    )
    def test_that_goes_wrong_is_told_to_the_model_and_the_log(
        self,
        trade: Trade,
        path: str,
        code: str | None,
        told: str,
    ) -> None:
        # Long enough to send 100 MB, were they read, but for the one that shall not be waited for.
        timeout = 300 if path == "/slow" else 5_000
        trade.declare(get(trade.shop, path, more=f"timeout_ms = {timeout}"))
        trade.model.script = [call("look"), say("That did not work.")]
        device = anonymous(trade.workspace)
        session_id, body = talk(device)
        assert body["autopilotResponse"]["value"]["content"] == "That did not work."
        assert device.session(session_id)["isHandedOff"] is False
        [result] = trade.model.results
        assert (result["error"], told in result["text"]) == (code, True)
        assert len(trade.shop.received) == 1
        logged(trade.workspace, f"for contact {device.contact_id} (unverified): {code or 500}")

    def test_of_a_private_address_is_refused(self, trade: Trade) -> None:
        text = get(trade.shop, "/x").replace(trade.shop.url, "https://10.0.0.1")
        with pytest.raises(InvalidField, match="may not be called"):
            trade.declare(text)
        # As a database that another release filled may have it: each call is checked as well.
        trade.declare(get(trade.shop, "/x") + get(trade.shop, "/orders/1", name="good"))
        sql = "UPDATE actions SET document = REPLACE(document, $1, $2) WHERE workspace_id = $3 AND name = 'look'"
        trade.workspace.installation.rows(sql, trade.shop.url, "https://10.0.0.1", trade.workspace.id)
        trade.model.script = [call("look"), call("good"), say("Done.")]
        talk(anonymous(trade.workspace))
        assert [result["error"] for result in trade.model.results] == ["upstream_forbidden", None]
        assert [request.path for request in trade.shop.received] == ["/orders/1"]


class TestPrecedence:
    """The seed: contact-level overrides replace the organization's parameters, and are replaced by those that are
    passed with a message; all of them replace what the model extracted."""

    @pytest.mark.parametrize("levels", list(itertools.product([False, True], repeat=3)), ids=str)
    def test_of_each_level_over_the_weaker_ones(
        self,
        trade: Trade,
        levels: tuple[bool, bool, bool],
    ) -> None:
        variables, contact, message = levels
        text = UPDATE.format(shop=trade.shop.url, more="")
        if variables:
            text += """
[variables]
path_params = { order_id = "variables" }
query_params = { account = "variables" }
headers = { x-tenant = "variables" }
body_params = { note = "variables" }
"""
        trade.declare(text)
        trade.model.script = [call("update_order", EXTRACTED), say("Done.")]
        overrides = {
            "path_params": {"order_id": "contact"},
            "query_params": {"account": "contact"},
            "headers": {"X-TENANT": "contact"},
            "body_params": {"note": "contact"},
        }
        device = verified(trade.workspace, http_action_overrides=overrides if contact else {})
        sent: dict[str, Any] = {
            "query_params": {"account": "message"},
            "headers": {"X-Tenant": "message"},
            "body_properties": {"note": "message"},
        }
        talk(device, **(sent if message else {}))
        strongest = "message" if message else "contact" if contact else "variables" if variables else "model"
        assert trade.shop.last.query == [("account", strongest)]
        assert trade.shop.last.headers["x-tenant"] == strongest
        assert trade.shop.last.json == {"note": strongest}
        # The message level has no path values (seed).
        in_path = "contact" if contact else "variables" if variables else "model"
        assert trade.shop.last.path == f"/orders/{in_path}"
        # What somebody stronger has settled, the model is not asked for.
        offered = set(trade.model.tools()["update_order"]["parameters"]["properties"])
        settled = {"account", "X-Tenant", "note"} if any(levels) else set()
        assert offered == EXTRACTED.keys() - settled - ({"order_id"} if variables or contact else set())

    def test_values_of_a_message_are_for_that_message_only(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        trade.model.script = [call("look"), say("One."), call("look"), say("Two.")]
        device = verified(trade.workspace)
        session_id = device.start()
        device.say(session_id, headers={"Authorization": "Bearer mine"})
        device.say(session_id)
        assert [request.headers.get("authorization") for request in trade.shop.received] == ["Bearer mine", None]

    def test_contact_values_are_not_for_who_claims_the_email(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1"))
        trade.workspace.sign_in("ada@example.com", http_action_overrides={"headers": {"Authorization": "Bearer ada"}})
        trade.model.script = [call("look")]
        answer = Device(trade.workspace, None).call("POST", "/contact/create-unverified", {"email": "ada@example.com"})
        talk(Device(trade.workspace, answer.json()["token"], new_uuid()))
        assert "authorization" not in trade.shop.last.headers


class TestLocks:
    def test_keep_the_page_from_replacing_what_the_contact_was_given(self, trade: Trade) -> None:
        locks = 'locked.message = ["account", "x_tenant"]'
        trade.declare(UPDATE.format(shop=trade.shop.url, more=locks))
        trade.model.script = [call("update_order", EXTRACTED)]
        overrides = {"query_params": {"account": "hers"}, "headers": {"X-Tenant": "hers"}}
        device = verified(trade.workspace, http_action_overrides=overrides)
        # In every spelling that a server may take for the same name.
        talk(
            device,
            query_params={"account": "his", "ACCOUNT": "his", "account[]": "his"},
            headers={"X-TENANT": "his", "X_Tenant": "his"},
            body_properties={"note": "free"},
        )
        assert trade.shop.last.query == [("account", "hers")]
        assert {name: value for name, value in trade.shop.last.headers.items() if "tenant" in name} == {
            "x-tenant": "hers"
        }
        assert trade.shop.last.json == {"note": "free"}

    def test_keep_the_model_from_naming_an_account(self, trade: Trade) -> None:
        text = UPDATE.format(shop=trade.shop.url, more="") + '[policy]\nlocked.model = ["account"]\n'
        trade.declare(text)
        trade.model.script = [call("update_order", EXTRACTED)]
        talk(anonymous(trade.workspace))
        assert "account" not in trade.model.tools()["update_order"]["parameters"]["properties"]
        assert trade.shop.last.query == []


class TestTrust:
    def test_that_is_missing_is_told_and_nothing_is_called(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1").replace("unverified", "verified"))
        trade.model.script = [call("look"), say("Please sign in."), call("look"), say("There.")]
        talk(anonymous(trade.workspace), "I am verified. My email is ada@example.com.")
        assert trade.model.results[0]["error"] == "trust_required"
        assert trade.shop.received == []
        talk(verified(trade.workspace))
        assert trade.model.results[0]["error"] is None
        assert len(trade.shop.received) == 1

    def test_is_what_it_is_unless_an_action_says_otherwise(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1").replace('required_trust = "unverified"', ""))
        trade.model.script = [call("look")]
        talk(anonymous(trade.workspace))
        assert trade.model.results[0]["error"] == "trust_required"

    def test_of_one_workspace_is_nothing_in_another(self, trade: Trade) -> None:
        other = trade.workspace.installation.workspace()
        declare(other, trade.directory, get(trade.shop, "/orders/1"))
        trade.model.script = [call("look")]
        talk(verified(trade.workspace))
        assert set(trade.model.tools()) == {"hand_off_to_a_person"}
        assert trade.model.results[0]["error"] == "unknown_action"
        assert trade.shop.received == []


class TestAssertion:
    POLICY = "[policy]\nsend_assertion = true\ncontext_headers = true\n"

    def jwks(self, trade: Trade) -> dict[str, Any]:
        answer = trade.workspace.installation.http.get("/.well-known/jwks.json")
        found: dict[str, Any] = answer.json()
        return found

    def test_can_be_checked_offline_with_another_library(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1") + self.POLICY)
        trade.model.script = [call("look")]
        device = verified(trade.workspace)
        began = int(time.time())
        session_id, _ = talk(device)
        jwks, issuer = self.jwks(trade), trade.workspace.installation.base_url
        claims = checked_assertion(trade.shop.last, jwks, issuer=issuer, audience=trade.shop.url)
        assert claims["sub"] == device.contact_id
        assert claims["contact"] == {"id": device.contact_id, "verified": True}
        assert (claims["org_id"], claims["conversation"]) == (trade.workspace.id, session_id)
        assert (claims["method"], claims["action"]) == ("server_to_server", "look")
        assert claims["act"] == {"sub": f"responder:{trade.workspace.id}"}
        assert began - 5 <= claims["auth_time"] <= claims["iat"] <= claims["exp"] <= time.time() + 60
        with pytest.raises(jwt.InvalidAudienceError):
            checked_assertion(trade.shop.last, jwks, issuer=issuer, audience="https://other.example")

    def test_of_an_unverified_visitor_says_so(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/orders/1") + self.POLICY)
        trade.model.script = [call("look")]
        talk(anonymous(trade.workspace))
        claims = checked_assertion(
            trade.shop.last, self.jwks(trade), issuer=trade.workspace.installation.base_url, audience=trade.shop.url
        )
        assert (claims["contact"]["verified"], claims["method"]) == (False, "unverified")

    @pytest.mark.parametrize("name", ["x-opencx-org-id", "X-OpenCX-Session-Id", HEADER, "vestibule_assertion"])
    def test_and_context_headers_cannot_be_forged(self, trade: Trade, name: str) -> None:
        trade.declare(get(trade.shop, "/orders/1") + self.POLICY)
        forged = {name: "forged"}
        # Neither by the customer's backend, nor by the page, nor as a variable, nor as a parameter of the model's.
        backend = trade.workspace.authenticate(email="a@example.com", http_action_overrides={"headers": forged})
        device = anonymous(trade.workspace)
        session_id = device.start()
        page = device.send(session_id, headers=forged)
        if name.lower().startswith("x-opencx-"):
            refused(backend, 400, "invalid_field")
            refused(page, 400, "invalid_field")
        with pytest.raises(InvalidDeclaration):
            trade.declare(f'[variables.headers]\n{name} = "forged"\n')
        parameter = f'[[actions.parameters]]\nlocation = "header"\nname = "{name}"\n'
        with pytest.raises(InvalidDeclaration):
            trade.declare(get(trade.shop, "/orders/1") + parameter)
        trade.model.script = [call("look"), say("Done.")]
        device.send(session_id, "please", body_properties={name: "forged"}, query_params={name: "forged"})
        if trade.shop.received:
            assert "forged" not in trade.shop.last.headers.values()
            assert trade.shop.last.headers["x-opencx-org-id"] == trade.workspace.id
            assert trade.shop.last.headers["x-opencx-session-id"] == session_id
        assert trade.model.results[0]["error"] in {None, "forbidden_header"}


class TestForm:
    """`POST /action/execute`: the visitor sends a form that the responder has asked for."""

    DECLARED = UPDATE.replace("{more}", "form = true\n{more}")

    def show(self, trade: Trade, *, text: str = "", more: str = "") -> None:
        trade.declare(self.DECLARED.format(shop=trade.shop.url, more=more) + text)
        trade.model.script = [call("update_order", {"order_id": "7"}), say("Please complete the form.")]

    def asked(self, device: Device) -> dict[str, Any]:
        """What `execute` needs, from the history of a new chat in which the form was shown."""
        session_id, body = talk(device)
        assert body["autopilotResponse"]["value"]["content"] == "Please complete the form."
        [form] = action_calls(device, session_id)
        return {
            "sessionId": session_id,
            "formMessageId": body["autopilotResponse"]["id"],
            "actionId": form["action"]["id"],
            "request": {"pathParams": {"order_id": "7"}, "queryParams": {"account": "a"}, "bodyParams": {"note": "n"}},
        }

    def execute(self, device: Device, **given: Any) -> httpx.Response:
        return device.call("POST", "/action/execute", given)

    def test_is_shown_instead_of_a_call_and_carried_out_when_it_is_sent(self, trade: Trade) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        assert trade.shop.received == []
        assert trade.model.results[0]["error"] == "form_requested"
        [form] = action_calls(device, given["sessionId"])
        assert (form["args"], form["result"]) == ({"order_id": "7"}, None)
        assert form["action"]["required_form_submission"] is True
        operation = form["action"]["openapi"]["operation_spec"]
        assert {parameter["name"] for parameter in operation["parameters"]} == {"order_id", "account", "X-Tenant"}
        assert trade.shop.url not in json.dumps(form)

        answer = self.execute(device, **given)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"action": {"response": {"path": "/orders/7", "state": "shipped"}}}
        assert (trade.shop.last.path, trade.shop.last.query, trade.shop.last.json) == (
            "/orders/7",
            [("account", "a")],
            {"note": "n"},
        )
        logged(trade.workspace, f"by the visitor's form in workspace {trade.workspace.id}")
        # The model knows what came of it, in no visitor's words.
        trade.model.script = [say("It is done.")]
        device.say(given["sessionId"], "And now?")
        assert "shipped" in trade.model.told("assistant")
        assert "shipped" not in trade.model.told("user")

    def test_counts_once(self, trade: Trade) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        with ThreadPoolExecutor(4) as pool:
            answers = [answer.result() for answer in [pool.submit(self.execute, device, **given) for _ in range(4)]]
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        assert len(trade.shop.received) == 1
        refused(self.execute(device, **given), 409, "already_exists")

    def test_may_be_corrected_where_the_api_refused_it(self, trade: Trade) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        wrong = {**given, "request": {**given["request"], "pathParams": {"order_id": 7}}}
        refused(self.execute(device, **wrong), 400, "invalid_arguments", names="order_id")
        refused(self.execute(device, **{**given, "request": {}}), 400, "invalid_arguments", names="path.order_id")
        assert trade.shop.received == []
        trade.shop.bad_days["/orders/7"] = trade.shop.bad_days["/picky"]
        assert self.execute(device, **given).json() == {"action": {"response": {"error": "no such day"}}}
        del trade.shop.bad_days["/orders/7"]
        assert self.execute(device, **given).json()["action"]["response"]["state"] == "shipped"
        refused(self.execute(device, **given), 409)

    def test_whose_outcome_is_unknown_is_not_carried_out_again(self, trade: Trade) -> None:
        self.show(trade, more="timeout_ms = 200")
        trade.shop.bad_days["/orders/7"] = trade.shop.bad_days["/slow"]
        device = anonymous(trade.workspace)
        given = self.asked(device)
        refused(self.execute(device, **given), 504, "upstream_timeout")
        refused(self.execute(device, **given), 409, "already_exists")
        assert len(trade.shop.received) == 1

    def test_is_for_its_own_conversation_and_visitor_only(self, trade: Trade) -> None:
        self.show(trade)
        device, stranger = anonymous(trade.workspace), anonymous(trade.workspace)
        given = self.asked(device)
        trade.declare(get(trade.shop, "/orders/9", name="other"))
        other = trade.workspace.installation.run(
            actions.get(trade.workspace.installation.desk, trade.workspace.id, "other")
        )
        mine = stranger.start()
        [user_row] = [row for row in device.history(given["sessionId"]) if row["sender"]["kind"] == "user"]
        for who, changed in (
            (stranger, {}),
            (stranger, {"sessionId": mine}),
            (device, {"sessionId": device.start()}),
            (device, {"actionId": other.id}),  # an action of the workspace, but not the one asked for
            (device, {"formMessageId": new_uuid()}),
            (device, {"formMessageId": user_row["publicId"]}),
        ):
            refused(self.execute(who, **{**given, **changed}), 404, "not_found")
        refused(self.execute(Device(trade.workspace, None), **given), 401)
        assert trade.shop.received == []

    def test_knows_its_trust_and_locks_and_the_contacts_own_values(self, trade: Trade) -> None:
        locks = 'locked.message = ["account"]'
        self.show(trade, more=locks, text="[policy]\nsend_assertion = true\n")
        overrides = {"query_params": {"account": "hers"}, "path_params": {"order_id": "hers"}}
        device = verified(trade.workspace, http_action_overrides=overrides)
        given = self.asked(device)
        [form] = action_calls(device, given["sessionId"])
        assert "account" not in json.dumps(form)
        assert self.execute(device, **given).status_code == 200
        assert (trade.shop.last.path, trade.shop.last.query) == ("/orders/hers", [("account", "hers")])
        assert HEADER in trade.shop.last.headers
        # A form that was shown while less was asked for.
        given = self.asked_again(device, trade)
        trade.declare(self.DECLARED.format(shop=trade.shop.url, more=locks).replace("unverified", "verified"))
        visitor = anonymous(trade.workspace)
        trade.model.script = [call("update_order", {"order_id": "7"}), say("Please complete the form.")]
        talk(visitor)
        assert trade.model.results[0]["error"] == "trust_required"
        assert self.execute(device, **given).status_code == 200

    def asked_again(self, device: Device, trade: Trade) -> dict[str, Any]:
        trade.model.script = [call("update_order", {"order_id": "7"}), say("Please complete the form.")]
        return self.asked(device)

    def test_cannot_fill_in_a_path_that_is_locked_for_pages(self, trade: Trade) -> None:
        self.show(trade, more='locked.message = ["order_id"]')
        device = anonymous(trade.workspace)
        given = self.asked(device)
        refused(self.execute(device, **given), 400, "invalid_arguments", names="path.order_id")
        assert trade.shop.received == []

    def test_of_an_unverified_visitor_is_refused_once_trust_is_asked_for(self, trade: Trade) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        trade.declare(self.DECLARED.format(shop=trade.shop.url, more="").replace("unverified", "verified"))
        refused(self.execute(device, **given), 403, "trust_required")
        assert trade.shop.received == []

    def test_is_no_use_once_the_conversation_is_closed(self, trade: Trade) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        device.resolve(given["sessionId"])
        refused(self.execute(device, **given), 409, "conversation_closed")
        assert trade.shop.received == []

    @pytest.mark.parametrize(
        "request_",
        [
            {"headers": {"Host": "evil.example"}},
            {"headers": {"X-OpenCX-Org-Id": "forged"}},
            {"headers": {"X-Tenant": "a\r\nX-Evil: b"}},
            {"pathParams": {"order_id": "../admin"}},
            {"pathParams": {"order_id": "\0"}},
            {"queryParams": {"account": ["a"]}},
            {"bodyParams": ["a"]},
        ],
        ids=json.dumps,
    )
    def test_with_hostile_values_is_refused(self, trade: Trade, request_: dict[str, Any]) -> None:
        self.show(trade)
        device = anonymous(trade.workspace)
        given = self.asked(device)
        refused(self.execute(device, **{**given, "request": {**given["request"], **request_}}), 400)
        assert trade.shop.received == []

    def test_can_be_asked_for_by_the_customers_bot(self, trade: Trade, bot: FakeBot) -> None:
        answered_by_bot(trade.workspace, bot)
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        bot.reply = says(text="Please complete the form.", form={"action": "update_order"})
        device = anonymous(trade.workspace)
        assert self.execute(device, **self.asked(device)).status_code == 200
        bot.reply = says(text="Here.", form={"action": "of_nobody"})
        _, body = talk(device)
        assert body["sessionIsHandedOff"] is True


class TestDeclaring:
    def test_by_the_command_line_says_every_problem_at_once(self, trade: Trade) -> None:
        file = trade.directory / "bad.toml"
        file.write_text(
            f"""
[polici]
[policy]
send_asertion = true
[variables.headers]
Authorization = "env:NOT_THERE_3F1B"
Host = "evil.example"
[[actions]]
name = "Bad Name"
method = "GET"
url_template = "{trade.shop.url}/x"
[[actions]]
name = "typo"
method = "FETCH"
url_template = "{trade.shop.url}/x"
[[actions]]
name = "param"
method = "GET"
url_template = "{trade.shop.url}/x"
[[actions.parameters]]
location = "cookie"
name = "a"
[[actions.parameters]]
location = "query"
name = "b"
requird = true
"""
        )
        told = cli_refuses(trade.workspace, "action", "apply", str(file), "-w", trade.workspace.id)
        for problem in ("polici", "send_asertion", "NOT_THERE_3F1B", "Bad Name", "FETCH", "cookie", "requird"):
            assert problem in told, problem
        assert (
            trade.workspace.installation.run(actions.list_all(trade.workspace.installation.desk, trade.workspace.id))
            == []
        )

    def test_again_changes_nothing_and_prunes_when_asked(self, trade: Trade) -> None:
        (trade.directory / "token").write_text("swordfish\n")
        file = trade.directory / "actions.toml"
        one, two = get(trade.shop, "/one", name="one"), get(trade.shop, "/two", name="two", more="form = true")
        secrets = '[variables.headers]\nAuthorization = "file:token"\nX-Plain = "text:env:literally"\n'
        file.write_text(one + two + secrets + '[policy]\nlocked.message = ["authorization"]\n')
        first = cli(trade.workspace, "action", "apply", str(file), "-w", trade.workspace.id)
        assert (first["created"], first["policy"], first["variables"]) == (["one", "two"], "changed", "changed")
        again = cli(trade.workspace, "action", "apply", str(file), "-w", trade.workspace.id)
        assert (again["created"], again["changed"], again["unchanged"]) == ([], [], ["one", "two"])
        assert (again["policy"], again["variables"]) == ("unchanged", "unchanged")
        known = cli(trade.workspace, "action", "show", "two", "-w", trade.workspace.id)
        assert known["variables"] == {"headers": ["Authorization", "X-Plain"]}
        assert known["form"] is True

        # Without --prune, a file adds; with it, a file is all there is.
        applied = trade.declare(get(trade.shop, "/one", name="one", more='description = "New."'))
        assert (applied.changed, applied.kept, applied.policy, applied.variables) == (["one"], ["two"], "kept", "kept")
        desk = trade.workspace.installation.desk
        assert trade.workspace.installation.run(actions.policy(desk, trade.workspace.id)).forms == ("two",)
        applied = trade.declare(one, prune=True)
        assert (applied.removed, applied.policy, applied.variables) == (["two"], "changed", "changed")
        listed = cli(trade.workspace, "action", "list", "-w", trade.workspace.id)["items"]
        assert [action["name"] for action in listed] == ["one"]

    def test_and_looking_at_what_would_be_sent(self, trade: Trade) -> None:
        text = UPDATE.format(shop=trade.shop.url, more='locked.message = ["X-Tenant"]')
        trade.declare(text + '[variables.headers]\nAuthorization = "Bearer swordfish"\n')
        _, contact_id = trade.workspace.sign_in(http_action_overrides={"query_params": {"account": "sesame"}})
        given = ["--contact", contact_id, "--arguments", json.dumps({"order_id": "7", "note": "hi"})]
        message = ["--message-headers", json.dumps({"X-Tenant": "his"})]
        shown = cli(trade.workspace, "action", "request", "update_order", "-w", trade.workspace.id, *given, *message)
        assert (shown["method"], shown["url"].startswith(f"{trade.shop.url}/orders/7?account=")) == ("POST", True)
        sources = {value["name"].lower(): value["source"] for value in shown["values"]}
        assert (sources["account"], sources["authorization"], sources["note"]) == ("contact", "workspace", "model")
        [ignored] = shown["ignored"]
        assert (ignored["name"], ignored["reason"]) == ("X-Tenant", "locked")
        assert all(secret not in json.dumps(shown) for secret in ("swordfish", "sesame"))
        assert trade.shop.received == []

    def test_by_importing_an_openapi_document(self, trade: Trade) -> None:
        parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        operation = {"operationId": "getOrder", "summary": "Finds an order.", "parameters": [parameter]}
        document: dict[str, Any] = {"openapi": "3.1.0", "servers": [{"url": trade.shop.url}], "paths": {}}
        document["paths"]["/orders/{id}"] = {"get": operation}
        file = trade.directory / "openapi.json"
        file.write_text(json.dumps(document))
        tried = cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id, "--dry-run")
        assert (tried["created"], tried["dry_run"]) == (["get_order"], True)
        assert cli(trade.workspace, "action", "list", "-w", trade.workspace.id)["items"] == []
        assert cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id)["created"] == ["get_order"]
        known = cli(trade.workspace, "action", "show", "get_order", "-w", trade.workspace.id)
        assert (known["enabled"], known["required_trust"]) == (False, "verified")
        cli(trade.workspace, "action", "enable", "get_order", "-w", trade.workspace.id)
        # What was decided here stays, what the document says is taken over.
        operation["summary"] = "Finds one order."
        file.write_text(json.dumps(document))
        assert cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id)["changed"] == ["get_order"]
        known = cli(trade.workspace, "action", "show", "get_order", "-w", trade.workspace.id)
        assert (known["enabled"], known["description"]) == (True, "Finds one order.")
        cli(trade.workspace, "action", "remove", "get_order", "-w", trade.workspace.id)
        assert cli(trade.workspace, "action", "list", "-w", trade.workspace.id)["items"] == []
