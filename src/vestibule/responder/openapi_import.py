"""Reads an OpenAPI 3.0 or 3.1 document as actions; it must not fetch anything, whatever the document refers to.

A document is somebody else's text: its size, operations, nesting and, since references multiply, the size of what they
expand to are bounded, and a cycle ends where it starts again. What cannot be sent faithfully is left out, and told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from vestibule.errors import InvalidField
from vestibule.ids import new_id
from vestibule.model.action import Action, HttpMethod, Location, Parameter
from vestibule.responder.action_rules import LONGEST_DESCRIPTION, NAME, check_declaration
from vestibule.responder.openapi_schema import Expansion, Unusable
from vestibule.responder.url_template import parse_template

LARGEST_DOCUMENT = 1_048_576
MOST_OPERATIONS = 200
_METHODS: tuple[HttpMethod, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")
# OpenAPI 3 "Parameter Object": a document that describes them is to be read as if it did not.
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})
_DEFAULT_STYLES = {"query": "form", "path": "simple", "header": "simple"}
_JSON_MEDIA = re.compile(r"application/([a-z0-9.+-]+\+)?json", re.IGNORECASE)
# What is sent as JSON in a query.
_JSON_IN_QUERY = frozenset({"object", "number", "integer", "boolean", "null"})


class Imported(msgspec.Struct, frozen=True):
    """The actions of a document, and what about it was not taken over."""

    actions: tuple[Action, ...]
    warnings: tuple[str, ...]


def import_openapi(
    document: bytes | str | dict[str, Any],
    *,
    workspace_id: str,
    base_url: str | None = None,
    enabled: bool = False,
    allow_http: bool = False,
) -> Imported:
    """The operations of a document as actions. `base_url` stands for the document's server. Raises InvalidField.

    The actions ask for verified contacts and start disabled unless `enabled`: two hundred operations, some of which
    delete, are to be looked at before a model is given them.
    """
    root = _read(document)
    version = root.get("openapi")
    if not isinstance(version, str) or re.fullmatch(r"3\.[01](\.[0-9A-Za-z.-]+)?", version) is None:
        raise InvalidField("openapi", "must be 3.0 or 3.1")
    if len(list(_operations(root))) > MOST_OPERATIONS:
        raise InvalidField("paths", f"must have at most {MOST_OPERATIONS} operations")
    server = base_url or _server(root)
    if parse_template(server).origin.startswith("http:") and not allow_http:
        raise InvalidField("servers", "must have an absolute https URL first, or give the base URL")
    reader = _Reader(root, workspace_id, server, enabled=enabled, allow_http=allow_http)
    reader.read()
    return Imported(tuple(reader.actions), tuple(reader.warnings))


class _Reader:
    def __init__(
        self, root: dict[str, Any], workspace_id: str, base_url: str, *, enabled: bool, allow_http: bool
    ) -> None:
        self._root = root
        self._workspace_id = workspace_id
        self._base_url = base_url.rstrip("/")
        self._enabled = enabled
        self._allow_http = allow_http
        self._names: set[str] = set()
        self.actions: list[Action] = []
        self.warnings: list[str] = []

    def read(self) -> None:
        expansion = Expansion(self._root, self.warnings)
        if self._root.get("security") or any(operation.get("security") for *_, operation in _operations(self._root)):
            self.warnings.append("The API asks for credentials: give them as workspace variables or contact overrides.")
        paths = self._root.get("paths")
        for path, item in (paths if isinstance(paths, dict) else {}).items():
            if isinstance(item, dict) and "$ref" in item:
                self.warnings.append(f"{path}: left out: it is described elsewhere")
        for method, path, item, operation in _operations(self._root):
            expansion.place = f"{method} {path}"
            try:
                self.actions.append(self._action(expansion, method, path, item, operation))
            except Unusable as error:
                self.warnings.append(f"{expansion.place}: left out: {error}")

    def _action(
        self,
        expansion: Expansion,
        method: HttpMethod,
        path: str,
        item: dict[str, Any],
        operation: dict[str, Any],
    ) -> Action:
        if item.get("servers") or operation.get("servers"):
            raise Unusable("it has a server of its own")
        if not path.startswith("/"):
            raise Unusable("a path starts with a slash")
        described = [
            *_parameters(expansion, item, operation),
            *_body_parameters(expansion, method, operation),
        ]
        operation_id = operation.get("operationId")
        # To the letter where it can be: a host's component for the action is found by it (contracts/opencx.md 4.6).
        fits = isinstance(operation_id, str) and NAME.fullmatch(operation_id) is not None
        name = str(operation_id) if fits else slug(operation_id or f"{method}_{path}")
        action = Action(
            workspace_id=self._workspace_id,
            id=new_id(),
            name=self._unique(name),
            method=method,
            url_template=self._base_url + path,
            description=_description(operation),
            parameters=tuple(described),
            enabled=self._enabled,
        )
        try:
            check_declaration(action, allow_http=self._allow_http)
        except InvalidField as error:
            raise Unusable(error.message) from None
        self._names.add(action.name)
        return action

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name[:60]}_{count}"
        return candidate


def _read(document: bytes | str | dict[str, Any]) -> dict[str, Any]:
    try:
        raw = document if isinstance(document, bytes) else _encoded(document)
        if len(raw) > LARGEST_DOCUMENT:
            raise InvalidField("document", f"must be at most {LARGEST_DOCUMENT} bytes")
        # Decoded anew even where it came as a dict: from here on it is JSON, and nobody else's to change.
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        raise InvalidField("document", "must be a JSON object (convert YAML first)") from None


def _encoded(document: str | dict[str, Any]) -> bytes:
    return document.encode() if isinstance(document, str) else msgspec.json.encode(document)


def _server(root: dict[str, Any]) -> str:
    servers = root.get("servers")
    server = servers[0] if isinstance(servers, list) and servers else None
    url = server.get("url") if isinstance(server, dict) else None
    if not isinstance(url, str):
        raise InvalidField("servers", "must have an absolute https URL first, or give the base URL")
    variables = server.get("variables") if isinstance(server, dict) else None
    for name, variable in (variables if isinstance(variables, dict) else {}).items():
        default = variable.get("default") if isinstance(variable, dict) else None
        if isinstance(default, str):
            url = url.replace("{" + name + "}", default)
    if "://" not in url or "{" in url:
        raise InvalidField("servers", "must have an absolute https URL first, or give the base URL")
    return url


def _operations(root: dict[str, Any]) -> Iterator[tuple[HttpMethod, str, dict[str, Any], dict[str, Any]]]:
    paths = root.get("paths")
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        if not isinstance(item, dict):
            continue
        for method in _METHODS:
            operation = item.get(method.lower())
            if isinstance(operation, dict):
                yield method, path, item, operation


def _parameters(expansion: Expansion, item: dict[str, Any], operation: dict[str, Any]) -> Iterator[Parameter]:
    described: dict[tuple[str, str], dict[str, Any]] = {}
    for node in (*_list(item, "parameters"), *_list(operation, "parameters")):
        parameter = expansion.resolve(node)
        name, place = parameter.get("name"), parameter.get("in")
        if isinstance(name, str) and isinstance(place, str):
            described[place, name] = parameter  # the operation's own stand after the path's, and replace them
    for (place, name), parameter in described.items():
        if place == "header" and name.lower() in _IGNORED_HEADERS:
            continue
        required = parameter.get("required") is True
        try:
            yield _parameter(expansion, place, name, parameter, required=required)
        except Unusable as error:
            if required:
                raise
            expansion.warn(f"parameter {name!a} left out: {error}")


def _parameter(expansion: Expansion, place: str, name: str, node: dict[str, Any], *, required: bool) -> Parameter:
    if place not in _DEFAULT_STYLES:
        raise Unusable(f"a parameter in {place!a} cannot be sent")
    content = node.get("content")
    if isinstance(content, dict):
        media = content.get("application/json")
        if place != "query" or not isinstance(media, dict):
            raise Unusable("its form cannot be sent")
        schema = expansion.schema(media.get("schema", {}))
        # We send texts and lists as a form has them; by its media type they would be JSON, in quotes or brackets.
        if not _kinds(schema) or not _kinds(schema) <= _JSON_IN_QUERY:
            raise Unusable("its form cannot be sent")
    else:
        schema = expansion.schema(node.get("schema", {}))
        _require_plain_style(place, node, schema)
    text = node.get("description")
    return Parameter(Location(place), name, schema, required, _cut(text if isinstance(text, str) else ""))


def _require_plain_style(place: str, node: dict[str, Any], schema: dict[str, Any]) -> None:
    """Only what is sent as we send it: single values, and lists in the query by repeating the name."""
    kinds = _kinds(schema)
    if node.get("style", _DEFAULT_STYLES[place]) != _DEFAULT_STYLES[place]:
        raise Unusable("its style cannot be sent")
    listed = "array" in kinds and (place != "query" or node.get("explode", True) is not True)
    if "object" in kinds or listed:
        raise Unusable("an object or list of this style cannot be sent")


def _kinds(schema: dict[str, Any]) -> set[str]:
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _body_parameters(expansion: Expansion, method: str, operation: dict[str, Any]) -> list[Parameter]:
    if "requestBody" not in operation:
        return []
    if method in {"GET", "DELETE"}:
        expansion.warn(f"the body is left out: {method} is sent without one")
        return []
    body = expansion.resolve(operation["requestBody"])
    content = body.get("content")
    media = next(
        (
            media
            for kind, media in (content if isinstance(content, dict) else {}).items()
            if _JSON_MEDIA.fullmatch(kind.split(";", 1)[0].strip()) and isinstance(media, dict)
        ),
        None,
    )
    if media is None:
        raise Unusable("its body is not JSON")
    schema = expansion.schema(media.get("schema", {}))
    properties, required = _members(schema)
    if not properties:
        raise Unusable("its body is not an object with named properties")
    return [
        Parameter(Location.BODY, name, member, name in required, _cut(str(member.get("description", ""))))
        for name, member in properties.items()
    ]


def _members(schema: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The properties of an object, with those of all that it is composed of."""
    if schema.keys() & {"oneOf", "anyOf", "not"}:
        raise Unusable("its body has alternatives")
    properties: dict[str, Any] = {}
    required: set[str] = set()
    for part in schema.get("allOf", []):
        inner, needed = _members(part)
        properties |= inner
        required |= needed
    return properties | schema.get("properties", {}), required | set(schema.get("required", []))


def _list(node: dict[str, Any], name: str) -> list[Any]:
    found = node.get(name)
    return found if isinstance(found, list) else []


def _description(operation: dict[str, Any]) -> str:
    texts = [operation.get("summary"), operation.get("description")]
    return _cut("\n".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip())))


def _cut(text: str) -> str:
    return "".join(character for character in text if character.isprintable() or character == "\n")[
        :LONGEST_DESCRIPTION
    ]


def slug(text: object) -> str:
    """What is no action's name as one: "Get order #1" is get_order_1. Until ids were kept to the letter, getOrderById
    was get_order_by_id."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unquote(str(text)))
    return re.sub(r"[^a-z0-9-]+", "_", words.lower()).strip("_")[:64].strip("_") or "action"
