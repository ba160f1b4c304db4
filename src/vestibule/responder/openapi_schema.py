"""Follows the references of an OpenAPI document and makes its schemas plain JSON Schema 2020-12; it must not fetch.

What comes out has no references any more, so that each parameter stands alone: it is sent to a model and checked with
nothing else at hand. A schema that an operator declares keeps its own, and is sent to a model without them.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import unquote

import msgspec

from vestibule.errors import InvalidField
from vestibule.responder.action_rules import validator

# Deeper than people nest on purpose; a cycle is cut long before.
DEEPEST = 32
# Two references to two references to … double at each step: a page of text would expand to gigabytes.
MOST_NODES = 50_000
# Of a declared parameter's schema, which each answer of a model is asked for with.
MOST_OFFERED_NODES = 2_000

# fmt: off
_VERBATIM = frozenset({
    "title", "description", "default", "enum", "const", "format", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
    "minContains", "maxContains", "minProperties", "maxProperties", "dependentRequired", "deprecated",
})
_ONE = frozenset({
    "items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else", "unevaluatedProperties",
})
# fmt: on
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})


class Unusable(Exception):
    """A part of the document cannot be taken over; the text says why."""


class Expansion:
    """What is read of one document. `place` says where, for the warnings. What makes the whole document unusable raises
    InvalidField, what spoils only the place Unusable."""

    def __init__(self, root: dict[str, Any], warnings: list[str], most_nodes: int = MOST_NODES) -> None:
        self._root = root
        self._warnings = warnings
        self._most_nodes = most_nodes
        self._nodes = 0
        self.place = ""

    def warn(self, text: str) -> None:
        warning = f"{self.place}: {text}"
        if warning not in self._warnings:
            self._warnings.append(warning)

    def resolve(self, node: Any) -> dict[str, Any]:
        """The object itself, or the one its reference leads to."""
        seen: set[str] = set()
        while isinstance(node, dict) and "$ref" in node:
            reference = node["$ref"]
            node = self._target(reference)
            if reference in seen:
                raise Unusable("a reference leads back to itself")
            seen.add(reference)
        if not isinstance(node, dict):
            raise Unusable("an object is expected where there is none")
        return node

    def schema(self, node: Any, path: tuple[str, ...] = (), depth: int = 0) -> dict[str, Any]:
        """The schema without references and without words of OpenAPI's own."""
        self._nodes += 1
        if self._nodes > self._most_nodes:
            raise InvalidField("document", f"must not expand to more than {self._most_nodes} schemas")
        if isinstance(node, bool):
            return {} if node else {"not": {}}
        if not isinstance(node, dict):
            raise Unusable("a schema is expected where there is none")
        if depth > DEEPEST:
            self.warn(f"a schema is cut off below {DEEPEST} levels")
            return {}
        if "$ref" in node:
            return self._referred(node, path, depth)
        plain = {key: value for key, value in node.items() if key in _VERBATIM} | self._words(node)
        for key, value in node.items():
            if key in _ONE:
                plain[key] = self.schema(value, path, depth + 1)
            elif key in _MANY and isinstance(value, list):
                plain[key] = [self.schema(member, path, depth + 1) for member in value]
            elif key in _MAPS and isinstance(value, dict):
                plain[key] = {name: self.schema(member, path, depth + 1) for name, member in value.items()}
        _drop_read_only(node, plain)
        return _from_3_0(node, plain)

    def _words(self, node: dict[str, Any]) -> dict[str, Any]:
        """The keywords whose values are looked into here, where they have a form that can be."""
        words: dict[str, Any] = {}
        kinds = node.get("type")
        if isinstance(kinds, str) or (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)):
            words["type"] = kinds
        required = node.get("required")
        if isinstance(required, list):
            words["required"] = [name for name in required if isinstance(name, str)]
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            try:
                validator({"pattern": pattern})
                words["pattern"] = pattern
            except InvalidField:
                # Lookaheads and the like, which take a pattern engine that can be made to run for years.
                self.warn("a pattern that cannot be checked in bounded time is left out")
        return words

    def _referred(self, node: dict[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        reference = node["$ref"]
        if reference in path:
            self.warn(f"{reference!a} contains itself: anything is allowed there")
            return {}
        found = self.schema(self._target(reference), (*path, reference), depth + 1)
        description = node.get("description")  # allowed beside a reference since 3.1
        return found | ({"description": description} if isinstance(description, str) else {})

    def _target(self, reference: Any) -> Any:
        if reference == "#":
            return self._root
        if not isinstance(reference, str) or not reference.startswith("#/"):
            # Not left out quietly: the document is not whole, and fetching is how an importer is made to call others.
            raise InvalidField("document", f"must not refer to other documents: {str(reference)[:200]!a}")
        node: Any = self._root
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")  # RFC 6901 section 4
            node = node.get(key) if isinstance(node, dict) else None
        if node is None:
            raise Unusable(f"nothing is at {reference[:200]!a}")
        return node


def without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """A declared parameter's schema, for a place within another, where its references would point to nothing. Not to
    be changed. Raises InvalidField, Unusable."""
    encoded = msgspec.json.encode(schema)
    if b'"$ref"' not in encoded and b'"$dynamicRef"' not in encoded:
        return schema
    return _expanded(encoded)


@functools.lru_cache(maxsize=512)
def _expanded(schema: bytes) -> dict[str, Any]:
    root: dict[str, Any] = msgspec.json.decode(schema)
    return Expansion(root, [], MOST_OFFERED_NODES).schema(root)


def _drop_read_only(node: dict[str, Any], plain: dict[str, Any]) -> None:
    described = node.get("properties")
    if not isinstance(described, dict):
        return
    read_only = {name for name, member in described.items() if isinstance(member, dict) and member.get("readOnly")}
    plain["properties"] = {name: member for name, member in plain["properties"].items() if name not in read_only}
    if "required" in plain:
        plain["required"] = [name for name in plain["required"] if name not in read_only]


def _from_3_0(node: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI 3.0 says in words of its own, in those of JSON Schema 2020-12."""
    if node.get("nullable") is True and isinstance(plain.get("type"), str):
        plain["type"] = [plain["type"], "null"]
        if isinstance(plain.get("enum"), list) and None not in plain["enum"]:
            plain["enum"] = [*plain["enum"], None]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(plain.get(exclusive), bool) and plain.pop(exclusive) and inclusive in plain:
            plain[exclusive] = plain.pop(inclusive)
    return plain
