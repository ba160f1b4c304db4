"""Actions through the whole product: declared by an operator, wanted by a model, received by the customer's API."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_model import call, call_all, error, pieces, say
from tests.fixtures.fake_shop import HEADER, checked_assertion
from tests.fixtures.front_door import Workspace, refused
from tests.fixtures.responding import cli, logged, text_of
from tests.fixtures.trading import EXTRACTED, UPDATE, Trade, action_calls, declare, get, talk
from tests.fixtures.widget import Device, anonymous, new_uuid, verified
from vestibule.administration import conversations
from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.responder.runner import NOTICE


def take(workspace: Workspace, session_id: str) -> None:
    desk = workspace.installation.desk
    workspace.installation.run(conversations.take(desk, workspace.id, session_id, name="Grace"))


def requests(workspace: Workspace, session_id: str) -> list[list[dict[str, Any]]]:
    """What each row of the history tells staff of actions, where it does."""
    rows = Admin(workspace.installation, workspace.id).get(f"conversations/{session_id}/messages")["items"]
    return [row["action_requests"] for row in rows if row["action_requests"]]


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

    def test_of_an_imported_operation_goes_by_its_id(self, trade: Trade) -> None:
        """A host's component for the action is found by it (contracts/opencx.md 4.6)."""
        parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        operation = {"operationId": "getOrderById", "parameters": [parameter]}
        document = {"openapi": "3.1.0", "servers": [{"url": trade.shop.url}], "paths": {}}
        document["paths"] = {"/orders/{id}": {"get": operation}}
        file = trade.directory / "openapi.json"
        file.write_text(json.dumps(document))
        cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id)
        cli(trade.workspace, "action", "enable", "getOrderById", "-w", trade.workspace.id)
        trade.model.script = [call("getOrderById", {"id": "7"}), say("It is shipped.")]
        device = verified(trade.workspace)
        [shown] = action_calls(device, talk(device)[0])
        assert (shown["actionName"], trade.shop.last.path) == ("getOrderById", "/orders/7")

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

    def test_of_arguments_that_are_refused_unread_keeps_none(self, trade: Trade) -> None:
        """They would come with every poll."""
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        written = json.dumps({"note": "x" * 200_000})
        wanted = {"index": 0, "id": "c", "type": "function", "function": {"name": "update_order", "arguments": written}}
        trade.model.script = [pieces({"tool_calls": [wanted]}), say("That did not work.")]
        device = anonymous(trade.workspace)
        session_id, _ = talk(device)
        assert trade.model.results[0]["error"] == "invalid_arguments"
        [shown] = action_calls(device, session_id)
        assert (shown["args"], shown["result"]["error"]) == ({}, "invalid_arguments")
        assert len(device.poll(session_id).content) < 10_000

    def test_is_not_made_once_people_have_taken_over(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED)]
        device = anonymous(trade.workspace)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, trade.model.held():
            sent = pool.submit(device.send, session_id)
            trade.model.wait_for(1)
            take(trade.workspace, session_id)
            trade.model.gate.set()
            assert text_of(sent.result()) is None
        assert trade.shop.received == []
        assert len(trade.model.asked) == 1
        assert action_calls(device, session_id) == []

    @pytest.mark.parametrize("end", ["taken", "closed"])
    def test_stays_in_the_history_of_a_chat_that_wants_no_answer_any_more(self, trade: Trade, end: str) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED), say("It is shipped.")]
        device = anonymous(trade.workspace)
        session_id = device.start()
        with ThreadPoolExecutor(1) as pool, trade.shop.held():
            sent = pool.submit(device.send, session_id)
            trade.shop.wait_for(1)
            if end == "taken":
                take(trade.workspace, session_id)
            else:
                assert device.resolve(session_id).status_code == 200
            trade.shop.gate.set()
            assert text_of(sent.result()) is None
        [shown] = action_calls(device, session_id)
        assert (shown["actionName"], shown["result"]["status"]) == ("update_order", 200)
        assert [kind for kind, _ in device.texts(session_id)] == ["user"]
        [[request]] = requests(trade.workspace, session_id)
        assert (request["action"], request["status"]) == ("update_order", 200)

    def test_stays_in_the_history_where_the_model_fails_behind_it(self, trade: Trade) -> None:
        trade.declare(UPDATE.format(shop=trade.shop.url, more=""))
        trade.model.script = [call("update_order", EXTRACTED), error(500)]
        device = anonymous(trade.workspace)
        session_id, body = talk(device)
        assert (body["autopilotResponse"]["value"]["content"], body["sessionIsHandedOff"]) == (NOTICE, True)
        assert len(trade.shop.received) == 1
        [[request]] = requests(trade.workspace, session_id)
        assert (request["action"], request["status"]) == ("update_order", 200)

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
