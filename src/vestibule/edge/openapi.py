"""Makes an OpenAPI 3.1 document of a surface's routes and of the types they read and write; it must not know a surface.

The types describe themselves (msgspec's JSON Schema 2020-12, which OpenAPI 3.1 takes as it is), so that the document
cannot tell another story than the code that decodes and encodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule import errors
from vestibule.edge.operation import Answer, ErrorForm, Operation, Parameter
from vestibule.edge.problem import Problem, status_of_type
from vestibule.edge.surface import Route

VERSION = "3.1.0"
_REF = "#/components/schemas/{name}"
_AS_PROBLEM = ErrorForm(media_type="application/problem+json", type=Problem, status_of=status_of_type)
_OWN_PAPERS = re.compile(r"\s*\((?:DESIGN|contracts/|docs/)[^)]*\)")
_EVERY: tuple[type[errors.VestibuleError], ...] = (errors.StorageUnavailable,)
_WITH_BODY: tuple[type[errors.VestibuleError], ...] = (
    errors.MalformedBody,
    errors.InvalidField,
    errors.UnsupportedMedia,
    errors.BodyTooLarge,
    errors.BodyTooSlow,
)

Json = dict[str, Any]


class Security(msgspec.Struct, frozen=True):
    """The bearer credential that a surface asks for, and what it may be refused with."""

    name: str
    about: str
    errors: tuple[type[errors.VestibuleError], ...]
    format: str | None = None


CONTACT_TOKEN = Security(
    "contactToken",
    "The contact token of a verified contact or of an unverified visitor.",
    (
        errors.AmbiguousCredentials,
        errors.MissingCredentials,
        errors.InvalidContactToken,
        errors.RateLimited,
        errors.WorkspaceDisabled,
        errors.OriginNotAllowed,
        errors.NoSigningKey,
        errors.CannotUnseal,
    ),
    "JWT",
)


def document(
    routes: Sequence[Route], *, title: str, version: str, about: str, server: str, security: Security = CONTACT_TOKEN
) -> Json:
    """The document of all routes; each must be documented."""
    operations = [(route, _documented(route)) for route in routes]
    schemas = _Schemas([Problem, *(found for _, operation in operations for found in _types_of(operation))])
    paths: dict[str, Json] = {}
    for route, operation in operations:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(operation, schemas, security)
    scheme = {"type": "http", "scheme": "bearer", "description": security.about}
    if security.format is not None:
        scheme["bearerFormat"] = security.format
    return {
        "openapi": VERSION,
        "info": {"title": title, "version": version, "description": about},
        "servers": [{"url": server}],
        "security": [{security.name: []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {security.name: scheme},
        },
    }


class _Schemas:
    """The schemas of types, by type."""

    def __init__(self, types: list[Any]) -> None:
        self._types = types
        self._schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
        self.components: dict[str, Json] = _plain(components)

    def of(self, type_: Any) -> Json:
        return dict(_plain(self._schemas[self._types.index(type_)]))


def _documented(route: Route) -> Operation:
    if route.operation is None:
        raise ValueError(f"{route.method} {route.path} has no documentation")
    return route.operation


def _types_of(operation: Operation) -> list[Any]:
    given = [parameter.type for parameter in operation.parameters]
    written = [answer.type for answer in operation.answers if answer.type is not None]
    refused = [operation.error_form.type] if operation.error_form is not None else []
    return [*given, *refused, *([operation.request] if operation.request is not None else []), *written]


def _operation(operation: Operation, schemas: _Schemas, security: Security) -> Json:
    made: Json = {"operationId": operation.name, "summary": operation.summary}
    if operation.about:
        made["description"] = operation.about
    if operation.parameters:
        made["parameters"] = [_parameter(parameter, schemas) for parameter in operation.parameters]
    body = operation.form
    if operation.request is not None:
        body = ("application/json", schemas.of(operation.request))
    if body is not None:
        made["requestBody"] = {"required": True, "content": {body[0]: {"schema": body[1]}}}
    made["responses"] = {
        **{str(answer.status): _answer(answer, schemas) for answer in operation.answers},
        **_refusals(operation, security, schemas, has_body=body is not None),
    }
    if operation.public:
        made["security"] = []
    return made


def _parameter(parameter: Parameter, schemas: _Schemas) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.about,
        "required": parameter.required or parameter.location == "path",
        "schema": schemas.of(parameter.type),
    }


def _answer(answer: Answer, schemas: _Schemas) -> Json:
    made: Json = {"description": answer.about}
    if answer.headers:
        made["headers"] = {
            name: {"description": about, "schema": {"type": "string"}} for name, about in answer.headers.items()
        }
    if answer.type is not None:
        made["content"] = {answer.media_type: {"schema": schemas.of(answer.type)}}
    return made


def _refusals(operation: Operation, security: Security, schemas: _Schemas, *, has_body: bool) -> dict[str, Json]:
    """One response a status, telling the codes that come with it."""
    kinds = [*operation.errors, *_EVERY]
    kinds += () if operation.public else security.errors
    kinds += _WITH_BODY if has_body else ()
    form = operation.error_form or _AS_PROBLEM
    by_status: dict[int, dict[str, str]] = {}
    for kind in kinds:
        by_status.setdefault(form.status_of(kind).value, {})[kind.code] = kind.sentence
    content = {form.media_type: {"schema": schemas.of(form.type)}}
    return {
        str(status): {
            "description": "  \n".join(f"`{code}`: {sentence}" for code, sentence in sorted(codes.items())),
            "content": content,
        }
        for status, codes in sorted(by_status.items())
    }


def _plain(value: Any) -> Any:
    """With descriptions for readers outside: they come from docstrings, which are broken into lines and may refer to
    our own papers."""
    if isinstance(value, dict):
        return {
            name: _prose(member) if name == "description" and isinstance(member, str) else _plain(member)
            for name, member in value.items()
        }
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else value


def _prose(docstring: str) -> str:
    return re.sub(r"\s*\n\s*", " ", _OWN_PAPERS.sub("", docstring)).strip()
