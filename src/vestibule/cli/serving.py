"""`vestibule serve`, `demo` and `migrate`; they start things and print where to find them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vestibule.cli.opening import Json, fail, plainly
from vestibule.cli.output import print_result
from vestibule.demo import preparation as demo
from vestibule.demo.sample_request import curl
from vestibule.server.listening import CannotListen, require_address
from vestibule.server.serve import serve
from vestibule.settings import read_settings
from vestibule.storage.opening import SCHEMA_VERSION, ensure_schema

_DEMO_DIRECTORY = Path("vestibule-demo")
_DEMO_GREETING = """
Vestibule's demo, for this machine only.

  Look at    {url}/demo
  Kept in    {directory}   (database, files, secret key and API key; delete it to start afresh)
  Stop with  Ctrl-C

Or be the customer's backend yourself. Paste this into another terminal:
"""


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
) -> None:
    """Serve until told to stop."""
    flags: dict[str, object] = {"host": host, "port": port, "workers": workers}
    with plainly(as_json=False):
        try:
            serve(read_settings(flags), flags)
        except CannotListen as error:
            fail("cannot_listen", str(error), as_json=False)


def migrate_command(as_json: Json = False) -> None:
    """Bring the database to this release's schema."""
    with plainly(as_json=as_json):
        ensure_schema(read_settings().database_url, may_migrate=True)
        print_result({"schema": SCHEMA_VERSION}, as_json=as_json)


def demo_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    directory: Annotated[Path, typer.Option(help="Where all that it has lies; kept between runs.")] = _DEMO_DIRECTORY,
) -> None:
    """Serve a workspace with a page that shows the flow, on this machine only."""
    with plainly(as_json=False):
        try:
            require_address(demo.HOST, port)
            demo.make_directory(directory)
            demo.leave_configuration(os.environ)
            flags = demo.flags_of(directory, port)
            settings = read_settings(flags)
            api_key = demo.make_installation(settings)
        except (demo.CannotPrepare, CannotListen) as error:
            fail("no_demo", str(error), as_json=False)
        typer.echo(_DEMO_GREETING.format(url=settings.public_url, directory=directory))
        typer.echo(curl(settings.public_url, api_key) + "\n")
        serve(settings, flags, factory="vestibule.demo.app:create_app")
