"""The command line, one module a noun; commands call `administration/` and print, nothing more."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from vestibule import __version__
from vestibule.cli import (
    actions,
    admin_keys,
    api_keys,
    audit,
    auth_endpoints,
    checking,
    contacts,
    conversations,
    enforcement,
    providers,
    queues,
    responders,
    secret_keys,
    serving,
    signing_keys,
    staff,
    webhooks,
    workspaces,
)
from vestibule.cli.opening import fail

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _Commands(TyperGroup):
    """Commands whose scripts can read why they were not understood, too."""

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # here, where a full disk can be told
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # What is left would be tried once more when the interpreter ends, and fail with a traceback.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.stderr.write(f"vestibule: standard output cannot be written: {error.strerror}\n")
            raise typer.Exit(1) from None
        except TyperException as error:
            if not as_json:
                raise
            fail("invalid_option", error.format_message(), as_json=True, exit_code=error.exit_code)


app = typer.Typer(
    name="vestibule",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich's help cuts the names of options at 80 columns.
    rich_markup_mode=None,
)
app.command("serve")(serving.serve_command)
app.command("demo")(serving.demo_command)
app.command("migrate")(serving.migrate_command)
app.command("doctor")(checking.doctor_command)
app.add_typer(workspaces.app, name="workspace")
app.add_typer(api_keys.app, name="api-key")
app.add_typer(admin_keys.app, name="admin-key")
app.add_typer(staff.app, name="staff")
app.add_typer(contacts.app, name="contact")
app.add_typer(conversations.app, name="conversation")
app.add_typer(responders.app, name="responder")
app.add_typer(actions.app, name="action")
app.add_typer(responders.widget_app, name="widget")
app.add_typer(conversations.retention_app, name="retention")
app.add_typer(providers.app, name="provider")
app.add_typer(queues.app, name="queue")
app.add_typer(auth_endpoints.app, name="auth-endpoint")
app.add_typer(enforcement.app, name="enforcement")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(signing_keys.app, name="signing-keys")
app.add_typer(secret_keys.app, name="secret-key")
app.add_typer(checking.token_app, name="token")
app.add_typer(audit.app, name="audit")
app.command("coverage")(audit.coverage_command)


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"vestibule {__version__}")
        raise typer.Exit


@app.callback()
def of_itself(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print this release's number.")
    ] = False,
) -> None:
    """Knows who is talking in a support chat, and proves it."""


def run() -> None:
    app()
