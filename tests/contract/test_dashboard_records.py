"""What the dashboard keeps and shows of chats and people: how far each message is to be trusted, what was sent for an
action, the tokens of a person, and their merges."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_model import FakeModel, call, say
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.fake_shop import FakeShop
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.responding import answered_by_model, eventually
from tests.fixtures.staff import Member, refused, signed_in
from tests.fixtures.trading import EXTRACTED, UPDATE, declare
from tests.fixtures.widget import Device, anonymous, claiming, new_uuid, unverified_token, verified
from vestibule.administration import devices, expiry
from vestibule.clock import now_ms
from vestibule.model.staff import Role
from vestibule.storage import token_endings


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


def refuses(workspace: Workspace, token: str, url: str = "") -> bool:
    return workspace.me(token, url=url).status_code == 401


def tokens(workspace: Workspace, contact_id: str) -> list[dict[str, Any]]:
    admin = Admin(workspace.installation, workspace.id)
    found: list[dict[str, Any]] = admin.get(f"contacts/{contact_id}/devices")["items"]
    return found


class TestTrustOfAMessage:
    def test_stays_what_it_was(self, front: Front, fake: FakeProvider) -> None:
        front.queue("support")
        bearer, chat = front.visitor(), new_uuid()
        assert front.route(chat, bearer=bearer).status_code == 200
        front.say(chat, "as nobody", bearer=bearer)
        assert front.set_identity(chat, front.proof(fake.id_token()), bearer=bearer).status_code == 200
        front.say(chat, "as myself", bearer=bearer)
        live = signed_in(front.workspace).shown(f"/inbox/{chat}/live")
        before, _, after = live.partition("as nobody")
        assert "Anonymous" in before
        assert "Verified by identity provider" in after.partition("as myself")[0]
        items = Admin(front.workspace.installation, front.workspace.id).get(f"conversations/{chat}/messages")["items"]
        authors = [each["author"] for each in items if each["author"]]
        assert [author["method"] for author in authors] == ["unverified", "token_exchange"]

    def test_a_claim_is_one_when_it_is_said(self, workspace: Workspace) -> None:
        claims = claiming(workspace, "ada@example.com")
        chat = claims.start()
        claims.say(chat, "it is me")
        nobody = anonymous(workspace)
        other = nobody.start()
        nobody.say(other, "hello")
        member = signed_in(workspace)
        assert "Claimed" in member.shown(f"/inbox/{chat}/live")
        assert "Anonymous" in member.shown(f"/inbox/{other}/live")


class TestInbox:
    def test_filters(self, workspace: Workspace) -> None:
        ada, nobody = verified(workspace), anonymous(workspace)
        of_ada, of_nobody = ada.start(), nobody.start()
        ada.say(of_ada, "proven here")
        nobody.say(of_nobody, "unproven here")
        member = signed_in(workspace, name="Grace Hopper")
        assert "You have taken no chat." in member.shown("/inbox?show=mine")
        member.post(f"/inbox/{of_ada}/take")
        assert "proven here" in member.shown("/inbox?show=mine")
        other = Member(workspace, Role.RESPONDER, name="Alan").with_password()
        other.sign_in()
        assert "You have taken no chat." in other.shown("/inbox?show=mine")
        unproven = member.shown("/inbox?show=unproven")
        assert "unproven here" in unproven
        assert "Verified" not in unproven
        for show in ("resolved", "closed"):
            assert "None yet." in member.shown(f"/inbox?show={show}")

    def test_a_long_chat_is_shown_in_pieces(self, workspace: Workspace) -> None:
        device = verified(workspace)
        chat = device.start()
        for number in range(205):
            device.say(chat, f"message {number:03}.")
        member = signed_in(workspace)
        page = member.get(f"/inbox/{chat}?show=unproven").text
        assert ("message 204." in page, "message 004." in page) == (True, False)
        to_earlier = f"/dashboard/inbox/{chat}?show=unproven&amp;before="
        assert to_earlier in page
        assert to_earlier in member.get(f"/inbox/{chat}/live?show=unproven").text
        assert f'data-live="/dashboard/inbox/{chat}/live?show=unproven"' in page
        earlier = page.partition("before=")[2].partition('"')[0]
        before = member.get(f"/inbox/{chat}?show=all&before={earlier}").text
        assert ("message 204." in before.partition('id="messages"')[2], "message 000." in before) == (False, True)
        assert "These are earlier messages." in before
        assert f'data-live="/dashboard/inbox/{chat}/live' not in before
        refused(member.get(f"/inbox/{chat}?before=x"), 400, "invalid_field")

    def test_shows_what_was_sent_for_an_action_and_no_secret(
        self, workspace: Workspace, model: FakeModel, shop: FakeShop, tmp_path: Path
    ) -> None:
        answered_by_model(workspace, model)
        overrides = {"headers": {"X-Tenant": "tenant-secret"}, "query_params": {"account": "account-secret"}}
        device = verified(workspace, http_action_overrides=overrides)
        declare(workspace, tmp_path, UPDATE.format(shop=shop.url, more=""))
        model.script = [call("update_order", EXTRACTED), say("It is shipped.")]
        chat = device.start()
        device.say(chat, "please")
        member = signed_in(workspace)
        eventually(lambda: "HTTP 200" in member.shown(f"/inbox/{chat}"))
        page = member.shown(f"/inbox/{chat}")
        assert shop.last.headers["x-tenant"] == "tenant-secret", "it was sent"
        assert "Action update_order" in page
        assert f"POST {shop.url}/orders/model" in page
        assert "note model model" in page
        kept = json.dumps(Admin(workspace.installation, workspace.id).get(f"conversations/{chat}/messages"))
        for text in (page, kept):
            assert "tenant-secret" not in text
            assert "account-secret" not in text
        # What staff may see of a request is nothing for its visitor.
        native = Client(workspace, device.token)
        for told in (device.poll(chat).text, json.dumps(native.messages(chat))):
            assert "update_order" in told or "It is shipped." in told
            assert "action_requests" not in told
            assert "(hidden)" not in told
            assert shop.url not in told


class TestTokens:
    def test_one_is_ended_and_the_others_go_on(self, workspace: Workspace, second_server: str) -> None:
        (laptop, ada), (phone, _) = workspace.sign_in(), workspace.sign_in()
        assert workspace.me(phone, url=second_server).status_code == 200
        first, second = sorted(tokens(workspace, ada), key=lambda token: token["token_id"])
        member = signed_in(workspace, Role.ADMIN)
        assert member.get(f"/contacts/{ada}").text.count("/end-token") == 2
        done = member.post(f"/contacts/{ada}/end-token", token_id=second["token_id"])
        assert done.headers["location"] == f"/dashboard/contacts/{ada}?done=token-ended"
        for url in ("", second_server):
            eventually(partial(refuses, workspace, phone, url), within=5)
            assert workspace.me(laptop, url=url).status_code == 200
        assert [token["token_id"] for token in tokens(workspace, ada)] == [first["token_id"]]
        refused(member.post(f"/contacts/{ada}/end-token", token_id=second["token_id"]), 404, "not_found")
        refused(member.post(f"/contacts/{ada}/end-token", token_id="x"), 404, "not_found")
        viewer = signed_in(workspace, Role.RESPONDER)
        refused(viewer.post(f"/contacts/{ada}/end-token", token_id=first["token_id"]), 403, "role_required")
        assert "/end-token" not in viewer.get(f"/contacts/{ada}").text
        _, bob = workspace.sign_in("bob@example.com")
        refused(member.post(f"/contacts/{bob}/end-token", token_id=first["token_id"]), 404, "not_found")
        assert workspace.me(laptop).status_code == 200

    def test_all_of_them_end_with_the_person(self, workspace: Workspace) -> None:
        (_, one), (_, two) = workspace.sign_in("one@example.com"), workspace.sign_in("two@example.com")
        member = signed_in(workspace, Role.ADMIN)
        member.post(f"/contacts/{one}/merge", into=two)
        assert len(tokens(workspace, two)) == 2, "those of who was merged lead here"
        member.post(f"/contacts/{two}/sign-out")
        assert tokens(workspace, two) == []

    def test_one_without_an_end_never_comes_back(self, workspace: Workspace) -> None:
        token = unverified_token(workspace, email="bob@example.com")
        device = Device(workspace, token, "a-scope-of-mine")
        device.start()
        [one] = tokens(workspace, device.contact_id)
        assert (one["method"], one["ends_at"]) == ("unverified", None)
        signed_in(workspace).post(f"/contacts/{device.contact_id}/end-token", token_id=one["token_id"])
        eventually(lambda: device.sessions().status_code == 401, within=5)
        installation = workspace.installation
        installation.run(token_endings.purge(installation.desk.store, now_ms() + expiry.LONGEST_TOKEN_MS))
        [ending] = installation.run(token_endings.of_contact(installation.desk.store, workspace.id, device.contact_id))
        assert ending.token_id == one["token_id"], "it is still known when others are forgotten"

    def test_one_that_was_given_for_a_chat(self, front: Front, fake: FakeProvider) -> None:
        front.queue("support")
        bearer, chat, workspace = front.visitor(), new_uuid(), front.workspace
        assert front.route(chat, bearer=bearer).status_code == 200
        told = front.set_identity(chat, front.proof(fake.id_token()), bearer=bearer).json()
        [one] = [each for each in tokens(workspace, told["contactId"]) if each["conversation_id"]]
        signed_in(workspace).post(f"/contacts/{told['contactId']}/end-token", token_id=one["token_id"])
        eventually(lambda: workspace.me(told["contactToken"]).status_code == 401, within=5)
        assert front.say(chat, "as myself?", bearer=bearer).status_code == 404, "nobody acts as the person there"

    def test_a_visitor_session_ends_for_good(self, front: Front) -> None:
        front.queue("support")
        session = front.session()
        assert front.route(new_uuid(), bearer=session["access_token"]).status_code == 200
        workspace, visitor = front.workspace, session["visitor_id"]
        [one] = tokens(workspace, visitor)
        installation = workspace.installation
        installation.run(devices.end(installation.desk, workspace.id, visitor, one["token_id"]))
        assert front.refresh(session["refresh_token"]).status_code == 400
        eventually(lambda: front.route(new_uuid(), bearer=session["access_token"]).status_code == 401, within=5)


class TestMerges:
    def test_both_tell_of_them(self, workspace: Workspace) -> None:
        (_, one), (_, two) = workspace.sign_in("one@example.com"), workspace.sign_in("two@example.com")
        member = signed_in(workspace, Role.ADMIN)
        member.post(f"/contacts/{one}/merge", into=two)
        member.post(f"/contacts/{one}/unmerge")
        of_one, of_two = (member.shown(f"/contacts/{each}").partition("History of merges")[2] for each in (one, two))
        for line in (f"merged into {two}", f"parted from {two}"):
            assert line in of_one
        for line in (f"took in {one}", f"let go of {one}"):
            assert line in of_two
        assert f"staff:{member.id}" in of_two


class TestExport:
    def test_is_everything_and_no_credential(self, workspace: Workspace) -> None:
        device = verified(workspace, http_action_overrides={"headers": {"X-Key": "a-credential"}})
        device.say(device.start(), "remember me")
        member = signed_in(workspace, Role.ADMIN)
        answer = member.get(f"/contacts/{device.contact_id}/export")
        assert answer.headers["content-disposition"] == f'attachment; filename="contact-{device.contact_id}.json"'
        assert answer.headers["content-type"] == "application/json"
        [person] = answer.json()["people"]
        assert person["contact"]["email"] == "ada@example.com"
        assert person["conversations"][0]["messages"][-1]["text"] == "remember me"
        assert "a-credential" not in answer.text
        assert "secret_hash" not in answer.text
        refused(signed_in(workspace, Role.RESPONDER).get(f"/contacts/{device.contact_id}/export"), 403, "role_required")
        admin = Admin(workspace.installation, workspace.id)
        assert len(admin.get("audit", action="contact.export")["items"]) == 1

    def test_has_the_same_on_every_surface(self, front: Front, fake: FakeProvider) -> None:
        front.queue("support")
        workspace = front.workspace
        told = front.route(new_uuid(), proof=front.proof(fake.id_token(sub="canary-subject"))).json()
        contact_id, device = told["contactId"], Device(workspace, told["contactToken"])
        chat = device.start()
        assert device.do("checkpoint", chat, payload={"step": "canary-checkpoint"}).status_code == 200
        assert device.resolve(chat).status_code == 200
        assert device.do("csat", chat, score=4, feedback="canary-feedback").status_code == 200
        shown = Admin(workspace.installation, workspace.id).get(f"contacts/{contact_id}/export")["contact"]
        printed = workspace.installation.command("contact", "export", contact_id, "-w", workspace.id).json["contact"]
        [kept] = signed_in(workspace, Role.ADMIN).get(f"/contacts/{contact_id}/export").json()["people"]
        for found in (shown, printed, kept):
            assert "canary-feedback" in json.dumps(found)
            assert found["provider_identities"] == [{"issuer": fake.issuer, "subject": "canary-subject"}]
            assert {each["method"] for each in found["sign_ins"]} == {"token_exchange"}
            assert all(each["at"] and each["address"] for each in found["sign_ins"])
            chats = [each.get("conversation", each) for each in found["conversations"]]
            assert {"step": "canary-checkpoint"} in [each["checkpoint"] for each in chats]
            assert found.get("contact", found).keys() >= {"labels", "phone_e164"}
