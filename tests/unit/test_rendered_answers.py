"""Rendered answers: found by the versions of what they show, and bounded by bytes and number."""

from __future__ import annotations

from vestibule.surfaces.opencx.widget.rendered import Rendered, RenderedAnswers


def body_of(kept: RenderedAnswers, asked: object, of: object = 1) -> bytes | None:
    found = kept.find(asked, of)
    return found.body if found is not None else None


def test_only_the_versions_that_are_asked_for() -> None:
    kept = RenderedAnswers()
    kept.keep("a", Rendered(1, b"t", b"one"))
    assert body_of(kept, "a") == b"one"
    assert body_of(kept, "a", 2) is None
    assert body_of(kept, "b") is None
    kept.keep("a", Rendered(2, b"t", b"two"))
    assert body_of(kept, "a") is None
    assert body_of(kept, "a", 2) == b"two"
    kept.keep("list", Rendered(([("a", 2)], None), b"t", b"three"))
    assert body_of(kept, "list", ([("a", 2)], None)) == b"three"
    assert body_of(kept, "list", ([("a", 3)], None)) is None


def test_no_more_than_so_many_bytes() -> None:
    kept = RenderedAnswers(most_bytes=100)
    for number in range(10):
        kept.keep(number, Rendered(1, b"t", b"x" * 30))
    assert [body_of(kept, number) is not None for number in range(10)] == [False] * 7 + [True] * 3
    for _ in range(10):  # the same again is not counted twice
        kept.keep(9, Rendered(1, b"t", b"x" * 40))
    assert body_of(kept, 7) is not None
    kept.keep(10, Rendered(1, b"t", b"x" * 101))
    assert not [number for number in range(11) if body_of(kept, number) is not None]


def test_nor_more_than_so_many() -> None:
    kept = RenderedAnswers()
    for number in range(9_000):
        kept.keep(number, Rendered(1, b"t", b"x"))
    assert sum(body_of(kept, number) is not None for number in range(9_000)) == 8_192
