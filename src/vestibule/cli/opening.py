"""What every command shares: settings, an open desk, and errors said plainly; it must not know a command."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from vestibule.administration.desk import Desk, open_desk
from vestibule.cli.output import print_json
from vestibule.errors import VestibuleError
from vestibule.model.audit import Actor
from vestibule.sealing import Sealer
from vestibule.server.serve import prepare
from vestibule.settings import InvalidSettings, Settings, read_settings
from vestibule.storage.opening import WrongSchema
from vestibule.times import read_span

T = TypeVar("T")
# Options that many commands have.
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
InWorkspace = Annotated[str, typer.Option("--workspace", "-w", help="The workspace's id.")]
RotateSecret = Annotated[
    bool, typer.Option("--rotate-secret", help="Sign with a new secret as well as the current one.")
]
ForgetOldSecret = Annotated[bool, typer.Option("--forget-old-secret", help="Sign with the newest secret only.")]


def at_the_desk(action: Callable[[Desk], Awaitable[T]], *, as_json: bool) -> T:
    """Runs an action on the configured database; a refusal ends the command with exit code 1, bad settings with 2."""
    with plainly(as_json=as_json):
        settings = read_settings()
        return asyncio.run(_act(settings, prepare(settings), action))
    raise AssertionError("unreachable")


async def _act(settings: Settings, sealer: Sealer, action: Callable[[Desk], Awaitable[T]]) -> T:
    async with open_desk(settings, sealer, Actor("cli", _who())) as desk:
        return await action(desk)


def _who() -> str:
    """The system's name for whoever runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@contextlib.contextmanager
def plainly(*, as_json: bool) -> Iterator[None]:
    """Turns what a command may raise into its message and exit code."""
    try:
        yield
    except InvalidSettings as error:
        fail("invalid_settings", "; ".join(error.problems), as_json=as_json, exit_code=2)
    except WrongSchema as error:
        fail("wrong_schema", str(error), as_json=as_json)
    except VestibuleError as error:
        fail(error.code, error.message, as_json=as_json)


def fail(code: str, message: str, *, as_json: bool, exit_code: int = 1) -> NoReturn:
    """Says why and ends."""
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    else:
        sys.stderr.write(f"vestibule: {message} ({code})\n")
    raise typer.Exit(exit_code)


def read_file(path: Path, *, as_json: bool) -> str:
    """A file that an option names; - is standard input."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail("invalid_option", f"the file {path} cannot be read: {type(error).__name__}", as_json=as_json, exit_code=2)


def pasted(text: str) -> str:
    """An argument, or what is on standard input where it is -."""
    return sys.stdin.read().strip() if text == "-" else text


def read_document(path: Path | None, *, as_json: bool) -> dict[str, Any]:
    """The settings of a file in TOML or JSON; none where there is no file."""
    text = read_file(path, as_json=as_json).strip() if path is not None else ""
    try:
        found = msgspec.json.decode(text) if text.startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError):
        fail("invalid_option", "the settings file cannot be read as TOML or JSON", as_json=as_json, exit_code=2)
    return dict(found)


def duration(text: str, *, as_json: bool) -> int:
    """Milliseconds of `90s`, `15m`, `24h` or `30d`."""
    found = read_span(text)
    if found is None:
        fail("invalid_option", "a duration is a number and s, m, h or d, such as 24h", as_json=as_json, exit_code=2)
    return found
