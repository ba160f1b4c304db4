"""`vestibule audit …` and `vestibule coverage`; prints, and leaves the rest to `administration`."""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TextIO

import msgspec
import typer

from vestibule.administration import audit, coverage
from vestibule.administration.audit import Proof
from vestibule.administration.coverage import Coverage
from vestibule.administration.desk import Desk
from vestibule.cli.opening import Json, at_the_desk, duration, fail
from vestibule.cli.output import Value, print_list, print_result, rfc3339
from vestibule.clock import now_ms
from vestibule.model.audit import INSTALLATION, AuditKind, StoredEntry
from vestibule.storage.audit import AuditFilter

app = typer.Typer(help="Who proved what and when, and who changed what.", no_args_is_help=True)
OfWorkspace = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The workspace's id; the installation's own audit if absent.")
]
_LOOK_SECONDS = 1.0
_COLUMNS = (
    "time",
    "kind",
    "method",
    "outcome",
    "action",
    "code",
    "step",
    "why",
    "actor",
    "contact_id",
    "request_id",
)


class Format(enum.StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


@app.command("tail")
def tail(
    workspace: OfWorkspace = None,
    kind: Annotated[AuditKind | None, typer.Option(help="Only authentications, or only what was changed.")] = None,
    method: Annotated[str, typer.Option(help="Only this verification method.")] = "",
    outcome: Annotated[str, typer.Option(help="Only this outcome, such as refused.")] = "",
    code: Annotated[str, typer.Option(help="Only refusals with this code.")] = "",
    request_id: Annotated[str, typer.Option(help="Only the request of this id.")] = "",
    contact: Annotated[str | None, typer.Option(help="Only what is about this contact; no other filter then.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=audit.LARGEST_PAGE, help="How many at the most.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what comes, as JSON lines.")] = False,
    as_json: Json = False,
) -> None:
    """Show the latest entries, the last one last."""
    _require("--method", method, audit.METHODS, as_json=as_json)
    _require("--outcome", outcome, audit.OUTCOMES, as_json=as_json)
    _require("--code", code, audit.codes(), as_json=as_json)
    wanted = AuditFilter(
        kind=kind.value if kind is not None else "", method=method, outcome=outcome, code=code, request_id=request_id
    )
    of = workspace or INSTALLATION
    if follow:
        only = {"kind": wanted.kind, "method": method, "outcome": outcome, "code": code, "request_id": request_id}
        only = only if contact is None else {"contact_id": contact}
        at_the_desk(lambda desk: _follow(desk, of, only), as_json=as_json)
    found = at_the_desk(lambda desk: _latest(desk, of, wanted, contact, limit), as_json=as_json)
    items = [_shown(stored) for stored in reversed(found)]
    if not as_json:
        items = [{**item, "why": item["detail"] or item["reason"]} for item in items]
    asked = wanted != AuditFilter() or contact is not None
    print_list(items, _COLUMNS, as_json=as_json, empty="No entry passes." if asked else "Nothing is in the audit yet.")


@app.command("export")
def export(
    workspace: OfWorkspace = None,
    format_: Annotated[Format, typer.Option("--format", help="JSON lines, or CSV for a spreadsheet.")] = Format.JSONL,
    output: Annotated[Path | None, typer.Option(help="The file to write; standard output if absent.")] = None,
) -> None:
    """Write the whole audit, the earliest entry first."""

    async def act(desk: Desk) -> None:
        if output is None:
            await _write(desk, workspace or INSTALLATION, format_, sys.stdout)
            return
        with output.open("x", encoding="utf-8", newline="") as target:
            await _write(desk, workspace or INSTALLATION, format_, target)

    try:
        at_the_desk(act, as_json=False)
    except OSError as error:
        if output is None:
            raise
        fail("invalid_option", f"{output} cannot be written: {error.strerror}", as_json=False, exit_code=2)


@app.command("verify")
def verify(
    workspace: OfWorkspace = None,
    noted: Annotated[
        str | None, typer.Option("--noted-head", help="A head that an earlier verify has printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that no entry was removed or altered; exit code 1 if one was. Keep the head that is printed elsewhere."""
    proof: Proof = at_the_desk(lambda desk: audit.verify(desk, workspace or INSTALLATION, noted=noted), as_json=as_json)
    print_result(msgspec.structs.asdict(proof), as_json=as_json)
    if not proof.whole:
        raise typer.Exit(1)


def coverage_command(
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="The workspace's id.")],
    since: Annotated[str, typer.Option(help="How far back, such as 7d.")] = "24h",
    as_json: Json = False,
) -> None:
    """Show how visitors were authenticated, why some were refused, and who still uses a replaced key."""
    span = duration(since, as_json=as_json)
    found: Coverage = at_the_desk(
        lambda desk: coverage.coverage(desk, workspace, since=now_ms() - span), as_json=as_json
    )
    print_result(
        {
            "since": rfc3339(found.since),
            "until": rfc3339(found.until),
            "issued": found.issued,
            "verified": found.verified,
            "refused": found.refused,
            "by_method": found.by_method,
            "by_outcome": found.by_outcome,
            "refusals_by_code": found.refusals_by_code,
            "by_origin": found.by_origin,
            "keys": [
                {
                    "id": use.key.key.id,
                    "hint": use.key.key.hint,
                    "state": use.key.state.value,
                    "succeeded": use.succeeded,
                    "refused": use.refused,
                    "replaced_and_used": use.should_have_gone,
                }
                for use in found.keys
            ],
        },
        as_json=as_json,
    )


def _require(option: str, value: str, known: Collection[str], *, as_json: bool) -> None:
    """One that is misspelt would find nothing, which looks like good news."""
    if value and value not in known:
        near = get_close_matches(value, known, n=3) or sorted(known)
        fail("invalid_option", f"{option}: there is no {value}, but {', '.join(near)}", as_json=as_json, exit_code=2)


async def _latest(
    desk: Desk, workspace_id: str, wanted: AuditFilter, contact_id: str | None, most: int
) -> list[StoredEntry]:
    """The latest first, however far back they lie: a page looks at so many entries and no further."""
    found: list[StoredEntry] = []
    before: int | None = None
    while True:
        left = most - len(found)
        page = await audit.list_page(desk, workspace_id, wanted, contact_id=contact_id, before=before, most=left)
        found += page.entries
        before = page.following
        if before is None or len(found) >= most:
            return found


async def _follow(desk: Desk, workspace_id: str, only: Mapping[str, str]) -> None:
    page = await audit.list_page(desk, workspace_id, most=1)
    last = page.entries[0].seq if page.entries else 0
    while True:
        for stored in await audit.newer(desk, workspace_id, after=last):
            last = stored.seq
            if all(value in {"", getattr(stored.entry, name)} for name, value in only.items()):
                sys.stdout.write(_json_line(stored))
        sys.stdout.flush()
        await asyncio.sleep(_LOOK_SECONDS)


async def _write(desk: Desk, workspace_id: str, format_: Format, target: TextIO) -> None:
    line: Callable[[StoredEntry], str] = audit.csv_line
    if format_ is Format.CSV:
        target.write(audit.csv_header())
    else:
        line = _json_line
    async for piece in audit.walk(desk, workspace_id):
        target.writelines(line(stored) for stored in piece)


def _json_line(stored: StoredEntry) -> str:
    return msgspec.json.encode(audit.shown(stored)).decode() + "\n"


def _shown(stored: StoredEntry) -> dict[str, Value]:
    return msgspec.structs.asdict(audit.shown(stored))
