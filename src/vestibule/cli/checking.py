"""`vestibule doctor` and `vestibule token inspect`: both look and change nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.administration.checkup import Grade, check_up
from vestibule.administration.token_inspection import inspect
from vestibule.cli.opening import Json, at_the_desk, pasted
from vestibule.cli.output import print_list, print_result

token_app = typer.Typer(help="Contact tokens.", no_args_is_help=True)


def doctor_command(as_json: Json = False) -> None:
    """Look the installation over; exit code 1 if something is bad."""
    findings = at_the_desk(check_up, as_json=as_json)
    items = [{"check": found.check, "grade": found.grade.value, "message": found.message} for found in findings]
    print_list(items, ("check", "grade", "message"), as_json=as_json, empty="")
    if any(found.grade is Grade.BAD for found in findings):
        raise typer.Exit(1)


@token_app.command("inspect")
def inspect_command(
    token: Annotated[str, typer.Argument(help="The token, or - to read it from standard input.")], as_json: Json = False
) -> None:
    """Say what a contact token claims, check by check, and whose it is. The token is not stored."""
    text = pasted(token)
    found = at_the_desk(lambda desk: inspect(desk, text), as_json=as_json)
    if as_json:
        print_result(
            {"valid": found.valid, "checks": [dict(check) for check in found.checks], "claims": found.claims},
            as_json=True,
        )
    else:
        print_list(found.checks, ("check", "passed", "reason"), as_json=False, empty="")
        print_result(found.claims, as_json=False)
    if not found.valid:
        raise typer.Exit(1)
