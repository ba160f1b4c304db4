"""`tokens.signing_keys.status_of`: where in its life a key is, by its times and those of the others; no clock."""

from __future__ import annotations

import pytest

from vestibule.clock import HOUR_MS, SECOND_MS
from vestibule.storage.signing_keys import SigningKeyRow
from vestibule.tokens.signing_keys import Status, status_of

NOW = 1_800_000_000_000


def row(name: str, *, signs_from: int, withdrawn_at: int | None = None) -> SigningKeyRow:
    return SigningKeyRow(name, "{}", None, signs_from, signs_from, signs_from + 3 * HOUR_MS, withdrawn_at)


@pytest.mark.parametrize("behind", [0, 2, 5, 600])
def test_a_withdrawn_key_is_so_on_a_clock_that_is_behind(behind: int) -> None:
    """There its withdrawal, and perhaps the first moment of its successor, lie ahead."""
    withdrawn = row("old", signs_from=NOW - 24 * HOUR_MS, withdrawn_at=NOW)
    successor = row("new", signs_from=NOW - 3 * SECOND_MS)
    found, now = [withdrawn, successor], NOW - behind * SECOND_MS
    assert status_of(withdrawn, found, now) is Status.WITHDRAWN
    assert status_of(successor, found, now) is (Status.SIGNING if behind <= 3 else Status.PENDING)


def test_keys_follow_one_another_by_their_times() -> None:
    found = [row("ended", signs_from=NOW - 9 * HOUR_MS), row("old", signs_from=NOW - HOUR_MS)]
    found += [row("now", signs_from=NOW), row("next", signs_from=NOW + 1)]
    assert [status_of(each, found, NOW).value for each in found] == ["ended", "retiring", "signing", "pending"]
