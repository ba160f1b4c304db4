"""What becomes of an OpenAPI document: actions, warnings, or a refusal; never a request, a crash or much memory."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.errors import InvalidField
from vestibule.model.action import Location, Parameter, Trust
from vestibule.responder.action_rules import check_declaration
from vestibule.responder.openapi_import import LARGEST_DOCUMENT, MOST_OPERATIONS, Imported, import_openapi

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://{region}.shop.example/api/", "variables": {"region": {"default": "eu"}}}],
    "security": [{"bearer": []}],
    "paths": {
        "/orders/{order_id}": {
            "parameters": [
                {"$ref": "#/components/parameters/OrderId"},
                {"name": "verbose", "in": "query", "schema": {"type": "string"}, "description": "of the path"},
            ],
            "get": {
                "operationId": "getOrderById",
                "summary": "One order",
                "description": "With its items.",
                "parameters": [
                    {
                        "name": "verbose",
                        "in": "query",
                        "schema": {"type": "boolean"},
                        "description": "of the operation",
                    },
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "required": True, "schema": {"type": "string"}},
                    {"name": "fields", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "filter", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
                ],
            },
            "put": {
                "operationId": "changeOrder",
                "requestBody": {"$ref": "#/components/requestBodies/Order"},
            },
            "delete": {"requestBody": {"content": {"application/json": {"schema": {}}}}},
            "head": {},
        },
    },
    "components": {
        "parameters": {"OrderId": {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}},
        "requestBodies": {
            "Order": {
                "required": True,
                "content": {
                    "application/vnd.shop+json; charset=utf-8": {"schema": {"$ref": "#/components/schemas/Order"}}
                },
            }
        },
        "schemas": {
            "Base": {
                "type": "object",
                "required": ["id", "note"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "note": {"type": "string", "description": "What for", "x-internal": 1, "example": "x"},
                },
            },
            "Order": {
                "allOf": [
                    {"$ref": "#/components/schemas/Base"},
                    {
                        "required": ["lines"],
                        "properties": {"lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}}},
                    },
                ],
                "properties": {"parent": {"$ref": "#/components/schemas/Order"}},
            },
            "Line": {"type": "object", "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}},
        },
    },
}


def changed(**operation: Any) -> dict[str, Any]:
    """A document with one operation, `POST /things`."""
    return {
        "openapi": "3.0.3",
        "servers": [{"url": "https://shop.example"}],
        "paths": {"/things": {"post": operation}},
    }


def body(schema: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"content": {kind: {"schema": schema}}}}


def read(document: Any, **options: Any) -> Imported:
    return import_openapi(document, workspace_id="w", **options)


def only(imported: Imported) -> tuple[Parameter, ...]:
    assert len(imported.actions) == 1, imported.warnings
    return imported.actions[0].parameters


@pytest.mark.parametrize("form", ["dict", "text", "bytes"])
def test_operations_become_actions(form: str) -> None:
    text = json.dumps(DOCUMENT)
    given_as = {"dict": DOCUMENT, "text": text, "bytes": text.encode()}
    imported = read(given_as[form])
    get, put, delete = imported.actions
    assert (get.name, get.method) == ("getOrderById", "GET")
    assert get.url_template == "https://eu.shop.example/api/orders/{order_id}"
    assert get.description == "One order\nWith its items."
    assert get.parameters == (
        Parameter(Location.PATH, "order_id", {"type": "string"}, required=True),
        Parameter(Location.QUERY, "verbose", {"type": "boolean"}, description="of the operation"),
        Parameter(Location.HEADER, "X-Trace", {"type": "string"}),
        Parameter(Location.QUERY, "fields", {"type": "array", "items": {"type": "string"}}),
        Parameter(Location.QUERY, "filter", {"type": "object"}),
    )
    by_name = {parameter.name: parameter for parameter in put.parameters if parameter.location is Location.BODY}
    note = {"type": "string", "description": "What for"}
    assert by_name["note"] == Parameter(Location.BODY, "note", note, required=True, description="What for")
    line = {"type": "object", "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}}}
    assert by_name["lines"] == Parameter(Location.BODY, "lines", {"type": "array", "items": line}, required=True)
    assert by_name.keys() == {"note", "lines", "parent"}
    assert (delete.name, delete.method) == ("delete_orders_order_id", "DELETE")
    assert {parameter.location for parameter in delete.parameters} == {Location.PATH, Location.QUERY}


def test_imported_actions_ask_for_proof_and_wait_to_be_enabled() -> None:
    for action in read(DOCUMENT).actions:
        assert (action.required_trust, action.enabled, action.workspace_id) == (Trust.VERIFIED, False, "w")
        check_declaration(action)
    assert all(action.enabled for action in read(DOCUMENT, enabled=True).actions)


def test_what_was_not_taken_over_is_told() -> None:
    assert read(DOCUMENT).warnings == (
        "The API asks for credentials: give them as workspace variables or contact overrides.",
        "PUT /orders/{order_id}: '#/components/schemas/Order' contains itself: anything is allowed there",
        "DELETE /orders/{order_id}: the body is left out: DELETE is sent without one",
    )


def test_the_document_is_not_changed() -> None:
    before = copy.deepcopy(DOCUMENT)
    read(DOCUMENT)
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 1}),
        ({"type": "integer", "maximum": 9, "exclusiveMaximum": False}, {"type": "integer", "maximum": 9}),
        ({"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^a+$"}),
        ({"type": "string", "pattern": "(?=a)"}, {"type": "string"}),
        ({"oneOf": [{"type": "string"}, True, False]}, {"oneOf": [{"type": "string"}, {}, {"not": {}}]}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": {"not": {}}}),
        ({"discriminator": {}, "xml": {}, "$id": "http://x/", "$dynamicRef": "#a", "$defs": {}}, {}),
        (True, {}),
    ],
)
def test_schemas_become_plain_json_schema(schema: Any, plain: dict[str, Any]) -> None:
    parameters = only(read(changed(**body({"type": "object", "properties": {"x": schema}}))))
    assert parameters[0].schema == plain


def test_names_are_made_unique_and_fit() -> None:
    operations = {
        f"/{n}": {"get": {"operationId": name}} for n, name in enumerate(["do", "do", "Do!", "é", "x" * 99, "Do"])
    }
    document = changed() | {"paths": operations}
    assert [action.name for action in read(document).actions] == ["do", "do_2", "do_3", "action", "x" * 64, "Do"]


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (body({"type": "object"}), "its body is not an object with named properties"),
        (body({"type": "array", "items": {}}), "its body is not an object with named properties"),
        (body({"oneOf": [{"type": "object"}]}), "its body has alternatives"),
        (body({}, "multipart/form-data"), "its body is not JSON"),
        (body({"$ref": "#/components/schemas/None"}), "nothing is at '#/components/schemas/None'"),
        ({"requestBody": {"$ref": "#/paths/~1things/post/requestBody"}}, "a reference leads back to itself"),
        ({"requestBody": 5}, "an object is expected where there is none"),
        ({"servers": [{"url": "https://other.example"}]}, "it has a server of its own"),
        ({"parameters": [{"name": "c", "in": "cookie", "required": True}]}, "a parameter in 'cookie' cannot be sent"),
        (
            {"parameters": [{"name": "Host", "in": "header", "required": True}]},
            "parameters[0].name: is a header that may not be set",
        ),
        (
            {"parameters": [{"name": "id", "in": "path", "required": True}]},
            "parameters: must have the path parameters of url_template, no more and no less: id",
        ),
        (
            {"parameters": [{"name": "q", "in": "query", "required": True, "schema": {"type": "object"}}]},
            "an object or list of this style cannot be sent",
        ),
        (body({"properties": {"x": {"type": "nonsense"}}}), None),
        (body({"properties": {"x": 5}}), "a schema is expected where there is none"),
    ],
)
def test_an_operation_that_cannot_be_sent_faithfully_is_left_out(operation: dict[str, Any], reason: str | None) -> None:
    imported = read(changed(**operation))
    assert imported.actions == ()
    assert imported.warnings[-1].startswith("POST /things: left out: ")
    assert reason is None or imported.warnings == (f"POST /things: left out: {reason}",)


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "c", "in": "cookie"},
        {"name": "a", "in": "query", "style": "spaceDelimited", "schema": {"type": "array"}},
        {"name": "a", "in": "query", "explode": False, "schema": {"type": "array"}},
        {"name": "a", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
        {"name": "a", "in": "header", "schema": {"type": ["array", "null"]}},
        {"name": "a", "in": "query", "content": {"text/plain": {}}},
        {"name": "a", "in": "query", "content": {"application/json": {}}},
        {"name": "a", "in": "query", "content": {"application/json": {"schema": {"type": "string"}}}},
        {"name": "a", "in": "query", "content": {"application/json": {"schema": {"type": "array"}}}},
        {"name": "a", "in": "query", "content": {"application/json": {"schema": {"type": ["object", "array"]}}}},
    ],
)
def test_an_optional_parameter_that_cannot_be_sent_is_left_out(parameter: dict[str, Any]) -> None:
    imported = read(changed(parameters=[parameter]))
    assert only(imported) == ()
    assert len(imported.warnings) == 1


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b"", "document"),
        (b"[]", "document"),
        (b"\xff{}", "document"),
        ("openapi: 3.1.0\n", "document"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "document"),
        ({"openapi": float("nan"), "x": object()}, "document"),
        (b'{"a":"' + b"x" * LARGEST_DOCUMENT + b'"}', "document"),
        ({}, "openapi"),
        ({"swagger": "2.0"}, "openapi"),
        (changed() | {"openapi": "3.10.0"}, "openapi"),
        (changed() | {"openapi": 3.1}, "openapi"),
        (changed() | {"servers": []}, "servers"),
        (changed() | {"servers": [{"url": "/api"}]}, "servers"),
        (changed() | {"servers": [{"url": "http://shop.example"}]}, "servers"),
        (changed() | {"servers": [{"url": "https://{region}.shop.example"}]}, "servers"),
        (changed() | {"servers": [{"url": "https://u:p@shop.example"}]}, "url_template"),
        (changed() | {"paths": {f"/{n}": {"get": {}} for n in range(MOST_OPERATIONS + 1)}}, "paths"),
        (changed(**body({"$ref": "https://evil.example/schema.json"})), "document"),
        (changed(**body({"properties": {"x": {"$ref": "file:///etc/passwd"}}})), "document"),
        (changed(**body({"$ref": "other.json#/x"})), "document"),
        (changed(parameters=[{"$ref": "http://169.254.169.254/"}]), "document"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(document: Any, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read(document)
    assert refused.value.field == field


def test_references_that_multiply_are_refused() -> None:
    schemas: dict[str, Any] = {
        f"s{n}": {"properties": {side: {"$ref": f"#/components/schemas/s{n + 1}"} for side in ("l", "r")}}
        for n in range(30)
    }
    schemas["s30"] = {"type": "string"}
    document = changed(**body({"$ref": "#/components/schemas/s0"})) | {"components": {"schemas": schemas}}
    with pytest.raises(InvalidField) as refused:
        read(document)
    assert refused.value.field == "document"


def test_deep_schemas_are_cut() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "object", "properties": {"x": schema}}
    imported = read(changed(**body(schema)))
    assert only(imported)[0].name == "x"
    assert "cut off" in imported.warnings[0]


def test_a_base_url_stands_for_the_server() -> None:
    document = changed() | {"servers": [{"url": "/api"}]}
    assert read(document, base_url="https://api.example/v1/").actions[0].url_template == "https://api.example/v1/things"
    local = read(document, base_url="http://127.0.0.1:8080", allow_http=True)
    assert local.actions[0].url_template == "http://127.0.0.1:8080/things"
    with pytest.raises(InvalidField):
        read(document, base_url="http://127.0.0.1:8080")


def test_a_path_cannot_lengthen_the_host() -> None:
    imported = read(changed() | {"paths": {".evil.example/x": {"get": {}}, "@evil.example/": {"get": {}}}})
    assert imported.actions == ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "string", "#/paths", "query", "path", "$ref"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "$ref", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_a_document_with_something_odd_in_it_never_crashes(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    node: Any = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        child = node[key]
        if isinstance(child, dict | list) and child and data.draw(st.integers(0, 4)):
            node = child
            continue
        node[key] = data.draw(JSON)
        break
    try:
        imported = read(document)
    except InvalidField:
        return
    for action in imported.actions:
        check_declaration(action)
