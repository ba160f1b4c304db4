"""`GET /v1/admin/openapi.json` tells all of the admin API and nothing else, and the server does as it says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
import schemathesis.openapi
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.fixtures.admin import Admin
from tests.fixtures.conformance import CHECKS, examples
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.widget import claims_of
from vestibule.responder.runner import Runner
from vestibule.runtime import Runtime
from vestibule.settings import Settings
from vestibule.surfaces import admin_api

SURFACE = admin_api.surface(cast("Runtime", SimpleNamespace(settings=Settings())), cast("Runner", SimpleNamespace()))
# Not among what is tried with anything at all: other tests' tokens would end with their key.
_LEFT_OUT = ("/openapi.json", "/retire")
OPERATIONS = sorted((route.method, route.path) for route in SURFACE.routes if not route.path.endswith(_LEFT_OUT))
EXAMPLES = examples(10)


@pytest.fixture(scope="module")
def description(installation: Installation) -> dict[str, Any]:
    answer = installation.http.get("/v1/admin/openapi.json")
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
def known(own: Workspace) -> dict[str, Any]:
    """What stands in paths, of things that are there."""
    admin = Admin(own.installation, own.id)
    token, contact_id = own.sign_in(name="Ada", customData={"plan": "gold"})
    client = Client(own, token)
    conversation = client.start()
    client.say(conversation, "hello")
    body = {"name": "Login", "issuer": "https://login.example.com", "client_ids": ["widget"]}
    provider = admin.do("POST", "identity-providers", body)["id"]
    action = {"name": "look", "method": "GET", "url_template": "https://api.example.com/orders"}
    admin.do("PUT", "actions/look", action)
    admin.do("PUT", "queues/sales", {"name": "Sales"})
    return {
        "workspace_id": own.id,
        "contact_id": contact_id,
        "conversation_id": conversation,
        "key_id": own.key_id,
        "provider_id": provider,
        "action_name": "look",
        "queue_key": "sales",
        "token_id": claims_of(token)["jti"],
        "webhook_id": admin.do("POST", "webhooks", {"url": "https://api.example.com/events"})["id"],
        "staff_id": admin.do("POST", "staff", {"email": f"ada.{own.id}@example.com"})["member"]["id"],
    }


class TestTheDescription:
    def test_is_openapi_3_1(self, description: dict[str, Any], schema: schemathesis.BaseSchema) -> None:
        assert description["openapi"] == "3.1.0"
        schema.validate()

    def test_tells_of_every_route_and_of_no_other(self, description: dict[str, Any]) -> None:
        described = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
        assert described == {(route.method, route.path) for route in SURFACE.routes}
        assert len(described) == len(SURFACE.routes)

    def test_names_operations_once_and_says_nothing_of_our_own_papers(self, description: dict[str, Any]) -> None:
        operations = [operation for methods in description["paths"].values() for operation in methods.values()]
        names = [operation["operationId"] for operation in operations]
        assert len(names) == len(set(names))
        assert all(name.isidentifier() for name in [*names, *description["components"]["schemas"]])
        text = json.dumps(description)
        for word in ("DESIGN", "contracts/", "docs/", "vestibule.surfaces", "vestibule.model", "\\n    "):
            assert word not in text

    def test_says_that_an_admin_key_is_needed(self, description: dict[str, Any]) -> None:
        assert description["security"] == [{"adminKey": []}]
        public = [
            path for path, methods in description["paths"].items() for told in methods.values() if "security" in told
        ]
        assert public == ["/v1/admin/openapi.json"]

    def test_tells_of_conditions_and_repetition(self, description: dict[str, Any]) -> None:
        for methods in description["paths"].values():
            for method, operation in methods.items():
                told = {parameter["name"] for parameter in operation.get("parameters", [])}
                assert ("If-Match" in told) == (method in {"put", "patch", "delete"}), operation["operationId"]
                assert ("Idempotency-Key" in told) == (method == "post"), operation["operationId"]
                assert ("412" in operation["responses"]) == ("If-Match" in told)

    def test_no_answer_shows_a_secret_but_where_it_is_made(self, description: dict[str, Any]) -> None:
        shown = {
            (name, member)
            for name, schema in description["components"]["schemas"].items()
            for member in schema.get("properties", {})
            if member in {"api_key", "new_secret", "client_secret", "shared_secret", "secret", "link"}
        }
        assert shown == {
            ("NewApiKey", "api_key"),
            ("AuthEndpoint", "new_secret"),
            ("Responder", "new_secret"),
            ("ChangedWebhook", "secret"),
            ("Invitation", "link"),
            # Only ever sent to us:
            ("ClientCredentials", "client_secret"),
            ("ProviderBody", "shared_secret"),
            ("ResponderChange", "api_key"),
            ("ResponderChange", "new_secret"),
        }


class TestTheServer:
    @pytest.mark.parametrize("route", OPERATIONS, ids=" ".join)
    @pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
    def test_does_as_it_says_whatever_is_sent(
        self,
        schema: schemathesis.BaseSchema,
        whole: Admin,
        known: dict[str, Any],
        route: tuple[str, str],
        mode: GenerationMode,
    ) -> None:
        method, path = route
        operation = schema[path][method]
        cases = operation.as_strategy(generation_mode=mode)
        there = {name: value for name, value in known.items() if f"{{{name}}}" in path}
        if there:
            cases = st.one_of(operation.as_strategy(generation_mode=mode, path_parameters=there), cases)
        headers = {"authorization": f"Bearer {whole.key}"}

        def call(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(base_url=whole.installation.base_url, headers=headers, checks=CHECKS)

        EXAMPLES(given(case=cases)(call))()
        assert whole.call("GET", f"/workspaces/{known['workspace_id']}").status_code == 200
