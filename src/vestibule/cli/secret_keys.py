"""`vestibule secret-key …`; prints, and leaves the rest to `administration.secret_keys`."""

from __future__ import annotations

import typer

from vestibule.administration import secret_keys
from vestibule.cli.opening import Json, at_the_desk
from vestibule.cli.output import print_result
from vestibule.sealing import new_secret_key

app = typer.Typer(help="The keys that seal values at rest.", no_args_is_help=True)


@app.command("new")
def new(as_json: Json = False) -> None:
    """Make a key. It is kept nowhere, and changes nothing until it stands in secret_keys."""
    print_result({"secret_key": new_secret_key()}, as_json=as_json)


@app.command("reseal")
def reseal(as_json: Json = False) -> None:
    """Seal everything with the first of the secret keys; the others can go then. The service may run."""
    done = at_the_desk(secret_keys.reseal, as_json=as_json)
    print_result({"resealed": done.resealed, "unreadable": done.unreadable}, as_json=as_json)
    if not done.is_whole:
        raise typer.Exit(1)
