"""The command line, one module a noun; commands call `administration/` and print, nothing more."""

from __future__ import annotations

import typer

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

app = typer.Typer(
    name="vestibule",
    help="Knows who is talking in a support chat, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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


def run() -> None:
    app()
