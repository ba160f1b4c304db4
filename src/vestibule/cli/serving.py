"""`vestibule serve`, `demo` and `migrate`; they start things and print where to find them."""

from __future__ import annotations

from typing import Annotated

import typer

from vestibule.cli.opening import Json, fail, plainly
from vestibule.cli.output import print_result
from vestibule.server.serve import serve
from vestibule.settings import read_settings
from vestibule.storage.opening import SCHEMA_VERSION, ensure_schema


def serve_command(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes.")] = None,
) -> None:
    """Serve until told to stop."""
    flags: dict[str, object] = {"host": host, "port": port, "workers": workers}
    with plainly(as_json=False):
        serve(read_settings(flags), flags)


def migrate_command(as_json: Json = False) -> None:
    """Bring the database to this release's schema."""
    with plainly(as_json=as_json):
        ensure_schema(read_settings().database_url, may_migrate=True)
        print_result({"schema": SCHEMA_VERSION}, as_json=as_json)


def demo_command(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    directory: Annotated[str, typer.Option(help="Where its database lies; kept between runs.")] = "vestibule-demo",
) -> None:
    """Serve a workspace with a page that shows the flow, on this machine only."""
    fail("not_here", f"{port} {directory}", as_json=False)
