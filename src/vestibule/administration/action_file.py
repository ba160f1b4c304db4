"""Reads a workspace's actions, policy and variables from a TOML file; it must not store them.

    [policy]                    context_headers, send_assertion, locked.message, locked.model
    [variables.headers]         likewise query_params, path_params, body_params; NAME = VALUE
    [[actions]]                 the members of model/action.py, and `form = true`
    [[actions.parameters]]      location, name, schema, required, description

A value of a variable may be `env:NAME` or `file:PATH` (from the file's own directory), so that no secret need stand in
the file; `text:` before a value takes it to the letter. Every problem is reported at once, and none repeats a value.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from vestibule.errors import InvalidDeclaration, InvalidField
from vestibule.model.action import ActionDeclaration, ActionPolicy, Parameter, Variables
from vestibule.responder.action_rules import check_declaration, check_policy, check_variables

MOST_ACTIONS = 200
_LARGEST_FILE = 1_048_576
_SECTIONS = ("policy", "variables", "actions")
_KINDS = ("query_params", "path_params", "body_params", "headers")


class Declared(msgspec.Struct, frozen=True):
    """What a file declares; None where it has no such section. `forms`: the actions that are called by form only."""

    policy: ActionPolicy | None
    variables: Variables | None
    actions: tuple[ActionDeclaration, ...]
    forms: frozenset[str]


def read_action_file(path: Path, environ: Mapping[str, str], *, allow_http: bool) -> Declared:
    """Raises InvalidDeclaration."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InvalidDeclaration([f"{path} must be at most {_LARGEST_FILE} bytes"])
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidDeclaration([f"{path} cannot be read: {error}"]) from None
    return read_declared(document, path.parent, environ, allow_http=allow_http)


def read_declared(
    document: dict[str, Any], directory: Path, environ: Mapping[str, str], *, allow_http: bool
) -> Declared:
    """The same of a file that was read before. Raises InvalidDeclaration."""
    return _Reader(directory, environ, allow_http=allow_http).read(document)


class _Reader:
    """Reads one document; `problems` gathers what is wrong with it."""

    def __init__(self, directory: Path, environ: Mapping[str, str], *, allow_http: bool) -> None:
        self._directory = directory
        self._environ = environ
        self._allow_http = allow_http
        self._forms: set[str] = set()
        self.problems: list[str] = []

    def read(self, document: dict[str, Any]) -> Declared:
        self.problems += [f"{name}: is not a section" for name in document if name not in _SECTIONS]
        policy = self._policy(document["policy"]) if "policy" in document else None
        variables = self._variables(document["variables"]) if "variables" in document else None
        actions = self._actions(document.get("actions", []))
        if self.problems:
            raise InvalidDeclaration(self.problems)
        return Declared(policy, variables, actions, frozenset(self._forms))

    def _policy(self, section: Any) -> ActionPolicy | None:
        try:
            return check_policy(msgspec.convert(section, ActionPolicy))
        except (msgspec.ValidationError, InvalidField) as error:
            self.problems.append(f"policy: {_words(error)}")
            return None

    def _variables(self, section: Any) -> Variables | None:
        if not isinstance(section, dict):
            self.problems.append("variables: must be a table")
            return None
        self.problems += [f"variables.{name}: is not one of {', '.join(_KINDS)}" for name in section.keys() - {*_KINDS}]
        kinds = {kind: self._values(kind, section[kind]) for kind in _KINDS if kind in section}
        variables = Variables(**kinds)
        try:
            return check_variables(variables)
        except InvalidField as error:
            self.problems.append(error.message)
            return None

    def _values(self, kind: str, table: Any) -> dict[str, str]:
        if not isinstance(table, dict):
            self.problems.append(f"variables.{kind}: must be a table")
            return {}
        values: dict[str, str] = {}
        for name, text in table.items():
            try:
                values[name] = self._value(text)
            except (ValueError, OSError) as error:
                problem = error.strerror if isinstance(error, OSError) else str(error)
                self.problems.append(f"variables.{kind}.{name}: {problem}")
        return values

    def _value(self, text: Any) -> str:
        if not isinstance(text, str):
            raise ValueError("must be a text")  # noqa: TRY004 - told like every other problem of the file
        kind, colon, rest = text.partition(":")
        if not colon or kind not in {"env", "file", "text"}:
            return text
        if kind == "env":
            if rest not in self._environ:
                raise ValueError(f"the environment has no {rest}")
            return self._environ[rest]
        # An editor ends a file with a new line, which no secret does.
        return rest if kind == "text" else (self._directory / rest).read_text(encoding="utf-8").rstrip("\r\n")

    def _actions(self, tables: Any) -> tuple[ActionDeclaration, ...]:
        if not isinstance(tables, list) or len(tables) > MOST_ACTIONS:
            self.problems.append(f"actions: must be at most {MOST_ACTIONS} tables, written [[actions]]")
            return ()
        actions = [action for index, table in enumerate(tables) if (action := self._action(index, table)) is not None]
        seen: set[str] = set()
        for action in actions:
            if action.name in seen:
                self.problems.append(f"actions: two are called {action.name}")
            seen.add(action.name)
        return tuple(actions)

    def _action(self, index: int, table: Any) -> ActionDeclaration | None:
        if not isinstance(table, dict):
            self.problems.append(f"actions[{index}]: must be a table")
            return None
        place = f"actions[{index}] ({table['name']})" if isinstance(table.get("name"), str) else f"actions[{index}]"
        members = {name: value for name, value in table.items() if name not in {"parameters", "form"}}
        before = len(self.problems)
        parameters = self._parameters(place, table.get("parameters", []))
        form = table.get("form", False)
        if not isinstance(form, bool):
            self.problems.append(f"{place}.form: must be true or false")
        try:
            action = msgspec.convert(members, ActionDeclaration)
            if len(self.problems) == before:
                check_declaration(
                    action := msgspec.structs.replace(action, parameters=parameters), allow_http=self._allow_http
                )
        except (msgspec.ValidationError, InvalidField) as error:
            self.problems.append(f"{place}: {_words(error)}")
            return None
        if form is True:
            self._forms.add(action.name)
        return action

    def _parameters(self, place: str, tables: Any) -> tuple[Parameter, ...]:
        if not isinstance(tables, list):
            self.problems.append(f"{place}.parameters: must be tables, written [[actions.parameters]]")
            return ()
        parameters = []
        for index, table in enumerate(tables):
            try:
                parameters.append(msgspec.convert(table, Parameter))
            except msgspec.ValidationError as error:
                self.problems.append(f"{place}.parameters[{index}]: {_words(error)}")
        return tuple(parameters)


def _words(error: Exception) -> str:
    """What is wrong, in the file's words: msgspec's quote names and types, and no values."""
    return error.message if isinstance(error, InvalidField) else str(error).replace("Object", "The table")
