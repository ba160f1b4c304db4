"""A primary that was lost becomes the standby of the one that took over, by what docs/operations.md says to type."""

from __future__ import annotations

import time

import pytest

from tests.integration.nodes.database_machine import DatabaseMachine

_SECONDS = 30.0


@pytest.mark.parametrize("ending", ["killed", "stopped in order"])
def test_an_old_primary_comes_back_as_the_standby_and_can_take_over_again(ending: str) -> None:
    with DatabaseMachine() as first, DatabaseMachine(first) as second:
        first.execute("CREATE TABLE written (line text)")
        first.execute("CREATE TABLE many_pages (filling text)")
        first.be_followed(second)
        wait_for_standby(first, "sync")
        for old, new in ((first, second), (second, first)):
            write(old, "acknowledged")
            # So that the checkpoint of who takes over lasts: until its end pg_rewind takes the two for equal.
            old.execute("INSERT INTO many_pages SELECT repeat('x', 1500) FROM generate_series(1, 1500)")
            if ending == "killed":
                lose(old, new)
            else:
                old.stop()
            new.take_over()
            write(new, "meanwhile")
            if old is first:  # the other way round it comes back at once
                turn_the_log(new)
            old.come_back()
            wait_for_standby(new, "async")
            new.wait_for_a_standby_again()
            wait_for_standby(new, "sync")
            write(new, "on both")
            assert lines(old) == lines(new)
            assert old.execute("SELECT pg_is_in_recovery()") == [(True,)]
        assert lines(first) == ["acknowledged", "meanwhile", "on both"] * 2


def lose(old: DatabaseMachine, new: DatabaseMachine) -> None:
    """Crashes with a write that the standby has not seen, and that nobody was told of: the two have parted."""
    new.kill()
    old.execute(
        "WITH alone AS (SELECT set_config('synchronous_commit', 'local', true) AS made)"
        " INSERT INTO written SELECT 'never answered' FROM alone WHERE made = 'local'"
    )
    old.kill()
    new.start()


def turn_the_log(server: DatabaseMachine) -> None:
    """What the old primary still has to read would be recycled by now, if nothing kept it."""
    for _ in range(3):
        server.execute("SELECT pg_switch_wal()")
        server.execute("CHECKPOINT")


def write(server: DatabaseMachine, line: str) -> None:
    server.execute("INSERT INTO written VALUES ($1)", line)


def lines(server: DatabaseMachine) -> list[str]:
    return [row["line"] for row in server.execute("SELECT line FROM written")]


def wait_for_standby(primary: DatabaseMachine, state: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while primary.execute("SELECT sync_state FROM pg_stat_replication") != [(state,)]:
        assert time.monotonic() < deadline, f"no standby that is {state}"
        time.sleep(0.05)
