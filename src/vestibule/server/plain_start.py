"""Starts `vestibule serve` without the command line's libraries, which a server would carry for as long as it lives
(12 MiB, and 0.2 s before it is ready); what it does not understand it leaves to the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from vestibule.errors import VestibuleError
from vestibule.server.listening import CannotListen
from vestibule.server.serve import serve
from vestibule.settings import InvalidSettings, read_settings
from vestibule.storage.opening import WrongSchema

_FLAGS = ("host", "port", "workers")


def flags_of(arguments: Sequence[str]) -> dict[str, object] | None:
    """The flags of `serve` as given, or None where this is another command, or one that needs to be explained."""
    if not arguments or arguments[0] != "serve":
        return None
    flags: dict[str, object] = dict.fromkeys(_FLAGS)
    rest = iter(arguments[1:])
    for argument in rest:
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in _FLAGS:
            return None
        given = value if has_value else next(rest, None)
        if given is None:
            return None
        flags[name] = given
    return flags


def start(flags: dict[str, object]) -> None:
    """Serves until told to stop. The exit codes and sentences are those of the command line (cli/opening.py)."""
    try:
        serve(read_settings(flags), flags)
    except InvalidSettings as error:
        _end("invalid_settings", "; ".join(error.problems), 2)
    except CannotListen as error:
        _end("cannot_listen", str(error), 1)
    except WrongSchema as error:
        _end("wrong_schema", str(error), 1)
    except VestibuleError as error:
        _end(error.code, error.message, 1)


def _end(code: str, message: str, exit_code: int) -> NoReturn:
    sys.stderr.write(f"vestibule: {message} ({code})\n")
    raise SystemExit(exit_code)
