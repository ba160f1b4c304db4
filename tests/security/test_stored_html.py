"""An attacker writes markup wherever text can be stored, and a reader that renders Markdown with raw HTML, unsanitised,
inside the host page gets it back (contracts/opencx.md section 0.10): nothing of it may run.

The same texts in a real browser: tests/e2e/test_widget_contract.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fixtures.fake_bot import FakeBot, says
from tests.fixtures.front_door import Workspace
from tests.fixtures.hostile_markdown import HOSTILE, dangers_of
from tests.fixtures.responding import answered_by_bot
from tests.fixtures.widget import Device, anonymous, new_uuid, reply

ALL = list(HOSTILE.values())


def shown_as_markup(answer: httpx.Response) -> list[str]:
    """Every text of an answer that the stock widget renders: rows that are not the visitor's, previews, replies."""
    assert answer.status_code in {200, 201}, answer.text
    return [text for text in _walk(answer.json()) if text]


def _walk(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for member in value for text in _walk(member)]
    if not isinstance(value, dict):
        return []
    found = [text for member in value.values() for text in _walk(member)]
    if "sender" in value and value["sender"]["kind"] != "user":
        found.append(value["content"]["text"])
    if "lastMessage" in value:
        found.append(value["lastMessage"])
    if "autopilotResponse" in value:
        found.append(value["autopilotResponse"]["value"]["content"])
    return found


def everything(visitor: Device, session: str) -> list[str]:
    """All that a visitor's device would render of a session."""
    answers = (visitor.poll(session), visitor.sessions(), visitor.call("GET", f"/session/history/{session}"))
    return [text for answer in answers for text in shown_as_markup(answer)]


def harmless(texts: list[str]) -> None:
    dangers = {text: list(dangers_of(text)) for text in texts}
    assert {text: found for text, found in dangers.items() if found} == {}


def test_in_a_staff_members_reply(workspace: Workspace) -> None:
    visitor = anonymous(workspace)
    session = visitor.start()
    visitor.say(session)
    for text in ALL:
        reply(workspace, session, text)
        harmless(shown_as_markup(visitor.sessions()))
    texts = everything(visitor, session)
    assert len(texts) == 2 * len(ALL) + 2
    harmless(texts)


def test_in_a_bots_answer(shop_front: Workspace, bot: FakeBot) -> None:
    """Or a language model's, which repeats what it was made to read."""
    answered_by_bot(shop_front, bot)
    visitor = anonymous(shop_front)
    session = visitor.start()
    for text in ALL:
        bot.reply = says(text=text)
        answer = visitor.send(session, "hello")
        replied = answer.json()["autopilotResponse"]
        assert replied["value"]["content"]
        harmless(shown_as_markup(answer))
        # The same text under the same id, or the widget shows it twice.
        row = visitor.history(session)[-1]
        assert (row["publicId"], row["content"]["text"]) == (replied["id"], replied["value"]["content"])
    harmless(everything(visitor, session))


def test_in_the_greetings_that_a_page_says_it_has_shown(workspace: Workspace) -> None:
    for at in range(0, len(ALL), 20):
        visitor = anonymous(workspace)
        session = visitor.start()
        greetings = [{"uuid": new_uuid(), "content": text} for text in ALL[at : at + 20]]
        harmless(shown_as_markup(visitor.send(session, "hello", initial_messages=greetings)))
        harmless(everything(visitor, session))


def test_in_the_preview_of_what_the_visitor_wrote(workspace: Workspace) -> None:
    """Their own row is plain text there, and comes as it was written; its preview is not."""
    visitor = anonymous(workspace)
    session = visitor.start()
    for text in ALL:
        harmless(shown_as_markup(visitor.send(session, text)))
        harmless(shown_as_markup(visitor.sessions()))
    assert [text for _, text in visitor.texts(session)] == ALL


@pytest.mark.parametrize("length", [195, 198, 199, 200, 201])
def test_in_a_preview_that_is_cut_in_the_middle_of_it(workspace: Workspace, length: int) -> None:
    visitor = anonymous(workspace)
    session = visitor.start()
    for text in ("<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "&#106;avascript:", "`<b>`"):
        reply(workspace, session, "x" * (length - len(text) // 2) + text)
        harmless(shown_as_markup(visitor.sessions()))


@pytest.mark.parametrize(
    "where",
    [
        lambda hostile: {"custom_data": {hostile: hostile}},
        lambda hostile: {"language": hostile[:35]},
        lambda hostile: {"clientContext": {hostile: hostile}},
        lambda hostile: {"headers": {hostile: hostile}},
        lambda hostile: {"uuid": hostile},
        lambda hostile: {hostile: hostile},
    ],
)
def test_in_any_other_member_of_a_message(workspace: Workspace, where: Callable[[str], dict[str, Any]]) -> None:
    visitor = anonymous(workspace)
    session = visitor.start()
    answer = visitor.send(session, "hello", **where(HOSTILE["img onerror"]))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    harmless(everything(visitor, session))
    assert "onerror" not in visitor.sessions().text


def test_no_answer_is_ever_a_page(workspace: Workspace) -> None:
    """A link straight to the API shows text, whatever is in it and whatever a browser asks for."""
    visitor = anonymous(workspace)
    session = visitor.start(note="<script>alert(1)</script>")
    visitor.say(session, "<script>alert(1)</script>")
    wanted = {"accept": "text/html,*/*"}
    answers = [
        visitor.poll(session, headers=wanted),
        visitor.sessions(headers=wanted),
        visitor.call("GET", "/<script>alert(1)</script>", headers=wanted),
        visitor.call("GET", "/poll/<script>alert(1)</script>", headers=wanted),
        visitor.call("POST", "/create-session", {"customData": {"<script>": []}}, headers=wanted),
        visitor.call("GET", "/sessions", headers=wanted, params={"filters": "<script>alert(1)</script>"}),
    ]
    for answer in answers:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        json.loads(answer.content)


def test_what_is_stored_is_what_was_written(workspace: Workspace) -> None:
    """Neutralising is for one kind of reader; staff, exports and other surfaces get the text itself."""
    visitor = anonymous(workspace)
    session = visitor.start()
    for text in ALL:
        reply(workspace, session, text)
    sql = "SELECT text FROM messages WHERE workspace_id = $1 ORDER BY seq"
    assert [row[0] for row in workspace.installation.rows(sql, workspace.id)] == ALL
