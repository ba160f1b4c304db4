"""`GET /v1/openapi.json` tells all of the native API and nothing else, and the server does as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import schemathesis
import schemathesis.openapi
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.fixtures import sample_files as samples
from tests.fixtures.conformance import CHECKS, examples
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.widget import bot_token, reply, unverified_token
from vestibule.edge.openapi import document
from vestibule.edge.surface import Route
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.settings import Settings
from vestibule.surfaces import native

SURFACE = native.surface(cast("Runtime", SimpleNamespace(settings=Settings())), cast("Runner", SimpleNamespace()))
OPERATIONS = sorted(
    (route.method, route.path) for route in SURFACE.routes if not route.path.endswith(("/events", "/openapi.json"))
)
# What speaks OAuth 2.0's dialect, and needs no contact token: it is where one comes from.
FORM = "application/x-www-form-urlencoded"
OAUTH = ("/v1/token", "/v1/backchannel-logout/{customer_id}")
# Answers to streams never end, so the one stream is not among them.
EXAMPLES = examples(30)


@pytest.fixture(scope="module")
def description(installation: Installation) -> dict[str, Any]:
    answer = installation.http.get("/v1/openapi.json")
    assert answer.status_code == 200
    described: dict[str, Any] = answer.json()
    return described


@pytest.fixture(scope="module")
def schema(description: dict[str, Any]) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(description)


@pytest.fixture(scope="module")
def own(installation: Installation) -> Workspace:
    return installation.workspace()


@pytest.fixture(scope="module")
def client(own: Workspace) -> Client:
    return Client(own, own.sign_in()[0])


@pytest.fixture(scope="module")
def conversation(client: Client) -> str:
    """A conversation with a message of every kind."""
    made = client.start("scope", custom_data={"plan": "gold", "seats": 3, "vip": True, "ratio": 0.5})
    file = client.upload(samples.PDF, "invoice.pdf").json()
    client.say(made, "hello", attachments=[{"url": file["url"]}], language="de")
    reply(client.workspace, made, "hello, too")
    return made


class TestTheDescription:
    def test_is_openapi_3_1(self, description: dict[str, Any], schema: schemathesis.BaseSchema) -> None:
        """By the meta-schema of the OpenAPI Initiative."""
        assert description["openapi"] == "3.1.0"
        schema.validate()

    def test_tells_of_every_route_and_of_no_other(self, description: dict[str, Any]) -> None:
        described = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
        assert described == {(route.method, route.path) for route in SURFACE.routes}
        assert len(described) == len(SURFACE.routes)

    def test_cannot_leave_a_route_out(self) -> None:
        bare = [Route("GET", "/v1/secret", SURFACE.routes[0].handler)]
        with pytest.raises(ValueError, match="GET /v1/secret has no documentation"):
            document(bare, title="x", version="1", about="", server="https://x.example")

    def test_names_operations_and_schemas_once_and_plainly(self, description: dict[str, Any]) -> None:
        operations = [operation for methods in description["paths"].values() for operation in methods.values()]
        names = [operation["operationId"] for operation in operations]
        assert len(names) == len(set(names))
        assert all(name.isidentifier() for name in [*names, *description["components"]["schemas"]])
        assert all(operation["summary"] for operation in operations)

    def test_tells_the_parameters_of_each_path(self, description: dict[str, Any]) -> None:
        for path, methods in description["paths"].items():
            in_path = {part.strip("{}") for part in path.split("/") if part.startswith("{")}
            for operation in methods.values():
                told = [each for each in operation.get("parameters", []) if each["in"] == "path"]
                assert {each["name"] for each in told} == in_path
                assert all(each["required"] for each in told)

    def test_tells_how_requests_are_refused(self, description: dict[str, Any]) -> None:
        problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        oauth = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
        for path, methods in description["paths"].items():
            for operation in methods.values():
                refusals = {status: told for status, told in operation["responses"].items() if int(status) >= 400}
                form = oauth if path in OAUTH else problem
                assert all(told["content"] == form for told in refusals.values())
                assert {"503"} <= refusals.keys()
                if path not in {"/v1/openapi.json", *OAUTH}:
                    assert {"400", "401", "403"} <= refusals.keys()
                if "requestBody" in operation:
                    assert {"408", "413", "415"} <= refusals.keys()
                if "{conversation_id}" in path:
                    assert "`not_found`" in refusals["404"]["description"]

    def test_says_that_a_token_is_needed(self, description: dict[str, Any]) -> None:
        assert description["security"] == [{"contactToken": []}]
        assert description["components"]["securitySchemes"]["contactToken"]["scheme"] == "bearer"
        public = [
            path for path, methods in description["paths"].items() for told in methods.values() if "security" in told
        ]
        assert sorted(public) == sorted(
            [*OAUTH, "/v1/visitors/authenticate", "/v1/openapi.json", "/v1/visitors", "/v1/widget-config"]
        )

    def test_names_the_server(self, description: dict[str, Any], installation: Installation) -> None:
        assert description["servers"] == [{"url": installation.base_url}]

    def test_says_nothing_of_our_own_papers(self, description: dict[str, Any]) -> None:
        text = json.dumps(description)
        for word in ("DESIGN", "contracts/", "docs/", "vestibule.surfaces", "vestibule.model", "\\n    "):
            assert word not in text

    def test_is_kept_by_readers(self, installation: Installation) -> None:
        first = installation.http.get("/v1/openapi.json", headers={"origin": "https://docs.example"})
        assert first.headers["content-type"] == "application/json"
        assert first.headers["access-control-allow-origin"] == "*"
        assert "max-age" in first.headers["cache-control"]
        again = installation.http.get("/v1/openapi.json", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""


class TestTheServer:
    @pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)
    @pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
    def test_does_as_it_says_whatever_is_sent(
        self,
        schema: schemathesis.BaseSchema,
        client: Client,
        conversation: str,
        route: tuple[str, str],
        mode: GenerationMode,
    ) -> None:
        method, path = route
        operation = schema[path][method]
        cases = operation.as_strategy(generation_mode=mode)
        if "{conversation_id}" in path:
            known = operation.as_strategy(generation_mode=mode, path_parameters={"conversation_id": conversation})
            cases = st.one_of(known, cases)
        EXAMPLES(given(case=cases)(lambda case: _call(case, client)))()
        assert client.read(conversation).status_code == 200

    def test_answers_as_it_says_where_all_is_well(
        self, schema: schemathesis.BaseSchema, client: Client, conversation: str, responding: Installation
    ) -> None:
        """Every documented answer of every operation but the stream, once, with data in every member."""
        workspace = client.workspace
        visitor = Client(workspace, unverified_token(workspace, email="a@b.example", non_verified_name="A"))
        answers = {
            ("GET", "/v1/me"): [client.call("GET", "/v1/me"), visitor.call("GET", "/v1/me")],
            ("POST", "/v1/me/sign-out"): [Client(workspace, workspace.sign_in()[0]).call("POST", "/v1/me/sign-out")],
            ("GET", "/v1/widget-config"): [
                client.call("GET", "/v1/widget-config", widget_token=token) for token in (bot_token(workspace), "x")
            ],
            ("POST", "/v1/visitors"): [
                client.call("POST", "/v1/visitors", {"widget_token": bot_token(workspace), "name": "A", "phone": "1"}),
                client.call("POST", "/v1/visitors", {"widget_token": "x"}),
            ],
            ("POST", "/v1/conversations"): [
                client.create("x", custom_data={"a": 1}),
                visitor.create("x"),
                visitor.create(),
            ],
            ("GET", "/v1/conversations"): [client.page(limit=1), visitor.page(scope="x"), visitor.page()],
            ("GET", "/v1/conversations/{conversation_id}"): [client.read(conversation), visitor.read(conversation)],
            ("GET", "/v1/conversations/{conversation_id}/messages"): [
                client.call("GET", f"/v1/conversations/{conversation}/messages")
            ],
            ("POST", "/v1/conversations/{conversation_id}/messages"): [*_sent_twice(client, conversation)],
            ("POST", "/v1/conversations/{conversation_id}/resolve"): [client.resolve(client.start())],
            ("POST", "/v1/conversations/{conversation_id}/identity"): [*_identified(client, visitor)],
            ("POST", "/v1/visitors/authenticate"): _shown_tokens(responding),
            ("POST", "/v1/token"): [client.call("POST", "/v1/token", b"grant_type=x", headers={"content-type": FORM})],
            ("POST", "/v1/backchannel-logout/{customer_id}"): [
                client.call("POST", "/v1/backchannel-logout/x", b"logout_token=x", headers={"content-type": FORM})
            ],
            ("POST", "/v1/files"): [client.upload(samples.PDF, "a.pdf"), client.upload(b"", "a.pdf")],
        }
        assert set(answers) == set(OPERATIONS)
        for (method, path), given_answers in answers.items():
            for answer in given_answers:
                schema[path][method].validate_response(_complete(answer))

    def test_streams_as_it_says(self, description: dict[str, Any], client: Client, conversation: str) -> None:
        told = description["paths"]["/v1/conversations/{conversation_id}/events"]["get"]["responses"]
        assert list(told["200"]["content"]) == ["text/event-stream"]
        with client.stream(conversation, after=0) as stream:
            events = [stream.next(), stream.next(), stream.next()]
        schemas = description["components"]["schemas"]
        for event in events:
            name = {"message": "Message", "conversation": "Conversation"}[event.kind]
            assert event.data.keys() == schemas[name]["properties"].keys() == set(schemas[name]["required"])


def _shown_tokens(responding: Installation) -> list[httpx.Response]:
    workspace = responding.workspace()
    with FakeAuthEndpoint({"session": {"id": 1}}) as fake:
        configure(workspace, fake, fallback="guest")
        answers = [show(workspace, "session"), show(workspace, "nobody"), show(workspace, "")]
        fake.always(b"", 500)
        return [*answers, show(workspace, "session")]


def _call(case: schemathesis.Case[Any], client: Client) -> None:
    if case.path == "/v1/me/sign-out":  # the token that the other cases need shall live on
        client = Client(client.workspace, client.workspace.sign_in()[0])
    case.call_and_validate(base_url=client.workspace.installation.base_url, headers=client.headers(), checks=CHECKS)


def _complete(answer: httpx.Response) -> httpx.Response:
    """The same without the request's body, which was sent as a stream and cannot be read again."""
    request = httpx.Request(answer.request.method, answer.request.url)
    same = httpx.Response(answer.status_code, headers=answer.headers, content=answer.content, request=request)
    same.elapsed = answer.elapsed
    return same


def _identified(client: Client, visitor: Client) -> Iterator[httpx.Response]:
    path = f"/v1/conversations/{visitor.start('identified')}/identity"
    other = client.workspace.sign_in("other@example.com")[0]
    for token in ("no token", client.token, client.token, other):
        yield visitor.call("POST", path, {"contact_token": token})
    yield client.call("POST", path, {"contact_token": other})


def _sent_twice(client: Client, conversation: str) -> Iterator[httpx.Response]:
    given_id = "0190a0a0-0000-4000-8000-000000000000"
    yield client.send(conversation, "x", id=given_id)
    yield client.send(conversation, "x", id=given_id)
    yield client.send(conversation, "x", attachments=[{"url": "https://evil.example"}])
