"""Actions are declared in a file, applied whole or not at all, and changed without a call losing its own."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures.admin import NOBODY, Admin, refused
from tests.fixtures.responding import cli, cli_refuses
from tests.fixtures.trading import UPDATE, Trade, get
from tests.fixtures.widget import anonymous
from vestibule.administration import actions
from vestibule.model.workspace import AdminScope
from vestibule.responder.effective_request import HIDDEN


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
        wrong = ("update_order", "-w", trade.workspace.id, "--contact", contact_id, "--arguments", "{}", "--json")
        none = trade.workspace.installation.command("action", "request", *wrong)
        assert (none.exit_code, none.json["refused"]) == (1, "missing_parameter")

    def test_by_importing_an_openapi_document(self, trade: Trade) -> None:
        parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        operation = {"operationId": "getOrder", "summary": "Finds an order.", "parameters": [parameter]}
        document: dict[str, Any] = {"openapi": "3.1.0", "servers": [{"url": trade.shop.url}], "paths": {}}
        document["paths"]["/orders/{id}"] = {"get": operation}
        file = trade.directory / "openapi.json"
        file.write_text(json.dumps(document))
        tried = cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id, "--dry-run")
        assert (tried["created"], tried["dry_run"]) == (["getOrder"], True)
        assert cli(trade.workspace, "action", "list", "-w", trade.workspace.id)["items"] == []
        assert cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id)["created"] == ["getOrder"]
        known = cli(trade.workspace, "action", "show", "getOrder", "-w", trade.workspace.id)
        assert (known["enabled"], known["required_trust"]) == (False, "verified")
        cli(trade.workspace, "action", "enable", "getOrder", "-w", trade.workspace.id)
        # What was decided here stays, what the document says is taken over.
        operation["summary"] = "Finds one order."
        file.write_text(json.dumps(document))
        assert cli(trade.workspace, "action", "import", str(file), "-w", trade.workspace.id)["changed"] == ["getOrder"]
        known = cli(trade.workspace, "action", "show", "getOrder", "-w", trade.workspace.id)
        assert (known["enabled"], known["description"]) == (True, "Finds one order.")
        cli(trade.workspace, "action", "remove", "getOrder", "-w", trade.workspace.id)
        assert cli(trade.workspace, "action", "list", "-w", trade.workspace.id)["items"] == []

    def test_by_importing_again_what_had_another_name(self, trade: Trade) -> None:
        """Ids in camel case were once imported in lower case, and pages may know them by that."""
        into = ("-w", trade.workspace.id)
        operation = {"operationId": "listOrders", "summary": "Lists orders."}
        document = {"openapi": "3.1.0", "servers": [{"url": trade.shop.url}], "paths": {"/orders": {"get": operation}}}
        file = trade.directory / "openapi.json"
        file.write_text(json.dumps(document))
        before = f'[[actions]]\nname = "list_orders"\nmethod = "GET"\nurl_template = "{trade.shop.url}/orders"\n'
        trade.declare(before)
        done = cli(trade.workspace, "action", "import", str(file), *into)
        assert (done["created"], done["changed"], done["kept"]) == ([], ["list_orders"], [])
        [warning] = done["warnings"]
        assert warning == "list_orders: keeps the name of an earlier import; remove it for listOrders"
        cli(trade.workspace, "action", "remove", "list_orders", *into)
        assert cli(trade.workspace, "action", "import", str(file), *into)["created"] == ["listOrders"]
        again = cli(trade.workspace, "action", "import", str(file), *into)
        assert (again["unchanged"], again["warnings"]) == (["listOrders"], [])
        # Another operation that had only the name.
        cli(trade.workspace, "action", "remove", "listOrders", *into)
        trade.declare(before.replace("/orders", "/other"))
        done = cli(trade.workspace, "action", "import", str(file), *into)
        assert (done["created"], done["kept"]) == (["listOrders"], ["list_orders"])


class TestADryRun:
    """Over the admin API, by a key that may only read."""

    def test_shows_word_for_word_what_the_command_line_prints(self, trade: Trade) -> None:
        text = UPDATE.format(shop=trade.shop.url, more='locked.message = ["X-Tenant"]')
        policy = "[policy]\ncontext_headers = true\nsend_assertion = true\n"
        trade.declare(text + policy + '[variables.headers]\nAuthorization = "Bearer canary-of-the-workspace"\n')
        overrides = {"query_params": {"account": "canary-of-the-contact"}}
        _, contact_id = trade.workspace.sign_in(http_action_overrides=overrides)
        arguments = {"order_id": "7", "note": "hi"}
        message: dict[str, Any] = {
            "headers": {"X-Tenant": "his", "X-Session": "canary-of-the-page"},
            "query_params": {"page": "canary-of-its-query"},
            "body_properties": {"cart": ["canary-of-its-body"]},
        }
        admin = Admin(trade.workspace.installation, trade.workspace.id, [AdminScope.READ])
        body = {"contact_id": contact_id, "arguments": arguments, **message}
        shown = admin.do("POST", "actions/update_order/dry-run", body)
        given = ["--contact", contact_id, "--arguments", json.dumps(arguments)]
        given += ["--message-headers", json.dumps(message["headers"])]
        given += ["--message-query", json.dumps(message["query_params"])]
        given += ["--message-body", json.dumps(message["body_properties"])]
        assert shown == cli(trade.workspace, "action", "request", "update_order", "-w", trade.workspace.id, *given)

        # All that is secret would be sent, and none of it is shown.
        told = {value["name"]: (value["source"], value["value"]) for value in shown["values"]}
        hidden = {"Authorization": "workspace", "account": "contact", "X-Session": "message", "page": "message"}
        hidden |= {"cart": "message", "Vestibule-Assertion": "vestibule"}
        assert {name: told[name] for name in hidden} == {name: (source, HIDDEN) for name, source in hidden.items()}
        assert (told["order_id"], told["note"]) == (("model", "7"), ("model", "hi"))
        everything = json.dumps([shown, admin.get("audit")]) + trade.workspace.installation.server.log()
        assert "canary-of-" not in everything
        assert trade.shop.received == []

    def test_says_why_there_would_be_no_call(self, trade: Trade) -> None:
        mine = get(trade.shop, "/mine", name="mine").replace('"unverified"', '"verified"')
        trade.declare(UPDATE.format(shop=trade.shop.url, more="") + mine)
        _, contact_id = trade.workspace.sign_in()
        guest = anonymous(trade.workspace)
        guest.start()
        admin = Admin(trade.workspace.installation, trade.workspace.id, [AdminScope.READ])
        told = admin.do("POST", "actions/update_order/dry-run", {"contact_id": contact_id})
        assert told == {"refused": "missing_parameter", "sentence": "A value for path.order_id is needed."}
        cases: list[tuple[str, str, dict[str, Any], str]] = [
            ("update_order", contact_id, {"order_id": 7}, "invalid_arguments"),
            ("update_order", contact_id, {"order_id": ".."}, "unusable_value"),
            ("mine", guest.contact_id, {}, "trust_required"),
        ]
        for name, who, arguments, code in cases:
            told = admin.do("POST", f"actions/{name}/dry-run", {"contact_id": who, "arguments": arguments})
            assert (told.keys(), told["refused"]) == ({"refused", "sentence"}, code)
        assert trade.shop.received == []

    def test_is_refused_where_it_asks_for_nothing_that_there_is(self, trade: Trade) -> None:
        trade.declare(get(trade.shop, "/one", name="one"))
        installation = trade.workspace.installation
        (_, contact_id), (_, foreign) = trade.workspace.sign_in(), installation.workspace().sign_in()
        admin = Admin(installation, trade.workspace.id, [AdminScope.READ])
        for who in (NOBODY, foreign, "\0", "x"):
            refused(admin.call("POST", "actions/one/dry-run", {"contact_id": who}), 404, "not_found", names="contact")
        good: dict[str, Any] = {"contact_id": contact_id}
        refused(admin.call("POST", "actions/none/dry-run", good), 404, "not_found", names="action")
        wrongs: dict[str, dict[str, Any]] = {
            "contact_id": {},
            "arguments": {**good, "arguments": "{}"},
            "headers.Host": {**good, "headers": {"Host": "x"}},
            "message": {**good, "message": {}},
        }
        for name, wrong in wrongs.items():
            refused(admin.call("POST", "actions/one/dry-run", wrong), 400, "invalid_field", names=name)
        writes = Admin(installation, trade.workspace.id, [AdminScope.WRITE])
        refused(writes.call("POST", "actions/one/dry-run", good), 403, "insufficient_scope", names="admin:read")
