"""The tables of a workspace's file where they are not those of the model: how they are written, and what is wrong with
one; it must not read a file."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vestibule.administration import auth_endpoint_rules, queues, responders, staff, webhooks, workspaces
from vestibule.administration.desk import Desk
from vestibule.errors import InvalidField
from vestibule.identity.email import email_key
from vestibule.model.auth_endpoint import AuthEndpointSettings, Enforcement
from vestibule.model.queue import QueueSettings
from vestibule.model.responder import ResponderKind, ResponderSettings, WidgetSettings
from vestibule.model.staff import Role
from vestibule.model.webhook import EventKind, EventNames
from vestibule.model.workspace import RateLimits, Retention, Scope
from vestibule.outbound.standard_webhooks import new_secret
from vestibule.times import read_span

_LONGEST_KEY_NAME = 100


class WorkspaceTable(msgspec.Struct, frozen=True):
    """`customer_id` names the workspace, and never changes. What is absent stays."""

    customer_id: str = ""
    name: str = ""
    disabled: bool | None = None
    enforcement: Enforcement | None = None


class RetentionTable(msgspec.Struct, frozen=True):
    """Spans; what is absent is the installation's."""

    unverified_contacts: str = ""
    closed_conversations: str = ""
    audit: str = ""

    def read(self) -> tuple[Retention, list[str]]:
        """And what is wrong with it."""
        given = {name: text for name in self.__struct_fields__ if (text := getattr(self, name))}
        spans = {name: read_span(text) for name, text in given.items()}
        retention = Retention(**spans)
        problems = [f"retention.{name}: must be a duration, such as 30d" for name in spans if spans[name] is None]
        return retention, problems + [problem.message for problem in workspaces.retention_problems(retention)]


class ResponderTable(msgspec.Struct, frozen=True):
    kind: ResponderKind = ResponderKind.NONE
    url: str = ""
    model: str = ""
    api_key: str = ""
    secrets: tuple[str, ...] = ()
    instructions: str = ""
    timeout: str = "60s"
    notice: str = ""
    handoff_notice: str = ""

    def read(self, desk: Desk) -> tuple[ResponderSettings, list[str]]:
        members = {name: getattr(self, name) for name in self.__struct_fields__ if name != "timeout"}
        timeout = read_span(self.timeout)
        settings = ResponderSettings(**members, timeout_ms=timeout if timeout is not None else 60_000)
        problems = ["responder.timeout: must be a duration, such as 30s"] if timeout is None else []
        return settings, problems + [f"responder.{each.message}" for each in responders.problems_of(desk, settings)]


class ApiKeyTable(msgspec.Struct, frozen=True):
    """An API key that must be there, by name. One is made if there is none; one in being is not changed."""

    name: str
    scopes: tuple[Scope, ...] = (Scope.AUTHENTICATE,)
    expires_in: str = ""
    rate_limits: RateLimits = RateLimits()

    @property
    def lifetime_ms(self) -> int | None:
        return read_span(self.expires_in) if self.expires_in else None

    def problems(self) -> Iterator[str]:
        if not 0 < len(self.name) <= _LONGEST_KEY_NAME or not self.name.isprintable():
            yield f"name: must have 1 to {_LONGEST_KEY_NAME} printable characters"
        if not self.scopes:
            yield "scopes: must name at least one"
        if self.expires_in and not self.lifetime_ms:
            yield "expires_in: must be a duration, such as 90d"


class QueueTable(msgspec.Struct, frozen=True):
    """By `key`, which is its name as well if that is absent. `hours` as in `mon-fri 09:00-17:00`."""

    key: str
    name: str = ""
    identified_only: bool = False
    hours: tuple[str, ...] = ()
    time_zone: str = "UTC"

    @property
    def settings(self) -> QueueSettings:
        """Raises InvalidField."""
        return QueueSettings(self.name or self.key, self.identified_only, queues.read_hours(self.hours), self.time_zone)

    def problems(self) -> Iterator[str]:
        try:
            settings = self.settings
        except InvalidField as error:
            yield error.message
            settings = QueueSettings(self.name or self.key, time_zone=self.time_zone)
        yield from (problem.message for problem in queues.problems_of(self.key, settings))


class StaffTable(msgspec.Struct, frozen=True):
    """By `email`. Who is new is invited, and chooses a password; a `name` that is absent stays."""

    email: str
    name: str = ""
    role: Role = Role.VIEWER
    disabled: bool = False

    @property
    def key(self) -> str:
        return email_key(self.email.strip())

    def problems(self) -> Iterator[str]:
        try:
            email_key(self.email.strip())
        except InvalidField as error:
            yield error.message
        try:
            staff.checked_name(self.name.strip() or "-")
        except InvalidField as error:
            yield error.message


class WebhookTable(msgspec.Struct, frozen=True):
    """By `name`. Without `events` it is told of all; without `secrets` it keeps those that it has, or is given one."""

    name: str
    url: str
    events: tuple[EventKind, ...] = tuple(EventKind)
    names: EventNames = EventNames.VESTIBULE
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"WebhookTable({self.name!r})"

    def problems(self, desk: Desk) -> Iterator[str]:
        if not self.name:
            yield "name: must not be empty"
        if not self.events:
            yield "events: must name at least one"
        found = webhooks.problems_of(desk, url=self.url, name=self.name, secrets=self.secrets)
        yield from (problem.message for problem in found)


def widget_of(widget: WidgetSettings) -> tuple[WidgetSettings, list[str]]:
    """The settings as they are, and what is wrong with them."""
    return widget, [f"widget.{problem.message}" for problem in responders.widget_problems(widget)]


def auth_endpoint_of(desk: Desk, table: AuthEndpointSettings) -> tuple[AuthEndpointSettings, list[str]]:
    """The settings with their domains as they are compared, and what is wrong with them."""
    problems: list[str] = []
    if table.enforcement is not Enforcement.OBSERVE:
        problems.append("required_login: it counts for every way in, and is said as enforcement in [workspace]")
    try:
        table = msgspec.structs.replace(table, domains=auth_endpoint_rules.normalised_domains(table.domains))
    except InvalidField as error:
        problems.append(error.message)
    # Without secrets it keeps those that it has, or is given one.
    judged = table if table.secrets else msgspec.structs.replace(table, secrets=(new_secret(),))
    problems += auth_endpoint_rules.problems(judged, desk.settings.private_hosts)
    return table, [f"auth_endpoint.{problem}" for problem in problems]
