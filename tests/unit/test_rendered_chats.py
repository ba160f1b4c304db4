"""Rendered histories: found by their version, and bounded by bytes."""

from __future__ import annotations

from vestibule.model.conversation import Assignee, Conversation, Status
from vestibule.surfaces.opencx.widget.rendered import Rendered, RenderedChats


def chat(number: int, version: int = 1) -> Conversation:
    return Conversation(
        workspace_id="w",
        id=str(number),
        contact_id="c",
        verified=True,
        scope=None,
        channel="web",
        ticket_number=number,
        title=None,
        status=Status.OPEN,
        handed_off=False,
        assignee_kind=Assignee.AI,
        assignee_name=None,
        assignee_avatar_url=None,
        mode_id=None,
        checkpoint=None,
        custom_data={},
        language=None,
        last_message=None,
        created_at=1,
        updated_at=1,
        version=version,
        next_seq=1,
    )


def body_of(kept: RenderedChats, conversation: Conversation) -> bytes | None:
    found = kept.find(conversation)
    return found.body if found is not None else None


def test_only_the_version_that_is_asked_for() -> None:
    kept = RenderedChats()
    kept.keep(chat(1), Rendered(1, b"t", b"one"))
    assert body_of(kept, chat(1)) == b"one"
    assert body_of(kept, chat(1, version=2)) is None
    assert body_of(kept, chat(2)) is None
    kept.keep(chat(1, version=2), Rendered(2, b"t", b"two"))
    assert body_of(kept, chat(1)) is None
    assert body_of(kept, chat(1, version=2)) == b"two"


def test_no_more_than_so_many_bytes() -> None:
    kept = RenderedChats(most_bytes=100)
    for number in range(10):
        kept.keep(chat(number), Rendered(1, b"t", b"x" * 30))
    assert [body_of(kept, chat(number)) is not None for number in range(10)] == [False] * 7 + [True] * 3
    for _ in range(10):  # the same again is not counted twice
        kept.keep(chat(9), Rendered(1, b"t", b"x" * 40))
    assert body_of(kept, chat(7)) is not None
    kept.keep(chat(10), Rendered(1, b"t", b"x" * 101))
    assert not [number for number in range(11) if body_of(kept, chat(number)) is not None]


def test_nor_more_than_so_many_chats() -> None:
    kept = RenderedChats()
    for number in range(5_000):
        kept.keep(chat(number), Rendered(1, b"t", b"x"))
    assert sum(body_of(kept, chat(number)) is not None for number in range(5_000)) == 4_096
