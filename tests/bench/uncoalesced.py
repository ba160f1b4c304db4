"""`vestibule serve`, of which each statement goes alone over a connection of its own, to be compared with the product,
where those of concurrent requests share round trips; it must not be imported, nor serve with several workers.

Run as a script, in place of `-m vestibule`. With the constants of `storage/postgres.py` alone (batches of one, any
number of them under way) the lanes would stay: a lone caller would wait for the end of the tick as before, and what
came in one tick would queue for one connection. So the lanes are left out.
"""

from __future__ import annotations

from vestibule.__main__ import main
from vestibule.storage import opening
from vestibule.storage.postgres import PostgresStore, _ask
from vestibule.storage.statement import Statement
from vestibule.storage.store import Row, Value


class Uncoalesced(PostgresStore):
    """Does with statements that have a `$slot` what the product does with the others."""

    # Whoever calls it awaits it, which is all that the other return type changes.
    async def _share(self, statement: Statement, values: tuple[Value, ...]) -> list[Row]:  # type: ignore[override]
        async with self._borrowed(statement.name) as (connection, _):
            rows = await _ask(connection, statement, lambda prepared: prepared.fetch(*values, 0))
            return [row[1:] for row in rows]


if __name__ == "__main__":
    assert vars(opening)["PostgresStore"] is PostgresStore, "stores are made elsewhere by now"
    vars(opening)["PostgresStore"] = Uncoalesced
    main()
