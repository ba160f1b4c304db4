"""The admin API's resources from outside: each is made, read, changed and removed, and holds to its bounds."""

from __future__ import annotations

import json

from tests.fixtures.admin import NOBODY, PROVIDER, Admin, refused
from tests.fixtures.auditing import entry
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, show
from tests.fixtures.front_door import Workspace
from tests.fixtures.native import Client
from tests.fixtures.responding import eventually
from tests.fixtures.widget import claims_of
from vestibule.model.identity_provider import ProviderSettings
from vestibule.outbound.circuit import FAILURES
from vestibule.surfaces.admin_api.shapes import Provider


class TestIdentityProviders:
    def test_are_added_replaced_and_removed_without_showing_secrets(self, admin: Admin) -> None:
        client = {"client_id": "us", "client_secret": "canary-of-introspection"}
        body = {**PROVIDER, "accepts": ["id_token", "opaque_access_token"], "introspection_client": client}
        made = admin.do("POST", "identity-providers", body)
        path = f"identity-providers/{made['id']}"
        assert made["introspection_client"] == {
            "client_id": "us",
            "has_secret": True,
            "method": "client_secret_basic",
        }
        without = {**body, "name": "Log in", "introspection_client": {"client_id": "us"}}
        replaced = admin.do("PUT", path, without)
        assert (replaced["name"], replaced["introspection_client"]["has_secret"]) == ("Log in", True)
        elsewhere = {**without, "issuer": "https://evil.example.com"}
        refused(admin.call("PUT", path, elsewhere), 400, "invalid_request", names="must be given again")
        everything = json.dumps([made, replaced, admin.get("identity-providers"), admin.get("audit")])
        assert "canary" not in everything
        admin.do("DELETE", path)
        refused(admin.call("GET", path), 404, "not_found")

    def test_every_setting_is_shown_so_that_writing_it_back_changes_nothing(
        self, workspace: Workspace, admin: Admin
    ) -> None:
        settings = {*ProviderSettings.__struct_fields__} - {"shared_secret", "introspection_client"}
        assert settings <= {*Provider.__struct_fields__}
        made = admin.do("POST", "identity-providers", {**PROVIDER, "single_use": True})
        path = f"identity-providers/{made['id']}"
        answer = admin.call("GET", path)
        shown, seen = answer.json(), answer.headers["etag"]
        assert shown["single_use"] is True
        back = {name: shown[name] for name in settings}
        assert admin.do("PUT", path, back, **{"If-Match": seen}) == shown
        update = ("provider", "update", str(made["id"]), "--workspace", workspace.id, "--set", "single_use=false")
        workspace.installation.cli(*update)
        answer = admin.call("GET", path)
        assert (answer.json()["single_use"], answer.headers["etag"] == seen) == (False, False)

    def test_bad_settings_are_told_all_at_once(self, admin: Admin) -> None:
        problem = refused(
            admin.call("POST", "identity-providers", {"name": "", "issuer": "ftp://x"}), 400, "invalid_request"
        )
        for name in ("name:", "issuer:", "client_ids:"):
            assert name in problem["detail"]
        refused(admin.call("POST", "identity-providers", {**PROVIDER, "isuer": "x"}), 400, "invalid_field")
        for number in ("0", "99", "x", "-1", "9" * 30):
            refused(admin.call("GET", f"identity-providers/{number}"), 404, "not_found")

    def test_a_dry_run_explains_and_keeps_nothing(self, workspace: Workspace, admin: Admin) -> None:
        admin.do("POST", "identity-providers", PROVIDER)
        token = "e30.e30.c2lnbmF0dXJl"
        trial = admin.do("POST", "identity-providers/dry-run", {"id_token": token})
        assert not trial["passed"]
        assert trial["steps"][0]["passed"] is not None
        assert token not in json.dumps(admin.get("audit")) + workspace.installation.server.log()
        refused(admin.call("POST", "identity-providers/dry-run", {}), 400, "invalid_field")


class TestAuthEndpoint:
    def test_is_set_up_shown_without_secrets_tried_and_removed(self, shop_front: Workspace) -> None:
        admin = Admin(shop_front.installation, shop_front.id)
        with FakeAuthEndpoint({"session": {"id": 4711, "name": "Ada"}}) as fake:
            change = {"url": f"{fake.url}/whoami?key=canary", "header_token": "canary-token", "fields": ["email"]}
            made = admin.do("PATCH", "auth-endpoint", change)
            assert made["new_secret"].startswith("whsec_")
            assert (made["header_token"], made["secrets"], made["fields"]) == (True, 1, ["email"])
            shown = admin.get("auth-endpoint")
            assert shown == {**made, "new_secret": None}
            trial = admin.do(
                "POST",
                "auth-endpoint/dry-run",
                {"user_token": "session", "fields": {"email": "said@example.com", "name": "not asked for"}},
            )
            assert (trial["verdict"], trial["keys"]["id"], trial["contact_id"]) == ("accepted", "4711", None)
            assert fake.received[-1].json == {"access_token": "session", "email": "said@example.com"}
            refused_one = admin.do("POST", "auth-endpoint/dry-run", {"user_token": "nobody"})
            assert (refused_one["verdict"], refused_one["error"]) == ("rejected", "auth_rejected")
        everything = json.dumps([shown, trial, refused_one, admin.get("audit")]) + shop_front.installation.server.log()
        assert "canary" not in everything
        [(contacts,)] = shop_front.installation.rows(
            "SELECT COUNT(*) FROM contacts WHERE workspace_id = $1", shop_front.id
        )
        assert contacts == 0
        answer = admin.call("PATCH", "auth-endpoint", {"rotate_secret": True, "required_login": True})
        rotated = answer.json()
        assert rotated["new_secret"].startswith("whsec_")
        assert answer.headers["etag"] == admin.call("GET", "auth-endpoint").headers["etag"]
        assert (rotated["secrets"], rotated["required_login"]) == (2, True)
        admin.do("DELETE", "auth-endpoint")
        assert admin.get("auth-endpoint")["url"] == ""
        refused(admin.call("POST", "auth-endpoint/dry-run", {"user_token": "session"}), 404, "not_found")

    def test_trials_are_bounded_like_visitors_calls(self, shop_front: Workspace) -> None:
        """An endpoint that fails is left alone by operators as well: they ask on the same circuit."""
        admin = Admin(shop_front.installation, shop_front.id)
        with FakeAuthEndpoint() as fake:
            fake.always({}, status=503)
            admin.do("PATCH", "auth-endpoint", {"url": fake.url})
            steps = [
                admin.do("POST", "auth-endpoint/dry-run", {"user_token": "x"})["step"] for _ in range(FAILURES + 1)
            ]
            assert (steps[-1], steps.count("circuit")) == ("circuit", 1)
            asked = len(fake.received)
            assert show(shop_front, "x").status_code == 503
            assert len(fake.received) == asked

    def test_says_what_is_wrong_and_keeps_stale_edits_out(self, admin: Admin) -> None:
        refused(admin.call("PATCH", "auth-endpoint", {"url": "ftp://x"}), 400, "invalid_declaration")
        refused(admin.call("PATCH", "auth-endpoint", {"uri": "x"}), 400, "invalid_field")
        seen = admin.call("GET", "auth-endpoint").headers["etag"]
        admin.do("PATCH", "auth-endpoint", {"required_login": True})
        stale = admin.call("PATCH", "auth-endpoint", {"required_login": False}, {"if-match": seen})
        refused(stale, 412, "stale_edit")


class TestResponderAndActions:
    def test_a_webhook_s_secret_is_shown_once(self, admin: Admin) -> None:
        made = admin.do("PATCH", "responder", {"kind": "webhook", "url": "https://bot.example.com/hook?k=canary"})
        assert made["new_secret"].startswith("whsec_")
        shown = admin.get("responder")
        assert "new_secret" not in shown
        assert (shown["address"], shown["secrets"]) == ("https://bot.example.com/hook?…", 1)
        problem = refused(
            admin.call("PATCH", "responder", {"url": "http://127.0.0.1", "timeout_ms": 1}), 400, "invalid_declaration"
        )
        assert "url" in problem["detail"]
        assert "timeout" in problem["detail"]

    def test_the_widget_s_settings(self, admin: Admin) -> None:
        changed = admin.do("PATCH", "widget", {"poll_seconds": 5, "modes": [{"id": "m", "name": "Mode"}]})
        modes = [{"id": "m", "name": "Mode", "slug": None}]
        assert changed == {"list_seconds": 60, "poll_seconds": 5, "modes": modes, "allowed_origins": []}
        refused(admin.call("PATCH", "widget", {"allowed_origins": ["https://x.example/"]}), 400, "invalid_field")
        assert admin.do("PATCH", "widget", {"list_seconds": 9})["poll_seconds"] == 5

    def test_an_action_from_declaring_to_end(self, admin: Admin) -> None:
        action = {"name": "look", "method": "GET", "url_template": "https://api.example.com/orders", "form": True}
        assert admin.do("PUT", "actions/look", action) == action
        assert admin.get("actions")["items"] == [action]
        plain = {**action, "form": False}
        del plain["form"]
        assert admin.do("PUT", "actions/look", plain) == plain
        refused(admin.call("PUT", "actions/other", action), 400, "invalid_field", names="path")
        refused(admin.call("PUT", "actions/look", {**action, "url_template": "http://10.0.0.1"}), 400, "invalid_field")
        refused(admin.call("PUT", "actions/look", {**action, "requird_trust": "x"}), 400, "invalid_field")
        admin.do("DELETE", "actions/look")
        refused(admin.call("DELETE", "actions/look"), 404, "not_found")

    def test_policy_and_variables(self, admin: Admin) -> None:
        assert admin.do("PUT", "action-policy", {"send_assertion": True}) == {"send_assertion": True}
        names = admin.do("PUT", "action-variables", {"headers": {"authorization": "Bearer canary"}})
        assert names == {"names": {"headers": ["authorization"]}}
        assert "canary" not in json.dumps([admin.get("action-variables"), admin.get("audit")])
        refused(admin.call("PUT", "action-variables", {"headers": {"host": "x"}}), 400, "invalid_field")


class TestContacts:
    def test_are_found_by_how_name_and_e_mail_begin_by_phone_and_by_id(
        self, workspace: Workspace, admin: Admin
    ) -> None:
        _, ada = workspace.sign_in("ada@example.com", name="Ada Lovelace", phone="+49 30 1234567")
        _, adam = workspace.sign_in("adam@example.com", name="adam smith")
        _, zoe = workspace.sign_in("zoe@example.com", name="Zoë 100%")

        def found(**query: str) -> list[str]:
            return [contact["id"] for contact in admin.get("contacts", **query)["items"]]

        assert found(name="ADA") == [ada, adam]
        assert found(name="adam") == [adam]
        assert found(email="Ada") == [ada, adam]
        assert found(email="ada@") == [ada]
        assert found(phone="+49 (30) 1234567") == [ada]
        assert found(phone="+49301") == []
        assert found(name="%") == found(name="_") == found(name="' OR 1=1") == []
        assert found(name="Zoë 100%") == [zoe]
        assert found() == [zoe, adam, ada]
        assert found(trust="unverified") == []
        assert admin.get(f"contacts/{ada}")["identities"] == {"email": "ada@example.com", "phone": "+49301234567"}
        refused(admin.call("GET", "contacts", name="a", email="b"), 400, "invalid_field")

    def test_come_page_by_page_without_gap_or_repetition(self, workspace: Workspace, admin: Admin) -> None:
        ids = {workspace.sign_in(f"p{number}@example.com", name="Same Name")[1] for number in range(7)}
        for query in ({}, {"name": "same"}, {"email": "p"}):
            seen: list[str] = []
            cursor: str | None = None
            for _ in range(10):
                page = admin.get("contacts", limit=2, **query, **({"cursor": cursor} if cursor else {}))
                seen += [contact["id"] for contact in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    break
            assert len(seen) == len(ids)
            assert set(seen) == ids
        for bad in ("nonsense", "AAAA", "eyJpZCI6MX0", "é"):
            refused(admin.call("GET", "contacts", cursor=bad), 400, "invalid_field")

    def test_are_corrected_and_say_who_said_so(self, workspace: Workspace, admin: Admin) -> None:
        _, contact_id = workspace.sign_in(name="Ada", language="en")
        path = f"contacts/{contact_id}"
        changed = admin.do("PATCH", path, {"name": "Ada L.", "language": None, "custom_data": {"plan": "gold"}})
        assert (changed["name"], changed["language"], changed["custom_data"]) == ("Ada L.", None, {"plan": "gold"})
        assert changed["provenance"]["name"]["source"] == "operator"
        assert changed["provenance"]["email"]["source"] == "server_to_server"
        assert workspace.sign_in()[1] == contact_id
        for body in ({"email": "x@example.com"}, {"avatar_url": "javascript:alert(1)"}, {"name": "x" * 300}):
            refused(admin.call("PATCH", path, body), 400, "invalid_field")

    def test_are_merged_parted_signed_out_exported_and_erased(self, workspace: Workspace, admin: Admin) -> None:
        token, first = workspace.sign_in()
        _, second = workspace.sign_in("bob@example.com")
        Client(workspace, token).start()
        assert admin.do("POST", f"contacts/{first}/merge", {"into": second})["merged_into"] == second
        refused(admin.call("POST", f"contacts/{first}/merge", {"into": second}), 409, "conflict")
        exported = admin.get(f"contacts/{second}/export")
        assert [each["contact"]["id"] for each in exported["merged"]] == [first]
        assert len(exported["merged"][0]["conversations"]) == 1
        assert admin.do("POST", f"contacts/{first}/unmerge")["merged_into"] is None
        assert admin.do("POST", f"contacts/{second}/sign-out") == {"contact_ids": [second]}
        assert admin.do("DELETE", f"contacts/{first}") == {"contact_ids": [first]}
        refused(admin.call("GET", f"contacts/{first}"), 404, "not_found")
        actions = [entry["action"] for entry in admin.get("audit", kind="administration")["items"]]
        assert actions[:7] == [
            "contact.erase",
            "contact.sign_out",
            "contact.unmerge.into",
            "contact.unmerge",
            "contact.export",
            "contact.merge.into",
            "contact.merge",
        ]

    def test_who_is_parted_again_has_no_token_of_the_other(self, workspace: Workspace, admin: Admin) -> None:
        """Whoever signs in while they are merged is given one of whom they were merged into."""
        (adas, ada), (bobs, bob) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        admin.do("POST", f"contacts/{bob}/merge", {"into": ada})
        led, who = workspace.sign_in("bob@example.com")
        assert who == ada
        admin.do("POST", f"contacts/{bob}/unmerge")
        again, who = workspace.sign_in("bob@example.com")
        assert who == bob
        eventually(lambda: workspace.me(led).status_code == 401, within=5)
        assert workspace.me(adas).status_code == 401, "nothing tells hers from it"
        assert [workspace.me(token).json()["id"] for token in (bobs, again)] == [bob, bob]

    def test_each_that_a_person_is_stands_for_all_of_them(self, workspace: Workspace, admin: Admin) -> None:
        (_, ada), (_, bob) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        admin.do("POST", f"contacts/{bob}/merge", {"into": ada})
        (first, _), (second, _) = workspace.sign_in("bob@example.com"), workspace.sign_in("bob@example.com")
        for path in ("devices", "identities"):
            assert admin.get(f"contacts/{bob}/{path}") == admin.get(f"contacts/{ada}/{path}")
        assert len(admin.get(f"contacts/{bob}/devices")["items"]) == 4
        exported = admin.get(f"contacts/{bob}/export")
        assert exported["contact"]["contact"]["id"] == ada
        assert [each["contact"]["id"] for each in exported["merged"]] == [bob]
        admin.do("POST", f"contacts/{bob}/devices/{claims_of(first)['jti']}/end")
        eventually(lambda: workspace.me(first).status_code == 401, within=5)
        assert workspace.me(second).status_code == 200
        assert admin.do("POST", f"contacts/{bob}/sign-out") == {"contact_ids": [ada, bob]}
        assert admin.get(f"contacts/{ada}/devices")["items"] == []
        eventually(lambda: workspace.me(second).status_code == 401, within=5)

    def test_one_that_was_merged_is_not_erased_by_its_id(self, workspace: Workspace, admin: Admin) -> None:
        (_, ada), (_, bob) = workspace.sign_in(), workspace.sign_in("bob@example.com")
        admin.do("POST", f"contacts/{bob}/merge", {"into": ada})
        refused(admin.call("DELETE", f"contacts/{bob}"), 409, "conflict", names=ada)
        assert {row[0] for row in workspace.contacts()} == {ada, bob}
        assert admin.do("DELETE", f"contacts/{ada}") == {"contact_ids": [ada, bob]}
        refused(admin.call("DELETE", f"contacts/{bob}"), 404, "not_found")

    def test_one_that_leads_to_nobody_is(self, workspace: Workspace, admin: Admin) -> None:
        _, bob = workspace.sign_in("bob@example.com")
        sql = "UPDATE contacts SET merged_into = $3 WHERE workspace_id = $1 AND id = $2"
        workspace.installation.rows(sql, workspace.id, bob, NOBODY)
        assert admin.get(f"contacts/{bob}/export")["contact"]["contact"]["id"] == bob
        assert admin.do("DELETE", f"contacts/{bob}") == {"contact_ids": [bob]}

    def test_an_export_has_every_sign_in(self, workspace: Workspace, admin: Admin) -> None:
        _, contact_id = workspace.sign_in()
        audit = workspace.installation.desk.audit

        async def many() -> None:
            for number in range(450):  # more than are read at once
                audit.note(entry(workspace.id, number, contact_id=contact_id, method="server_to_server"))
            await audit.flush()

        workspace.installation.run(many())
        found = admin.get(f"contacts/{contact_id}/export")["contact"]["sign_ins"]
        assert len(found) == 451
        [own] = [each for each in found if each["address"]]
        assert (own["method"], own["outcome"]) == ("server_to_server", "created")


class TestConversations:
    def test_are_listed_read_answered_assigned_and_resolved(self, workspace: Workspace, admin: Admin) -> None:
        client = Client(workspace, workspace.sign_in()[0])
        first, second = client.start(), client.start()
        client.say(first, "hello")
        assert [each["id"] for each in admin.get("conversations")["items"]] == [first, second]
        page = admin.get("conversations", limit=1)
        assert [each["id"] for each in admin.get("conversations", cursor=page["next"])["items"]] == [second]
        sent = admin.do("POST", f"conversations/{first}/reply", {"text": "Hi!", "name": "Grace"})
        assert (sent["sender"], sent["trust"], sent["name"]) == ("agent", "staff", "Grace")
        texts = [message["text"] for message in admin.get(f"conversations/{first}/messages")["items"]]
        assert texts[-1] == "Hi!"
        assert admin.do("POST", f"conversations/{second}/assign", {"name": "Grace"})["assignee"] == "Grace"
        assert admin.do("POST", f"conversations/{first}/resolve")["status"] == "closed_resolved"
        refused(admin.call("POST", f"conversations/{first}/reply", {"text": "x"}), 409, "conversation_closed")
        assert [each["id"] for each in admin.get("conversations", status="open")["items"]] == [second]
        refused(admin.call("GET", "conversations", status="lost"), 400, "invalid_field")
        refused(admin.call("GET", f"conversations/{NOBODY}"), 404, "not_found")

    def test_pages_go_on_where_the_last_one_ended(self, workspace: Workspace, admin: Admin) -> None:
        """Whatever happens in between in the conversation that it ended with."""
        client = Client(workspace, workspace.sign_in()[0])
        guest_token, guest = workspace.sign_in("guest@example.com")
        expected = [client.start(), client.start(), Client(workspace, guest_token).start(), client.start()][::-1]
        first = admin.get("conversations", limit=1)
        client.say(expected[0], "once more")
        second = admin.get("conversations", limit=1, cursor=first["next"])
        admin.do("DELETE", f"contacts/{guest}")
        third = admin.get("conversations", limit=1, cursor=second["next"])
        assert [page["items"][0]["id"] for page in (first, second, third)] == [expected[0], expected[1], expected[2]]
        for bad in (expected[0], "bm90aGluZw", "ImEi", "\0", "MS4x"):
            refused(admin.call("GET", "conversations", cursor=bad), 400, "invalid_field", names="cursor")
