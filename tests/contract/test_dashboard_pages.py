from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pytest

from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.staff import Member, refused, signed_in
from tests.fixtures.widget import Device, anonymous, claiming, new_uuid, unverified_token, verified
from vestibule.administration import contacts
from vestibule.model.staff import Role

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


@pytest.fixture
def endpoint() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint({"good": {"id": "4711", "name": "Ada", "email": "ada@example.com"}}) as running:
        yield running


def conversation_of(workspace: Workspace, contact_id: str) -> str:
    [(found,)] = workspace.installation.rows(
        "SELECT id FROM conversations WHERE workspace_id = $1 AND contact_id = $2", workspace.id, contact_id
    )
    return str(found)


def audited(workspace: Workspace, action: str, member: Member) -> int:
    rows = workspace.installation.rows(
        "SELECT document FROM audit_entries WHERE workspace_id = $1 AND action = $2", workspace.id, action
    )
    return sum(f"staff:{member.id}" in document for (document,) in rows)


class TestOverview:
    def test_an_empty_one_says_what_to_do_next(self, workspace: Workspace) -> None:
        text = signed_in(workspace, Role.VIEWER).shown()
        assert "Nobody has been authenticated in the last 24 hours." in text
        assert "Set up next" in text
        assert f"vestibule provider add NAME --workspace {workspace.id}" in text

    def test_counts_those_who_came_in(self, workspace: Workspace) -> None:
        for number in range(3):
            workspace.sign_in(f"person{number}@example.com")
        workspace.authenticate(email="no address")
        verified(workspace).start()
        text = signed_in(workspace).shown()
        assert "4 contacts" in text
        assert "1 open chats" in text
        assert "4 of 4 who were let in are proven." in text
        assert "invalid_field" in text


class TestInbox:
    def test_an_empty_one_says_what_to_do_next(self, workspace: Workspace) -> None:
        member = signed_in(workspace)
        assert "Nothing is open." in member.shown("/inbox")
        assert "Nobody waits for you." in member.shown("/inbox?show=handed-off")

    def test_says_of_each_person_and_message_how_far_to_trust_it(self, workspace: Workspace) -> None:
        ada, claims, nobody = verified(workspace), claiming(workspace, "ada@example.com"), anonymous(workspace)
        for device in (ada, claims, nobody):
            device.say(device.start(), "it is me")
        member = signed_in(workspace, Role.VIEWER)
        assert member.shown("/inbox").count("it is me") == 3
        for device, mark, why in (
            (ada, "Verified", "by server to server"),
            (claims, "Claimed", "what they say of themselves is not proven"),
            (nobody, "Anonymous", "nothing is known of them"),
        ):
            page = member.shown(f"/inbox/{conversation_of(workspace, device.contact_id)}")
            assert why in page
            others = {"Verified", "Claimed", "Anonymous"} - {mark}
            live = member.shown(f"/inbox/{conversation_of(workspace, device.contact_id)}/live")
            assert mark in live
            assert not any(other in live for other in others), live

    def test_nothing_that_a_visitor_says_becomes_markup(self, workspace: Workspace) -> None:
        device = verified(workspace, "a@example.com", name=HOSTILE, custom_data={"said": HOSTILE})
        device.say(device.start(), HOSTILE)
        member = signed_in(workspace)
        chat = conversation_of(workspace, device.contact_id)
        for path in (
            "/inbox",
            "/inbox-live",
            f"/inbox/{chat}",
            f"/inbox/{chat}/live",
            "/contacts",
            f"/contacts?q={HOSTILE.replace('&', '%26')}",
            f"/contacts/{device.contact_id}",
            f"/contacts/{device.contact_id}/erase",
            f"/contacts/{device.contact_id}/merge?into={device.contact_id}",
            f"/audit?code={HOSTILE[:40].replace('&', '%26')}",
        ):
            page = member.get(path)
            assert page.status_code == 200, path
            assert "&lt;script&gt;" in page.text, path
            assert not {"<script>alert", "<img"} & {part for part in ("<script>alert", "<img") if part in page.text}
        typed = member.post("/debugger", kind="id_token", token=HOSTILE)
        assert (typed.status_code, HOSTILE in typed.text, "&lt;script&gt;" in typed.text) == (200, False, False)
        refused(member.post("/debugger", kind=HOSTILE, token="x"), 400, "invalid_field")

    def test_answering_taking_over_and_resolving(self, workspace: Workspace) -> None:
        device = verified(workspace)
        chat = device.start()
        device.say(chat, "Where is my order?")
        member = signed_in(workspace, Role.RESPONDER, name="Grace Hopper")
        assert member.post(f"/inbox/{chat}/take").headers["location"] == f"/dashboard/inbox/{chat}?done=taken"
        answer = member.post(f"/inbox/{chat}/reply", text="On its way.\r\nTomorrow <b>early</b>.")
        assert answer.status_code == 303
        assert "Sent." in member.shown(answer.headers["location"].removeprefix("/dashboard"))
        assert device.history(chat)[-1]["content"]["text"].startswith("On its way.\nTomorrow")
        assert member.post(f"/inbox/{chat}/resolve").status_code == 303
        assert "nothing can be written into it any more" in member.shown(f"/inbox/{chat}")
        refused(member.post(f"/inbox/{chat}/reply", text="late"), 409, "conversation_closed")
        refused(member.post(f"/inbox/{chat}/reply", text=" "), 400, "invalid_field")
        refused(member.post(f"/inbox/{chat}/reply", text="x" * 32_769), 400, "invalid_field")
        for action in ("take", "reply", "resolve"):
            assert audited(workspace, f"conversation.{action}", member) == 1
        assert "Resolved" in member.shown("/inbox?show=resolved")
        assert "Where is my order?" not in member.shown("/inbox")

    def test_pages_of_chats(self, workspace: Workspace) -> None:
        devices = [verified(workspace, f"p{number}@example.com") for number in range(32)]
        chats = [device.start() for device in devices]
        member = signed_in(workspace)
        first = member.get("/inbox").text
        assert first.count("/dashboard/inbox/0") == 30
        devices[2].say(chats[2], "The last of the page is the first one now.")
        older = first.partition("cursor=")[2].partition('"')[0]
        assert member.get(f"/inbox?show=open&cursor={older}").text.count("/dashboard/inbox/0") == 2
        for bad in ("cursor=x", "show=x", "cursor=ImEi", "show=open&show=all"):
            refused(member.get(f"/inbox?{bad}"), 400, "invalid_field")
        for chat in chats[:2]:
            member.post(f"/inbox/{chat}/resolve")
        full = member.get("/inbox").text
        assert (full.count("/dashboard/inbox/0"), "cursor=" in full) == (30, False), "Older would lead to nothing"

    def test_a_page_s_greeting_is_not_shown_as_ours(self, workspace: Workspace) -> None:
        """Whoever has the public token of the widget can have the page say anything."""
        device = anonymous(workspace)
        greeting = {"uuid": new_uuid(), "content": "Your refund is approved."}
        device.say(device.start(), "So where is it?", initial_messages=[greeting])
        member = signed_in(workspace, Role.VIEWER)
        for path in ("", "/live"):
            page = member.get(f"/inbox/{conversation_of(workspace, device.contact_id)}{path}").text
            bubble = page.partition("Your refund is approved.")[0].rpartition("<li")[2]
            assert 'class="theirs claimed"' in bubble
            assert "Shown by the page, by its own word" in bubble
            assert ">AI<" not in bubble


class TestContacts:
    def test_found_by_what_was_typed(self, workspace: Workspace) -> None:
        _, contact = workspace.sign_in("ada@example.com", name="Ada Lovelace", phone="+4930901820")
        workspace.sign_in("grace@example.com", name="Grace Hopper")
        member = signed_in(workspace, Role.VIEWER)
        for asked in ("ada l", "ADA@ex", "%2B49 30 901820", contact):
            page = member.shown(f"/contacts?q={asked}")
            assert ("Ada Lovelace" in page, "Grace Hopper" in page) == (True, False), asked
        assert "Nobody found." in member.shown("/contacts?q=nobody")
        assert "Nobody found." in member.shown("/contacts?q=ada&trust=unverified")
        assert "Nobody here is unverified." in member.shown("/contacts?trust=unverified")
        assert "Nobody yet." in signed_in(workspace.installation.workspace()).shown("/contacts")

    def test_claimed_custom_data_says_whose_word_it_is_and_since_when(self, workspace: Workspace) -> None:
        token = unverified_token(workspace, non_verified_custom_data={"plan": "gold"})
        device = Device(workspace, token, new_uuid())
        device.say(device.start())
        page = signed_in(workspace).shown(f"/contacts/{device.contact_id}")
        claimed = page.partition("Claimed by the visitor")[2]
        assert re.search(r"plan: gold the visitor's own word, \d+ \w+ \d{4}, ", claimed), claimed

    def test_verified_and_claimed_stand_apart(self, workspace: Workspace) -> None:
        _, proven = workspace.sign_in("ada@example.com", name="Ada", custom_data={"vip": True})
        claims = claiming(workspace, "ada@example.com", name="Ada")
        claims.start()
        member = signed_in(workspace, Role.VIEWER)
        page = member.shown(f"/contacts/{proven}")
        before, _, claimed = page.partition("Claimed by the visitor")
        assert "vip: true server to server" in before
        assert "Nothing is merely claimed." in claimed
        before, _, claimed = member.shown(f"/contacts/{claims.contact_id}").partition("Claimed by the visitor")
        assert "Nothing of them is proven." in before
        assert "ada@example.com" in claimed
        assert "Erase" not in page, "a viewer looks only"

    def test_merged_after_a_look_and_undone(self, workspace: Workspace) -> None:
        (_, one), (_, two) = workspace.sign_in("one@example.com", name="One"), workspace.sign_in("two@example.com")
        member = signed_in(workspace, Role.ADMIN)
        preview = member.shown(f"/contacts/{one}/merge?into=two@example.com")
        assert "one@example.com two@example.com" in preview
        assert audited(workspace, "contact.merge", member) == 0, "a look changes nothing"
        done = member.post(f"/contacts/{one}/merge", into=two)
        assert done.headers["location"] == f"/dashboard/contacts/{two}?done=merged"
        assert "One" in member.shown(f"/contacts/{two}").partition("Merged into this one")[2]
        refused(member.post(f"/contacts/{one}/merge", into=two), 409, "conflict")
        assert "Undo that first" in member.shown(f"/contacts/{one}/merge?into={two}")
        assert member.post(f"/contacts/{one}/unmerge").status_code == 303
        assert audited(workspace, "contact.merge", member) == audited(workspace, "contact.unmerge", member) == 1
        assert "same contact" in member.shown(f"/contacts/{one}/merge?into={one}")
        claims = claiming(workspace, "one@example.com")
        claims.start()
        assert "must not come to look proven" in member.shown(f"/contacts/{claims.contact_id}/merge?into={one}")
        refused(member.post(f"/contacts/{claims.contact_id}/merge", into=one), 409, "conflict")
        for into in ("nobody@example.com", "x", "%00"):
            assert member.get(f"/contacts/{one}/merge?into={into}").status_code in {400, 404}
        assert member.post(f"/contacts/{one}/merge", into="a\r\nset-cookie: x").status_code == 404

    def test_signed_out_on_all_devices(self, workspace: Workspace) -> None:
        _, contact = workspace.sign_in()
        member = signed_in(workspace, Role.ADMIN)
        assert member.post(f"/contacts/{contact}/sign-out").status_code == 303
        assert audited(workspace, "contact.sign_out", member) == 1

    def test_erased_once_the_word_was_typed(self, workspace: Workspace) -> None:
        device = verified(workspace)
        device.say(device.start(), "forget me")
        contact = device.contact_id
        member = signed_in(workspace, Role.ADMIN)
        assert "1 chat and 0 files are deleted" in member.shown(f"/contacts/{contact}/erase")
        for word in ("", "yes"):
            refused(member.post(f"/contacts/{contact}/erase", word=word), 400, "invalid_field")
        assert member.get(f"/contacts/{contact}").status_code == 200
        assert member.post(f"/contacts/{contact}/erase", word="Erase").status_code == 303
        refused(member.get(f"/contacts/{contact}"), 404, "not_found")
        assert audited(workspace, "contact.erase", member) == 1

    def test_one_that_was_merged_is_signed_out_with_the_other_and_erased_by_it(self, workspace: Workspace) -> None:
        (_, one), (_, two) = workspace.sign_in("one@example.com"), workspace.sign_in("two@example.com")
        member = signed_in(workspace, Role.ADMIN)
        member.post(f"/contacts/{one}/merge", into=two)
        assert f"/contacts/{one}/erase" not in member.get(f"/contacts/{one}").text
        refused(member.get(f"/contacts/{one}/erase"), 409, "conflict")
        refused(member.post(f"/contacts/{one}/erase", word="erase"), 409, "conflict")
        assert "1 merged into it" in member.shown(f"/contacts/{two}/erase")
        assert member.post(f"/contacts/{one}/sign-out").status_code == 303
        sql = "SELECT contact_id FROM token_endings WHERE workspace_id = $1"
        assert {row[0] for row in workspace.installation.rows(sql, workspace.id)} == {one, two}

    def test_another_workspace_s_is_not_there(self, workspace: Workspace) -> None:
        device = verified(workspace)
        chat, contact = device.start(), device.contact_id
        stranger = signed_in(workspace.installation.workspace())
        _, own = stranger.workspace.sign_in()
        for path in (
            f"/inbox/{chat}",
            f"/inbox/{chat}/live",
            f"/contacts/{contact}",
            f"/contacts/{contact}/erase",
            f"/contacts/{own}/merge?into={contact}",
            f"/contacts/{contact}/merge?into={own}",
        ):
            refused(stranger.get(path), 404, "not_found")
        for path in (
            f"/inbox/{chat}/reply",
            f"/inbox/{chat}/take",
            f"/inbox/{chat}/resolve",
            f"/contacts/{contact}/sign-out",
            f"/contacts/{contact}/erase",
            f"/contacts/{contact}/merge",
            f"/contacts/{contact}/unmerge",
            f"/contacts/{own}/merge",
        ):
            refused(stranger.post(path, text="x", word="erase", into=contact), 404, "not_found")
        assert contact not in stranger.get(f"/contacts?q={contact}").text.replace(f'value="{contact}"', "")
        installation = workspace.installation
        assert installation.run(contacts.get(installation.desk, workspace.id, contact)).merged_into is None


class TestDebugger:
    def test_tells_each_check_of_a_good_token(self, front: Front, fake: FakeProvider) -> None:
        member = signed_in(front.workspace, Role.ADMIN)
        token = fake.id_token()
        answer = member.post("/debugger", kind="id_token", token=token)
        assert answer.status_code == 200
        assert "Accepted" in answer.text
        assert answer.text.count('class="pass"') > 8
        assert 'class="fail"' not in answer.text
        assert "A new contact" in answer.text
        assert token not in answer.text
        assert front.workspace.contacts() == [], "nothing is written"

    def test_tells_which_check_failed_and_why(self, front: Front, fake: FakeProvider) -> None:
        member = signed_in(front.workspace, Role.ADMIN)
        answer = member.post("/debugger", kind="id_token", token=fake.id_token(exp=1))
        assert "Refused" in answer.text
        assert answer.text.count('class="fail"') == 1
        assert 'class="later"' in answer.text
        assert "get a fresh one" in answer.text, "what helps"
        assert "expir" in answer.text.partition('class="fail"')[2].partition("</li>")[0]

    def test_a_user_token(self, responding: Installation, endpoint: FakeAuthEndpoint) -> None:
        workspace = responding.workspace()
        member = signed_in(workspace)
        refused(member.post("/debugger", kind="user_token", token="good"), 404, "not_found")
        configure(workspace, endpoint)
        good = member.post("/debugger", kind="user_token", token="good").text
        assert "Accepted" in good
        assert "4711" in good
        bad = member.post("/debugger", kind="user_token", token="other").text
        assert "auth_rejected" in bad
        assert 'class="fail"' in bad
        assert workspace.contacts() == []

    def test_what_cannot_be_tried(self, workspace: Workspace) -> None:
        member = signed_in(workspace)
        for form in (
            {"kind": "id_token"},
            {"kind": "other", "token": "x"},
            {"kind": "id_token", "token": "x" * 16_385},
            {"kind": "id_token", "token": "x", "provider": "one"},
            {"kind": "id_token", "token": "\0"},
        ):
            refused(member.post("/debugger", None, **form), 400, "invalid_field")
        assert "every token is refused" in member.shown("/debugger")


class TestAudit:
    def test_filters_and_pages(self, workspace: Workspace) -> None:
        for number in range(51):
            workspace.sign_in(f"p{number}@example.com")
        workspace.authenticate(email="no address")
        member = signed_in(workspace, Role.VIEWER)
        assert "before=" in member.get("/audit").text
        assert "invalid_field" in member.shown("/audit?outcome=refused&method=&kind=")
        assert "No entry on this page passes the filter." in member.shown("/audit?code=nothing")
        assert "staff.sign_in" in member.shown("/audit?kind=administration&action=staff.sign_in")
        for bad in ("kind=x", "outcome=x", "before=x", "code=a&code=b", "code=" + "x" * 300):
            refused(member.get(f"/audit?{bad}"), 400, "invalid_field")

    def test_the_export_is_csv_without_formulas(self, workspace: Workspace) -> None:
        workspace.post(b'{"email": "a@"}', {"origin": "=cmd()"})
        member = signed_in(workspace, Role.ADMIN)
        answer = member.get("/audit/export?outcome=refused")
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="vestibule-audit.csv"'
        [row] = csv.DictReader(io.StringIO(answer.text))
        assert (row["code"], row["origin"]) == ("invalid_field", "'=cmd()")
        assert audited(workspace, "audit.export", member) == 1
