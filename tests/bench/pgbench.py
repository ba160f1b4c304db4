"""The second floor: pgbench running one statement that does what authenticate-user does; it must not touch the
product's own database."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.bench.processes import on_core
from tests.bench.scenarios import PEOPLE
from tests.fixtures.postgres import find_binaries
from tests.fixtures.server import ServerFailed
from vestibule.model.contact import PROFILE_FIELDS
from vestibule.storage import contacts
from vestibule.storage.opening import ensure_schema

_WORKSPACE = "01900000-0000-7000-8000-000000000000"
_SOURCE = '{"at": 1790000000000,"source":"server_to_server"}'
_PROVENANCE = ",".join(f'"{name}":{_SOURCE}' for name in PROFILE_FIELDS)
# Rows as the product writes them for the seed's request. A colon before a digit or letter would be a variable's.
_LITERALS: Mapping[str, str] = {
    "workspace_id": f"'{_WORKSPACE}'",
    "version": "1",
    "verified": "true",
    "created_at": "1790000000000",
    "updated_at": "1790000000000",
    "phone": "'+1234567890'",
    "avatar_url": "'https://example.com/avatar.png'",
    "language": "'en'",
    "sealed_custom_data": f"'v1.0123456789ab.{'A' * 76}'",
    "chat_context": "'<string>'",
    "sealed_http_overrides": f"'v1.0123456789ab.{'A' * 40}'",
    "provenance": f"'{{{_PROVENANCE}}}'",
}
_KEPT = {"workspace_id", "id", "created_at", "version"}
_RETURNING = r"""
\set person random(0, {last})
\set number random(1, 1000000000)
{upsert}
"""
# Variables live as long as a client, so `count` numbers its people; `round` is given anew each time.
_NEW = r"""
\set count :count + 1
\set number random(1, 1000000000)
{upsert}
"""


class Pgbench:
    """pgbench on a database of its own, with the product's schema and as many people as the product has."""

    def __init__(self, database_url: str, directory: Path, core: int | None) -> None:
        self._url = database_url
        self._core = core
        self._rounds = 0
        directory.mkdir()
        self._returning = directory / "returning.sql"
        self._new = directory / "new.sql"

    def prepare(self) -> None:
        ensure_schema(self._url, may_migrate=True)
        returning = upsert("'person.' || :person || '@example.com'", "'01900000-0000-7000-8000-' || :number")
        new = "'new.' || :round || '.' || :client_id || '.' || :count || '@example.com'"
        ids = "'01900000-0000-7000-' || :round || '-' || :client_id || '-' || :count"
        self._returning.write_text(_RETURNING.format(last=PEOPLE - 1, upsert=returning + ";"), encoding="ascii")
        self._new.write_text(_NEW.format(upsert=upsert(new, ids) + ";"), encoding="ascii")
        asyncio.run(self._populate())

    def run(self, clients: int, seconds: float) -> float:
        """Transactions per second, 80 % of them for returning people, over whole seconds. Raises ServerFailed."""
        self._rounds += 1
        at = urlsplit(self._url)
        command = [str(find_binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-D", f"round={self._rounds}", "-D", "count=0"]
        command += ["-f", f"{self._returning}@80", "-f", f"{self._new}@20"]
        command += ["-h", str(at.hostname), "-p", str(at.port), "-U", str(at.username), at.path[1:]]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGPASSWORD": at.password or ""}
        with on_core(self._core):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=False
            )
        tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
        if done.returncode != 0 or tps is None:
            raise ServerFailed(f"pgbench failed\n{done.stdout}\n{done.stderr}")
        return float(tps[1])

    async def _populate(self) -> None:
        connection = await asyncpg.connect(self._url)
        values = _values("'person.' || n || '@example.com'", "'01900000-0000-7000-9000-' || n", "'John Doe'")
        try:
            await connection.execute(
                f"INSERT INTO contacts ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608
                f" FROM generate_series(0, {PEOPLE - 1}) AS n"
            )
            await connection.execute("ANALYZE contacts")
        finally:
            await connection.close()


def upsert(email: str, id_: str) -> str:
    """The statement, with SQL expressions for who it is; it writes whatever the product's INSERT and UPDATE write."""
    values = _values(email, id_, "'John Doe ' || :number")
    changes = [f"{column} = excluded.{column}" for column in values if column not in _KEPT]
    # S608: the names are the product's own and the values are written above.
    return (
        f"INSERT INTO contacts ({', '.join(values)}) VALUES ({', '.join(values.values())})"  # noqa: S608
        " ON CONFLICT (workspace_id, email_key) WHERE email_key IS NOT NULL"
        f" DO UPDATE SET version = contacts.version + 1, {', '.join(changes)} RETURNING id, version"
    )


def _values(email: str, id_: str, name: str) -> dict[str, str]:
    known = {**_LITERALS, "id": id_, "email_key": email, "email": email, "name": name}
    inserted = re.search(r"\(([^)]+)\)", contacts.INSERT.postgresql)
    columns = [column.strip() for column in inserted[1].split(",")] if inserted else []
    # What is not listed here is what authenticate-user leaves empty; a column that may not be empty fails loudly.
    return {column: known.get(column, "NULL") for column in columns}
