"""Fills a workspace as years of use would, by rows that are written at once; it must not go through the service, which
would take hours, so nothing it makes is signed or chained."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from vestibule.clock import DAY_MS, HOUR_MS, now_ms

Table = tuple[str, Sequence[str], Iterator[tuple[Any, ...]]]
_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Leslie", "Katherine", "Dennis")
_LAST = ("Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Perlman", "Lamport", "Johnson", "Ritchie")
_METHODS = ("server_to_server", "token_exchange", "auth_endpoint", "unverified")
_OUTCOMES = ("unchanged", "created", "updated", "issued", "refused")
_CODES = ("invalid_provider_token", "auth_rejected", "invalid_api_key", "rate_limited")
_ORIGINS = tuple(f"https://shop{number}.example.com" for number in range(12))
_PIECE = 5_000
_EMPTY, _FILL = "DELETE FROM {} WHERE workspace_id = ", "INSERT INTO {} ({}) VALUES ({})"
# What a chart of a month reads: a row an hour for each kind of authentication.
_DAYS, _KINDS = 92, 60


class Filling:
    """What a workspace is filled with. The same number makes the same person and chat."""

    def __init__(self, workspace_id: str, *, contacts: int, messages: int, entries: int) -> None:
        self.workspace_id = workspace_id
        self.contacts, self.messages, self.entries = contacts, messages, entries
        self.chats = max(messages // 6, 1)
        self.now = now_ms()
        self._random = random.Random(4711)

    def contact_id(self, number: int) -> str:
        return f"01a00000-0000-7000-8000-{number:012x}"

    def chat_id(self, number: int) -> str:
        return f"01a10000-0000-7000-8000-{number:012x}"

    def tables(self) -> list[Table]:
        return [self._contacts(), self._chats(), self._messages(), self._entries(), self._chains(), *self._counts()]

    def _at(self, share: float) -> int:
        return int(self.now - 300 * DAY_MS * (1 - share)) - 1000

    def _contacts(self) -> Table:
        columns = ("workspace_id", "id", "version", "verified", "created_at", "updated_at", "email_key", "name")
        more = ("email", "provenance", "merged_into", "expires_at")

        def rows() -> Iterator[tuple[Any, ...]]:
            for number in range(self.contacts):
                at = self._at(number / self.contacts)
                verified = number % 4 != 0
                name = f"{_FIRST[number % 10]} {_LAST[number // 10 % 10]} {number}"
                email = f"{name.replace(' ', '.').lower()}@example.com"
                source = "server_to_server" if verified else "unverified"
                told = f'{{"email":{{"source":"{source}","at":{at}}},"name":{{"source":"{source}","at":{at}}}}}'
                # The first contact has many merged into it.
                into = self.contact_id(1) if verified and 1 < number < 40 else None
                expires = None if verified else self.now + DAY_MS
                key = email if verified else None
                person = (self.workspace_id, self.contact_id(number), 1, verified, at, at, key, name)
                yield (*person, email, told, into, expires)

        return "contacts", (*columns, *more), rows()

    def _chats(self) -> Table:
        columns = (
            *("workspace_id", "id", "contact_id", "verified", "channel", "ticket_number", "status", "handed_off"),
            *("assignee_kind", "custom_data", "last_message", "created_at", "updated_at", "version", "next_seq"),
        )

        def rows() -> Iterator[tuple[Any, ...]]:
            for number in range(self.chats):
                at = self._at(number / self.chats)
                person = self._person_of(number)
                # Nearly all are resolved, and few of those that are open wait for people: what is asked for is rare.
                status = "open" if number % 50 == 0 else "closed_resolved"
                waits = number % 5_000 == 0
                chat = (self.workspace_id, self.chat_id(number), self.contact_id(person), person % 4 != 0, "api")
                following = self.messages + 10 if number == 0 else 7
                about = (number, status, waits, "human" if waits else "ai", "{}", "Where is my order?")
                rest = (*about, at, at, 3, following)
                yield (*chat, *rest)

        return "conversations", columns, rows()

    def _person_of(self, chat: int) -> int:
        # The second contact has a thousand chats.
        return 1 if chat % max(self.chats // 1_000, 1) == 0 else chat % self.contacts

    def _messages(self) -> Table:
        columns = ("workspace_id", "conversation_id", "seq", "public_id", "type", "sender", "text", "sent_at", "trust")

        def rows() -> Iterator[tuple[Any, ...]]:
            for number in range(self.messages):
                # A fifth of all stand in one chat of years.
                long = number >= self.messages - min(self.messages // 5, 5_000)
                chat, seq = (0, number + 10) if long else divmod(number, 6)
                at = self._at(number / self.messages)
                sender = ("user", "ai", "agent")[number % 3]
                public = f"01a20000-0000-7000-8000-{number:012x}"
                verified = self._person_of(chat) % 4 != 0
                text = f"Message {number}: where is my order, please?"
                trust = "verified" if verified else "unverified"
                yield self.workspace_id, self.chat_id(chat), seq, public, "message", sender, text, at, trust

        return "messages", columns, rows()

    def _entries(self) -> Table:
        columns = (
            *("workspace_id", "seq", "at", "kind", "action", "method", "outcome", "code", "key_id", "request_id"),
            *("contact_id", "address", "salt", "commitment", "document", "mac"),
        )

        def rows() -> Iterator[tuple[Any, ...]]:
            for number in range(1, self.entries + 1):
                method, outcome = _METHODS[number % 4], _OUTCOMES[number % 5]
                code = _CODES[number % 4] if outcome == "refused" else ""
                kind = "administration" if number % 1_000 == 0 else "authentication"
                action = "contact.merge" if number % 1_000 == 0 else "authenticate"
                person = 1 if number % 50 == 0 else number % self.contacts
                document = '{"origin":"https://shop1.example.com","reason":"It is not valid."}'
                what = (self.workspace_id, number, self._at(number / self.entries), kind, action, method, outcome, code)
                yield (*what, "", f"r-{number:x}", self.contact_id(person), "203.0.113.0", "s", "c", document, "m")

        return "audit_entries", columns, rows()

    def _chains(self) -> Table:
        columns = ("workspace_id", "seq", "mac", "purged_seq", "purged_mac")
        return "audit_chains", columns, iter([(self.workspace_id, self.entries, "m", 0, "")])

    def _counts(self) -> list[Table]:
        kinds = [
            (
                method := self._random.choice(_METHODS),
                outcome := self._random.choice(_OUTCOMES),
                self._random.choice(_CODES) if outcome == "refused" else "",
                self._random.choice(_ORIGINS),
                f"01a30000-0000-7000-8000-{kind % 5:012x}" if method == "server_to_server" else "",
            )
            for kind in range(_KINDS)
        ]
        known = sorted(set(kinds))
        hours = range(self.now // HOUR_MS - _DAYS * 24, self.now // HOUR_MS + 1)
        counted = (
            (self.workspace_id, hour, *kind, 1 + (hour * 7 + index) % 40)
            for hour in hours
            for index, kind in enumerate(known)
        )
        columns = ("workspace_id", "hour", "method", "outcome", "code", "origin", "key_id", "count")
        by_day = (
            (self.workspace_id, day, *kind, day * 24 + 23, 480)
            for day in range(hours[0] // 24, hours[-1] // 24 + 1)
            for kind in known
        )
        of_days = ("workspace_id", "day", *columns[2:7], "last_hour", "count")
        unproven = (
            (self.workspace_id, hour, "native", "observe", reason, origin, 3)
            for hour in hours
            for reason in ("arrive", "read", "write")
            for origin in _ORIGINS[:6]
        )
        others = ("workspace_id", "hour", "surface", "step", "reason", "origin", "count")
        return [
            ("authentication_counts", columns, counted),
            ("authentication_days", of_days, by_day),
            ("unverified_counts", others, unproven),
        ]


def fill(url: str, filling: Filling) -> None:
    """Into a database that has its schema, and a workspace of which nothing else is known."""
    if url.startswith("sqlite:"):
        _fill_sqlite(url.removeprefix("sqlite:///"), filling)
    else:
        asyncio.run(_fill_postgresql(url, filling))


def _fill_sqlite(path: str, filling: Filling) -> None:
    connection = sqlite3.connect(path, timeout=30)
    with connection:
        for table, columns, rows in filling.tables():
            connection.execute(_EMPTY.format(table) + "?", (filling.workspace_id,))
            marks = ", ".join("?" * len(columns))
            connection.executemany(_FILL.format(table, ", ".join(columns), marks), rows)
        connection.execute("ANALYZE")
    connection.close()


async def _fill_postgresql(url: str, filling: Filling) -> None:
    connection = await asyncpg.connect(url)
    for table, columns, rows in filling.tables():
        await connection.execute(_EMPTY.format(table) + "$1", filling.workspace_id)
        while piece := [row for row, _ in zip(rows, range(_PIECE), strict=False)]:
            await connection.copy_records_to_table(table, records=piece, columns=columns)
    await connection.execute("ANALYZE")
    await connection.close()
