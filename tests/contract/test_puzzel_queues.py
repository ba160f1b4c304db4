"""Queues: who may come in, when, and how operators set them up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import Front, problem
from tests.fixtures.widget import new_uuid
from vestibule.administration.queues import hours_text, read_hours
from vestibule.conversations.queues import is_open, opens_at
from vestibule.errors import InvalidField
from vestibule.model.queue import QueueSettings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def closed_now() -> str:
    """Hours of the day before yesterday."""
    return f"{DAYS[(datetime.now(UTC) - timedelta(days=2)).weekday()]} 09:00-10:00"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_an_unknown_queue_is_not_there(front: Front, fake: FakeProvider) -> None:
    bearer, proof = front.visitor(), front.proof(fake.id_token())
    for key in ("nowhere", "%00", "x" * 65, "%C3%A9"):
        problem(front.route(new_uuid(), queue=key, bearer=bearer), 404, "not_found")
        problem(front.route(new_uuid(), queue=key, proof=proof), 404, "not_found")
    other = Front(front.workspace.installation.workspace())
    other.queue("theirs")
    problem(front.route(new_uuid(), queue="theirs", bearer=bearer), 404, "not_found")
    assert front.route(new_uuid(), queue=front.queue(), proof=proof).status_code == 200, "nothing was spent"


def test_a_queue_may_take_identified_chats_only(front: Front, fake: FakeProvider) -> None:
    front.queue("private", "--identified-only")
    front.queue("open")
    bearer, conversation_id = front.visitor(), new_uuid()
    problem(front.route(conversation_id, queue="private", bearer=bearer), 403, "authentication_required")
    assert front.route(conversation_id, queue="open", bearer=bearer).status_code == 200
    problem(front.route(conversation_id, queue="private", bearer=bearer), 403, "authentication_required")
    front.set_identity(conversation_id, front.proof(fake.id_token()), bearer=bearer)
    assert front.route(conversation_id, queue="private", bearer=bearer).json()["queueKey"] == "private"
    token = front.route(new_uuid(), queue="private", proof=front.proof(fake.id_token())).json()["contactToken"]
    assert front.route(new_uuid(), queue="private", bearer=token).json()["identified"] is True


def test_a_chat_is_moved_by_routing_it_again(front: Front) -> None:
    front.queue("first")
    front.queue("second")
    bearer, conversation_id = front.visitor(), new_uuid()
    for key in ("first", "second", "second"):
        assert front.route(conversation_id, queue=key, bearer=bearer, method="PUT").json()["queueKey"] == key
    shown = front.workspace.installation.cli("conversation", "show", conversation_id, "-w", front.workspace.id)
    assert shown["queue"] == "second"


def test_a_closed_queue_says_so_and_spends_nothing(front: Front, fake: FakeProvider) -> None:
    front.queue("day", "--hours", closed_now())
    proof, bearer = front.proof(fake.id_token()), front.visitor()
    for given in (None, bearer):
        problem(front.route(new_uuid(), queue="day", proof=proof, bearer=given), 409, "queue_closed")
    problem(front.route(new_uuid(), queue="day", bearer=bearer), 409, "queue_closed")
    front.queue("day")
    conversation_id = new_uuid()
    assert front.route(conversation_id, queue="day", proof=proof, bearer=bearer).status_code == 200
    front.queue("day", "--hours", closed_now())
    assert front.route(conversation_id, queue="day", proof=proof, bearer=bearer).status_code == 200, "it waits there"


def test_anybody_may_read_what_a_queue_is(front: Front) -> None:
    hours = ("--hours", "mon-fri 09:00-17:00", "--hours", "sat 22:00-02:00")
    front.queue("support", "--name", "Support", *hours, "--time-zone", "Europe/Oslo", "--identified-only")
    bearer = front.visitor()
    answers = [
        front.call("GET", "/api/queue/info/support", bearer=bearer),
        front.call("GET", "/api/queue/info/support", customerId=front.customer_id),
    ]
    for answer in answers:
        body = answer.json()
        assert (body.pop("open"), body.pop("opensAt") is None) in {(True, True), (False, False)}
        assert body == {
            "queueKey": "support",
            "name": "Support",
            "identifiedOnly": True,
            "timeZone": "Europe/Oslo",
            "openingHours": [
                {"days": ["mon", "tue", "wed", "thu", "fri"], "opens": "09:00", "closes": "17:00"},
                {"days": ["sat"], "opens": "22:00", "closes": "02:00"},
            ],
        }
    problem(front.call("GET", "/api/queue/info/support"), 401, "invalid_session", cause="missing_credentials")
    problem(front.call("GET", "/api/queue/info/other", bearer=bearer), 404, "not_found")
    nobody = problem(front.call("GET", "/api/queue/info/support", customerId="nobody"), 404, "not_found")
    assert nobody == problem(front.call("GET", "/api/queue/info/other", customerId=front.customer_id), 404, "not_found")


def test_operators_set_list_and_remove_queues(front: Front) -> None:
    def command(*arguments: str) -> Any:
        return installation.command("queue", *arguments, "-w", front.workspace.id, "--json")

    installation = front.workspace.installation
    front.queue("b", "--hours", "mon,wed-fri 08:00-12:00", "--time-zone", "Europe/Oslo")
    front.queue("a")
    listed = installation.cli("queue", "list", "-w", front.workspace.id)["items"]
    assert [(item["key"], item["name"], item["hours"], item["time_zone"]) for item in listed] == [
        ("a", "a", [], "UTC"),
        ("b", "b", ["mon,wed,thu,fri 08:00-12:00"], "Europe/Oslo"),
    ]
    assert command("remove", "a").json == {"removed": "a"}
    command("remove", "a").refused("not_found")
    command("set", "x y").refused("invalid_field", names="key")
    command("set", "x", "--name", " ").refused("invalid_field", names="name")
    command("set", "x", "--time-zone", "../etc/passwd").refused("invalid_field", names="time_zone")
    command("set", "x", "--hours", "monday 9-17").refused("invalid_field", names="hours")
    installation.command("queue", "list", "-w", "nobody", "--json").refused("not_found")


@pytest.mark.parametrize(
    ("now", "open_", "opens"),
    [
        ("2026-11-20T08:59:59+01:00", False, "2026-11-20T09:00:00+01:00"),
        ("2026-11-20T09:00:00+01:00", True, None),
        ("2026-11-20T16:59:59+01:00", True, None),
        ("2026-11-20T17:00:00+01:00", False, "2026-11-21T22:00:00+01:00"),
        ("2026-11-21T23:00:00+01:00", True, None),
        ("2026-11-22T01:59:00+01:00", True, None),
        ("2026-11-22T02:00:00+01:00", False, "2026-11-23T09:00:00+01:00"),
        # The Monday after clocks went forward: nine on the wall is seven, no longer eight, in UTC.
        ("2027-03-29T06:59:00+00:00", False, "2027-03-29T07:00:00+00:00"),
        ("2027-03-29T07:00:00+00:00", True, None),
    ],
)
def test_opening_hours_are_by_the_clock_on_the_wall(now: str, open_: bool, opens: str | None) -> None:  # noqa: FBT001
    settings = QueueSettings("q", hours=read_hours(["mon-fri 09:00-17:00", "sat 22:00-02:00"]), time_zone="Europe/Oslo")
    assert is_open(settings, ms(now)) is open_
    assert opens_at(settings, ms(now)) == (ms(opens) if opens else None)


def test_the_whole_day_and_no_day() -> None:
    always = QueueSettings("q", hours=read_hours(["mon-sun 00:00-24:00"]))
    assert is_open(always, ms("2026-11-21T23:59:59+00:00"))
    assert is_open(QueueSettings("q"), 0)
    unknown_zone = QueueSettings("q", hours=read_hours(["mon-sun 00:00-24:00"]), time_zone="Nowhere/Land")
    assert not is_open(unknown_zone, 0)
    assert opens_at(unknown_zone, 0) is None


def test_hours_are_read_strictly() -> None:
    assert [hours_text(hours) for hours in read_hours([" Mon-Wed,sun 00:00-24:00 "])] == ["mon,tue,wed,sun 00:00-24:00"]
    for wrong in (
        "",
        "mon",
        "mon 9:00-17:00",
        "fri-mon 09:00-10:00",
        "mon- 09:00-10:00",
        "mon 09:60-10:00",
        "x 09:00-10:00",
    ):
        with pytest.raises(InvalidField):
            read_hours([wrong])
    with pytest.raises(InvalidField):
        read_hours(["mon 09:00-24:01"])
