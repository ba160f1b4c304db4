"""`python -m tests.bench.pages`: how long the server takes for each page of the dashboard in a workspace that is full;
it must not be a test: a slow machine makes no run fail, an answer that is not a page does."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.bench.filling import Filling, fill
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server import WorkspaceServer

_PASSWORD = "correct horse battery"
_ROUNDS = 9
_MOST_MS = 200


def pages(filling: Filling) -> list[str]:
    """Each page, where it has most to do: the person with the most chats, the longest chat, the rarest filter."""
    busy, chat = filling.contact_id(1), filling.chat_id(0)
    return [
        "",
        "/coverage",
        "/coverage?range=7d",
        "/coverage?range=30d",
        "/inbox",
        "/inbox?show=handed-off",
        "/inbox?show=resolved",
        "/inbox?show=closed",
        "/inbox?show=all",
        f"/inbox/{chat}",
        f"/inbox/{chat}/live",
        "/inbox-live?show=handed-off",
        "/contacts",
        "/contacts?trust=unverified",
        "/contacts?q=ada",
        "/contacts?q=ada&trust=unverified",
        "/contacts?q=nobody",
        "/contacts?q=grace.hopper@",
        f"/contacts/{busy}",
        f"/contacts/{filling.contact_id(filling.contacts - 1)}",
        f"/contacts/{busy}/merge?into={filling.contact_id(2)}",
        f"/contacts/{busy}/erase",
        "/audit",
        "/audit?outcome=refused",
        "/audit?code=nothing",
        "/audit?kind=administration&action=contact.merge",
        f"/audit?before={filling.entries // 2}",
        "/debugger",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="How long each page of the dashboard takes in a full workspace.")
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append")
    options = parser.parse_args()
    slow = 0
    for engine in options.engine or ["sqlite", "postgresql"]:
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-pages-")))
            url = f"sqlite:///{directory}/vestibule.db"
            if engine == "postgresql":
                url = stack.enter_context(PostgresServer()).new_database()
            settings = {"VESTIBULE_DATABASE_URL": url, "VESTIBULE_SECRET_KEYS": secrets.token_urlsafe(32)}
            server = stack.enter_context(WorkspaceServer(settings, directory))
            server.make_workspace("Acme")
            filling = Filling(
                server.workspace_id, contacts=options.contacts, messages=options.messages, entries=options.entries
            )
            began = time.monotonic()
            fill(url, filling)
            print(f"{engine}: filled in {time.monotonic() - began:.0f} s")
            slow += measure(server, filling)
    return 1 if slow else 0


def measure(server: WorkspaceServer, filling: Filling) -> int:
    """Prints a line a page; how many took longer than they should."""
    made = server.cli("staff", "add", "grace@example.com", "--role", "owner", "-w", server.workspace_id)
    slow = 0
    headers = {"sec-fetch-site": "same-origin", "origin": server.base_url}
    with httpx.Client(base_url=server.base_url, headers=headers, trust_env=False, timeout=60) as http:
        form = {"link": made["link"].partition("link=")[2], "password": _PASSWORD, "again": _PASSWORD}
        assert http.post("/dashboard/welcome", data=form).status_code == 303
        for path in pages(filling):
            times, used = [], cpu(server)
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                answer = http.get(f"/dashboard{path}")
                times.append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, (path, answer.status_code)
            fastest, median = min(times), statistics.median(times)
            slow += median > _MOST_MS
            mark = "  <- slow" if median > _MOST_MS else ""
            # On a machine that others use, the clock tells of them as well; the processor's time is the page's.
            spent = (cpu(server) - used) / _ROUNDS * 1000
            took = f"{spent:7.1f} ms CPU {fastest:7.1f} fastest {median:7.1f} median"
            print(f"{took} {len(answer.content) // 1024:5d} KiB  {path or '/'}{mark}", flush=True)
    return slow


def cpu(server: WorkspaceServer) -> float:
    """Seconds of processor time that the server's processes have used; a database of its own is not among them."""
    first = psutil.Process(server.pid)
    return sum(sum(each.cpu_times()[:2]) for each in (first, *first.children(recursive=True)))


if __name__ == "__main__":
    sys.exit(main())
