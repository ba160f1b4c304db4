"""What becomes of a reply of staff that is sent twice or too late, and where the forms of the inbox lead."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.test_dashboard_pages import audited
from tests.fixtures.front_door import Installation
from tests.fixtures.staff import Member, refused, signed_in
from tests.fixtures.widget import Device, new_uuid, verified
from vestibule.model.staff import Role


@pytest.fixture
def device(installation: Installation) -> Device:
    return verified(installation.workspace())


@pytest.fixture
def member(device: Device) -> Member:
    return signed_in(device.workspace, Role.RESPONDER)


def id_in(page: httpx.Response) -> str:
    """Under which the page sends a reply."""
    [found] = re.findall(r'<input type="hidden" name="id" value="([^"]+)"', page.text)
    return str(found)


def field(page: httpx.Response) -> tuple[str, bool]:
    """What stands where a reply is written, and whether it can be changed."""
    found = re.search(r'<textarea id="text"([^>]*)>\n([^<]*)</textarea>', page.text)
    assert found, page.text
    return html.unescape(found[2]), "readonly" not in found[1]


def told(device: Device, chat: str) -> list[str]:
    """What the visitor reads of staff."""
    return [text for kind, text in device.texts(chat) if kind == "agent"]


def test_a_form_that_is_sent_twice_is_one_reply(device: Device, member: Member) -> None:
    chat = device.start()
    sent_as = id_in(member.get(f"/inbox/{chat}"))

    def send(_number: int) -> httpx.Response:
        return member.post(f"/inbox/{chat}/reply", text="On its way.", id=sent_as)

    # At once, as by a double click, and after a colleague has closed the chat, as when a lost answer is asked for anew.
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(send, range(3)))
    assert member.post(f"/inbox/{chat}/resolve").status_code == 303
    for answer in (*answers, send(3)):
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == f"/dashboard/inbox/{chat}?done=replied"
    assert told(device, chat) == ["On its way."]
    assert audited(device.workspace, "conversation.reply", member) == 1


def test_an_id_that_is_taken_sends_nothing_and_loses_nothing(device: Device, member: Member) -> None:
    chat, elsewhere = device.start(), device.start()
    ours, theirs = id_in(member.get(f"/inbox/{chat}")), device.say(chat, "Thanks")
    assert id_in(member.get(f"/inbox/{chat}")) != ours, "each page has its own"
    assert member.post(f"/inbox/{chat}/reply", text="On its way.", id=ours).status_code == 303
    for taken, text in ((ours, "It <b>comes</b> today."), (theirs, "Thanks")):
        answer = member.post(f"/inbox/{chat}/reply", text=text, id=taken)
        refused(answer, 409, "already_exists")
        assert field(answer) == (text, True)
        assert id_in(answer) not in {ours, theirs}, "sent again, it is sent"
    assert told(device, chat) == ["On its way."]
    assert ("user", "Thanks") in device.texts(chat)
    assert audited(device.workspace, "conversation.reply", member) == 1
    # In another chat it is another one's name, and what is no id is as none.
    for given in (ours, "", "x", new_uuid().upper()):
        assert member.post(f"/inbox/{elsewhere}/reply", text="again", id=given).status_code == 303
    assert told(device, elsewhere) == ["again"] * 4


def test_what_was_typed_is_kept_where_it_cannot_be_sent(device: Device, member: Member) -> None:
    chat = device.start()
    path = f"/inbox/{chat}/reply?show=mine"
    for text in (" \n ", "x" * 32_769):
        answer = member.post(path, text=text)
        refused(answer, 400, "invalid_field")
        assert field(answer) == (text, True)
    # By a colleague, while this was written.
    assert member.post(f"/inbox/{chat}/resolve").status_code == 303
    late = '\nIt <b>comes</b> today, & "early".\n'
    answer = member.post(path, text=late)
    refused(answer, 409, "conversation_closed")
    assert "This conversation is closed." in answer.text
    assert field(answer) == (late, False)
    assert f'action="/dashboard/inbox/{chat}/reply' not in answer.text
    assert 'href="/dashboard/inbox?show=mine"' in answer.text
    assert told(device, chat) == []
    assert "<textarea" not in member.get(f"/inbox/{chat}").text


def test_a_form_leads_back_into_the_filter_it_was_sent_from(device: Device, member: Member) -> None:
    chat = device.start()
    for action, done in (("take", "taken"), ("reply", "replied"), ("resolve", "resolved")):
        refused(member.post(f"/inbox/{chat}/{action}?show=x", text="x"), 400, "invalid_field")
        assert f'action="/dashboard/inbox/{chat}/{action}?show=mine"' in member.get(f"/inbox/{chat}?show=mine").text
        answer = member.post(f"/inbox/{chat}/{action}?show=mine", text="On its way.")
        assert answer.headers["location"] == f"/dashboard/inbox/{chat}?done={done}&show=mine", answer.text
        assert audited(device.workspace, f"conversation.{action}", member) == 1, "once: not with a filter there is not"
    assert told(device, chat) == ["On its way."]
