"""Reads what a TOML file declares of a workspace, every mistake at once and with its line; it must not store it.

    [workspace]              customer_id, name, disabled
    [rate_limits]            standard, streaming: requests a minute per API key
    [widget]                 list_seconds, poll_seconds, allowed_origins, [[widget.modes]]
    [responder]              kind, url, model, api_key, secrets, instructions, timeout, notice, handoff_notice
    [[identity_providers]]   the members of model/identity_provider.py, in the order in which they are tried
    [[api_keys]]             name, scopes, expires_in, rate_limits
    [policy], [variables.…], [[actions]]    as in action_file.py

A secret is a reference, `{env = "NAME"}` or `{file = "path"}` (from the file's own directory), and never stands in the
file. A section that is not there is left as it is.
"""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vestibule.administration import provider_rules, responders
from vestibule.administration.action_file import Declared as DeclaredActions
from vestibule.administration.action_file import read_declared
from vestibule.administration.actions import require_callable
from vestibule.administration.desk import Desk
from vestibule.administration.toml_places import Places
from vestibule.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.responder import Mode, ResponderKind, ResponderSettings, WidgetSettings
from vestibule.model.workspace import RateLimits, Scope

S = TypeVar("S", bound=msgspec.Struct)
ACTION_SECTIONS = ("policy", "variables", "actions")
_SECTIONS = ("workspace", "rate_limits", "widget", "responder", "identity_providers", "api_keys", *ACTION_SECTIONS)
_LARGEST_FILE = 1_048_576
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNITS = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_TYPES = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_BELOW = re.compile(r" - at `\$([^`]*)`$")


class WorkspaceTable(msgspec.Struct, frozen=True):
    """`customer_id` names the workspace, and never changes. What is absent stays."""

    customer_id: str = ""
    name: str = ""
    disabled: bool | None = None


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


class WidgetTable(msgspec.Struct, frozen=True):
    list_seconds: float = 60
    poll_seconds: float = 10
    modes: tuple[Mode, ...] = ()
    allowed_origins: tuple[str, ...] = ()


class ApiKeyTable(msgspec.Struct, frozen=True):
    """An API key that must be there, by name. One is made if there is none; one in being is not changed."""

    name: str
    scopes: tuple[Scope, ...] = (Scope.AUTHENTICATE,)
    expires_in: str = ""
    rate_limits: RateLimits = RateLimits()

    @property
    def lifetime_ms(self) -> int | None:
        return _milliseconds(self.expires_in) if self.expires_in else None


class Declared(msgspec.Struct, frozen=True):
    """What a file declares; None where it has no such section."""

    workspace: WorkspaceTable
    rate_limits: RateLimits | None = None
    widget: WidgetSettings | None = None
    responder: ResponderSettings | None = None
    providers: tuple[ProviderSettings, ...] | None = None
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
    if reader.problems:
        places = Places(text)
        raise InvalidDeclaration([_with_line(places, problem) for problem in reader.problems])
    return declared


class _Reader:
    """Reads one document; `problems` gathers what is wrong with it, each beginning with its place."""

    def __init__(self, desk: Desk, directory: Path, environ: Mapping[str, str]) -> None:
        self._desk = desk
        self._directory = directory
        self._environ = environ
        self.problems: list[str] = []

    def read(self, document: dict[str, Any]) -> Declared:
        self.problems += [f"{name}: is not a section" for name in document if name not in _SECTIONS]
        self._resolve_references(document)
        limits = self._section(document, "rate_limits", RateLimits)
        for name in RateLimits.__struct_fields__:
            value = getattr(limits, name, None)
            if value is not None and not 1 <= value <= 1_000_000_000:
                self.problems.append(f"rate_limits.{name}: must be 1 to 1000000000")
        return Declared(
            workspace=self._section(document, "workspace", WorkspaceTable) or WorkspaceTable(),
            rate_limits=limits,
            widget=self._widget(document),
            responder=self._responder(document),
            providers=self._providers(document),
            api_keys=tuple(self._tables(document, "api_keys", ApiKeyTable, _key_problems)),
            actions=self._actions(document),
        )

    def _widget(self, document: dict[str, Any]) -> WidgetSettings | None:
        table = self._section(document, "widget", WidgetTable)
        if table is None:
            return None
        widget = WidgetSettings(table.list_seconds, table.poll_seconds, table.modes, table.allowed_origins)
        self.problems += [f"widget.{problem.message}" for problem in responders.widget_problems(widget)]
        return widget

    def _responder(self, document: dict[str, Any]) -> ResponderSettings | None:
        table = self._section(document, "responder", ResponderTable)
        if table is None:
            return None
        timeout = _milliseconds(table.timeout)
        if timeout is None:
            self.problems.append("responder.timeout: must be a duration, such as 30s")
        settings = ResponderSettings(
            kind=table.kind,
            url=table.url,
            secrets=table.secrets,
            model=table.model,
            api_key=table.api_key,
            instructions=table.instructions,
            timeout_ms=timeout if timeout is not None else ResponderSettings().timeout_ms,
            notice=table.notice,
            handoff_notice=table.handoff_notice,
        )
        found = responders.problems_of(self._desk, settings)
        self.problems += [f"responder.{problem.message}" for problem in found]
        return settings

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
            self._tables(
                document,
                "identity_providers",
                ProviderSettings,
                lambda settings: provider_rules.problems(settings, private),
            )
        )

    def _kinds(self, table: dict[str, Any]) -> list[str]:
        """As far as it is set up, where it does not say which kinds of token it is for."""
        before = list(self.problems)
        settings = self._table("", {"name": "", "issuer": "", **table}, ProviderSettings)
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

    def _section(self, document: dict[str, Any], name: str, type_: type[S]) -> S | None:
        return self._table(name, document[name], type_) if name in document else None

    def _tables(self, document: dict[str, Any], name: str, type_: type[S], check: Any) -> list[S]:
        """The tables of an array, each by its name."""
        found = document.get(name, [])
        if not isinstance(found, list):
            self.problems.append(f"{name}: must be tables, written [[{name}]]")
            return []
        made: list[S] = []
        names: set[str] = set()
        for index, table in enumerate(found):
            place = f"{name}[{index}]"
            read = self._table(place, table, type_)
            if read is None:
                continue
            self.problems += [f"{place}.{problem}" for problem in check(read)]
            own = getattr(read, "name", "")
            if own in names:
                self.problems.append(f"{place}.name: is another one's, too")
            names.add(own)
            made.append(read)
        return made

    def _table(self, place: str, table: Any, type_: type[S]) -> S | None:
        """Member by member, so that each mistake is told; None where there is one."""
        if not isinstance(table, dict):
            self.problems.append(f"{place}: must be a table")
            return None
        before = len(self.problems)
        hints = typing.get_type_hints(type_)
        values: dict[str, Any] = {}
        for name, value in table.items():
            below = f"{place}.{name}"
            if name not in type_.__struct_fields__:
                self.problems.append(f"{below}: is not known here")
            elif isinstance(hints[name], type) and issubclass(hints[name], msgspec.Struct):
                values[name] = self._table(below, value, hints[name])
            else:
                try:
                    values[name] = msgspec.convert(value, hints[name])
                except msgspec.ValidationError as error:
                    self.problems.append(_words(below, error))
        required = {field.name for field in msgspec.structs.fields(type_) if field.required}
        self.problems += [f"{place}.{name}: is required" for name in sorted(required - table.keys())]
        return type_(**values) if len(self.problems) == before else None

    def _resolve_references(self, document: dict[str, Any]) -> None:
        """Puts what is referred to in the place of references, where secrets may stand; they must not stand there
        themselves."""
        responder = document.get("responder")
        if isinstance(responder, dict):
            self._resolve(responder, "api_key", "responder.api_key", secret=True)
            self._resolve(responder, "instructions", "responder.instructions", secret=False)
            secrets = responder.get("secrets")
            if isinstance(secrets, list):
                held = {str(number): each for number, each in enumerate(secrets)}
                for number in held:
                    self._resolve(held, number, f"responder.secrets[{number}]", secret=True)
                responder["secrets"] = list(held.values())
        providers = document.get("identity_providers")
        for index, provider in enumerate(providers if isinstance(providers, list) else []):
            if not isinstance(provider, dict):
                continue
            place = f"identity_providers[{index}]"
            self._resolve(provider, "shared_secret", f"{place}.shared_secret", secret=True)
            client = provider.get("introspection_client")
            if isinstance(client, dict):
                where = f"{place}.introspection_client.client_secret"
                self._resolve(client, "client_secret", where, secret=True)
        variables = document.get("variables")
        for kind, table in (variables if isinstance(variables, dict) else {}).items():
            for name in table if isinstance(table, dict) else ():
                if isinstance(table[name], dict):
                    self._resolve(table, name, f"variables.{kind}.{name}", secret=False)
                    # To the letter: what a secret says is no reference of its own.
                    table[name] = f"text:{table[name]}" if isinstance(table[name], str) else table[name]

    def _resolve(self, table: dict[str, Any], name: str, place: str, *, secret: bool) -> None:
        value = table.get(name)
        if isinstance(value, dict) and len(value) == 1 and {*value} <= {"env", "file"}:
            [(kind, where)] = value.items()
            table[name] = self._referred(kind, where, place)
        elif secret and value is not None and value != "":
            self.problems.append(f'{place}: must be a reference, {{env = "NAME"}} or {{file = "path"}}')
            table[name] = ""

    def _referred(self, kind: str, where: Any, place: str) -> str:
        if not isinstance(where, str) or not where:
            self.problems.append(f"{place}: must name something")
            return ""
        if kind == "env":
            if not self._environ.get(where):
                self.problems.append(f"{place}: the environment has no {where}")
            return self._environ.get(where, "")
        try:
            # An editor ends a file with a new line, which no secret does.
            return (self._directory / where).read_text(encoding="utf-8").rstrip("\r\n")
        except (ValueError, OSError) as error:
            problem = error.strerror if isinstance(error, OSError) else "is not text in UTF-8"
            self.problems.append(f"{place}: {where}: {problem}")
            return ""


def _key_problems(table: ApiKeyTable) -> list[str]:
    problems = []
    if not 0 < len(table.name) <= 100 or not table.name.isprintable():
        problems.append("name: must have 1 to 100 printable characters")
    if not table.scopes:
        problems.append("scopes: must name at least one")
    if table.expires_in and not table.lifetime_ms:
        problems.append("expires_in: must be a duration, such as 90d")
    return problems


def _milliseconds(text: str) -> int | None:
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def _words(place: str, error: msgspec.ValidationError) -> str:
    """Msgspec's complaint: it names types, and no values."""
    below = _BELOW.search(str(error))
    place = f"{place}{below[1] if below is not None else ''}"
    types = _TYPES.match(str(error))
    if types is not None:
        return f"{place}: must be {types[1]}, not {types[2]}"
    return f"{place}: {'is not one of the values allowed' if 'enum' in str(error) else 'is out of range'}"


def _with_line(places: Places, problem: str) -> str:
    line = places.line_of(problem.partition(":")[0])
    return f"line {line}: {problem}" if line is not None else problem
