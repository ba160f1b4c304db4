"""Reads what a TOML file declares of a workspace, every mistake at once and with its line; it must not store it.

    [workspace]              customer_id, name, disabled, enforcement
    [rate_limits]            standard, streaming: requests a minute per API key
    [retention]              unverified_contacts, closed_conversations, audit: spans such as 30d
    [widget]                 list_seconds, poll_seconds, allowed_origins, [[widget.modes]]
    [visitor_sessions]       allowed_addresses
    [responder]              kind, url, model, api_key, secrets, instructions, timeout, notice, handoff_notice
    [auth_endpoint]          the members of model/auth_endpoint.py
    [[identity_providers]]   the members of model/identity_provider.py, in the order in which they are tried
    [[queues]]               key, name, identified_only, hours, time_zone
    [[webhooks]]             name, url, events, names, secrets
    [[staff]]                email, name, role, disabled
    [[api_keys]]             name, scopes, expires_in, rate_limits
    [policy], [variables.…], [[actions]]    as in action_file.py

A secret is a reference, `{env = "NAME"}` or `{file = "path"}` (from the file's own directory), and never stands in the
file. A section that is not there is left as it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vestibule.administration import provider_rules, workspaces
from vestibule.administration.action_file import Declared as DeclaredActions
from vestibule.administration.action_file import read_declared
from vestibule.administration.actions import require_callable
from vestibule.administration.desk import Desk
from vestibule.administration.toml_places import Places
from vestibule.administration.toml_tables import Tables
from vestibule.administration.workspace_tables import (
    ApiKeyTable,
    QueueTable,
    ResponderTable,
    RetentionTable,
    StaffTable,
    WebhookTable,
    WorkspaceTable,
    auth_endpoint_of,
    widget_of,
)
from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.responder import ResponderSettings, WidgetSettings
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits, Retention

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
ACTION_SECTIONS = ("policy", "variables", "actions")
_SECTIONS = (
    "workspace",
    "rate_limits",
    "retention",
    "widget",
    "visitor_sessions",
    "responder",
    "auth_endpoint",
    "identity_providers",
    "queues",
    "webhooks",
    "staff",
    "api_keys",
    *ACTION_SECTIONS,
)
_LARGEST_FILE = 1_048_576
SECRETS = (
    "responder.api_key",
    "responder.secrets[]",
    "auth_endpoint.header_token",
    "auth_endpoint.client_key",
    "auth_endpoint.secrets[]",
    "identity_providers[].shared_secret",
    "identity_providers[].introspection_client.client_secret",
    "webhooks[].secrets[]",
)
# What may be referred to, and may stand in the file: it is long, or an address whose query may be a secret.
_LONG = (
    "responder.url",
    "responder.instructions",
    "auth_endpoint.url",
    "auth_endpoint.domains_url",
    "auth_endpoint.client_certificate",
    "auth_endpoint.ca",
    "webhooks[].url",
)


class Declared(msgspec.Struct, frozen=True):
    """What a file declares; None where it has no such section."""

    workspace: WorkspaceTable
    rate_limits: RateLimits | None = None
    retention: Retention | None = None
    widget: WidgetSettings | None = None
    visitor_sessions: tuple[str, ...] | None = None
    responder: ResponderSettings | None = None
    auth_endpoint: AuthEndpointSettings | None = None
    providers: tuple[ProviderSettings, ...] | None = None
    queues: tuple[QueueTable, ...] | None = None
    webhooks: tuple[WebhookTable, ...] | None = None
    staff: tuple[StaffTable, ...] | None = None
    api_keys: tuple[ApiKeyTable, ...] = ()
    actions: DeclaredActions | None = None

    def __repr__(self) -> str:
        return f"Declared({self.workspace.customer_id!r})"


def read_workspace_file(desk: Desk, path: Path, environ: Mapping[str, str]) -> Declared:
    """Raises InvalidDeclaration."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InvalidDeclaration([f"{path} must be at most {_LARGEST_FILE} bytes"])
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # it tells the line itself
        raise InvalidDeclaration([f"{path} is not TOML: {error}"]) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDeclaration([f"{path} cannot be read: {error}"]) from None
    reader = _Reader(desk, path.parent, environ)
    declared = reader.read(document)
    if problems := reader.told():
        places = Places(text)
        lines = sorted(((_line_of(places, problem), problem) for problem in problems), key=lambda found: found[0])
        raise InvalidDeclaration([f"line {line}: {problem}" if line else problem for line, problem in lines])
    return declared


class _Reader(Tables):
    """Reads one document."""

    def __init__(self, desk: Desk, directory: Path, environ: Mapping[str, str]) -> None:
        super().__init__(directory, environ)
        self._desk = desk

    def read(self, document: dict[str, Any]) -> Declared:
        self.problems += [f"{name}: is not a section" for name in document if name not in _SECTIONS]
        for path in SECRETS:
            self.resolve(document, path, secret=True)
        for path in _LONG:
            self.resolve(document, path, secret=False)
        self._resolve_variables(document)
        limits = self.section(document, "rate_limits", RateLimits)
        for name in RateLimits.__struct_fields__:
            value = getattr(limits, name, None)
            if value is not None and not 1 <= value <= 1_000_000_000:
                self.problems.append(f"rate_limits.{name}: must be 1 to 1000000000")
        desk = self._desk
        keys = self.tables(document, "api_keys", ApiKeyTable, ApiKeyTable.problems, by="name")
        queues = self.tables(document, "queues", QueueTable, QueueTable.problems, by="key")
        members = self.tables(document, "staff", StaffTable, StaffTable.problems, by="email")
        hooks = self.tables(document, "webhooks", WebhookTable, lambda table: table.problems(desk), by="name")
        return Declared(
            workspace=self.section(document, "workspace", WorkspaceTable) or WorkspaceTable(),
            rate_limits=limits,
            retention=self._read(document, "retention", RetentionTable, RetentionTable.read),
            widget=self._read(document, "widget", WidgetSettings, widget_of),
            visitor_sessions=self._addresses(document),
            responder=self._read(document, "responder", ResponderTable, lambda table: table.read(desk)),
            auth_endpoint=self._read(
                document, "auth_endpoint", AuthEndpointSettings, lambda table: auth_endpoint_of(desk, table)
            ),
            providers=self._providers(document),
            queues=tuple(queues) if "queues" in document else None,
            webhooks=tuple(hooks) if "webhooks" in document else None,
            staff=tuple(members) if "staff" in document else None,
            api_keys=tuple(keys),
            actions=self._actions(document),
        )

    def _read(
        self, document: dict[str, Any], name: str, type_: type[S], read: Callable[[S], tuple[T, list[str]]]
    ) -> T | None:
        """A section as `read` makes it, which says as well what is wrong with it."""
        table = self.section(document, name, type_)
        if table is None:
            return None
        made, problems = read(table)
        self.problems += problems
        return made

    def _addresses(self, document: dict[str, Any]) -> tuple[str, ...] | None:
        table = self.section(document, "visitor_sessions", VisitorSessionSettings)
        if table is None:
            return None
        try:
            return workspaces.networks_of(table.allowed_addresses)
        except InvalidField as error:
            self.problems.append(f"visitor_sessions.allowed_addresses: {error.message}")
            return None

    def _providers(self, document: dict[str, Any]) -> tuple[ProviderSettings, ...] | None:
        if "identity_providers" not in document:
            return None
        private = self._desk.settings.private_hosts
        tables = document["identity_providers"]
        named = [
            table if not isinstance(table, dict) or "accepts" in table else {**table, "accepts": self._kinds(table)}
            for table in (tables if isinstance(tables, list) else [])
        ]
        if isinstance(tables, list):
            document = {**document, "identity_providers": named}
        return tuple(
            self.tables(
                document,
                "identity_providers",
                ProviderSettings,
                lambda settings: provider_rules.problems(settings, private),
                by="name",
            )
        )

    def _kinds(self, table: dict[str, Any]) -> list[str]:
        """As far as it is set up, where it does not say which kinds of token it is for."""
        before = list(self.problems)
        settings = self.table("", {"name": "", "issuer": "", **table}, ProviderSettings)
        self.problems = before
        return [kind.value for kind in provider_rules.kinds_of(settings)] if settings is not None else ["id_token"]

    def _actions(self, document: dict[str, Any]) -> DeclaredActions | None:
        sections = {name: document[name] for name in ACTION_SECTIONS if name in document}
        if not sections:
            return None
        allow_http = bool(self._desk.settings.private_hosts)
        try:
            declared = read_declared(sections, self._directory, self._environ, allow_http=allow_http)
            require_callable(self._desk, declared.actions)
        except InvalidDeclaration as error:
            self.problems += error.problems
        except InvalidField as error:
            self.problems.append(f"actions: {error.message}")
        else:
            return declared
        return None

    def _resolve_variables(self, document: dict[str, Any]) -> None:
        variables = document.get("variables")
        for kind, table in (variables if isinstance(variables, dict) else {}).items():
            for name in table if isinstance(table, dict) else ():
                if isinstance(table[name], dict):
                    value = self._resolved(table[name], f"variables.{kind}.{name}", secret=False)
                    # To the letter: what a secret says is no reference of its own.
                    table[name] = f"text:{value}" if isinstance(value, str) else value


def _line_of(places: Places, problem: str) -> int:
    """0 where it is about none."""
    return places.line_of(problem.partition(":")[0]) or 0
