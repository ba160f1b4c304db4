"""The requests of Puzzel's document, octet for octet, and what its clients read of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import CHALLENGE, VERIFIER, Front
from tests.fixtures.raw_http import RawConnection, RawResponse
from tests.fixtures.widget import new_uuid
from vestibule.administration import workspaces
from vestibule.errors import AlreadyExists

EXCHANGE = """POST /api/authenticate/customer123{query} HTTP/1.1
Host: your-idp-host.com
Content-Type: application/json
Content-Length: {length}

{body}"""
BODY = """{{
"codeChallenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
"{name}": "{token}"
}}"""


@pytest.fixture
def customer123(responding: Installation, fake: FakeProvider) -> Front:
    """The document's customer, of whom an installation has one: this test's provider is put behind those of others."""
    try:
        workspace_id = responding.run(workspaces.create(responding.desk, "Seed", customer_id="customer123")).id
    except AlreadyExists:
        [(workspace_id,)] = responding.rows("SELECT id FROM workspaces WHERE customer_id = $1", "customer123")
    front = Front(Workspace(responding, workspace_id))
    front.queue("chat_support")
    front.add_provider(fake)
    return front


def exchange(front: Front, name: str, token: str, query: str = "") -> RawResponse:
    body = BODY.format(name=name, token=token)
    text = EXCHANGE.format(query=query, length=len(body), body="")
    return send(front, text.replace("\n", "\r\n").encode() + body.encode())


def send(front: Front, octets: bytes) -> RawResponse:
    with RawConnection(front.workspace.installation.base_url) as connection:
        connection.send(octets)
        return connection.read_response()


def json_of(response: RawResponse) -> dict[str, Any]:
    assert response.status == 200, response.body
    assert response.header("content-type") == "application/json"
    value: dict[str, Any] = json.loads(response.body)
    return value


def test_the_examples(customer123: Front, fake: FakeProvider) -> None:
    assert CHALLENGE in BODY
    provider = customer123.workspace.installation.cli("provider", "list", "-w", customer123.workspace.id)["items"][-1]
    first = json_of(exchange(customer123, "accessToken", fake.access_token()))
    second = json_of(exchange(customer123, "idToken", fake.id_token(), f"?providerId={provider['id']}"))
    for answer in (first, second):
        assert answer.keys() == {"userInfoId"}
        assert answer["userInfoId"].startswith("usr_")

    conversation_id = new_uuid()
    query = f"userInfoId={first['userInfoId']}&codeVerifier={VERIFIER}"
    start = f"POST /api/conversation/{conversation_id}/route/chat_support?{query} HTTP/1.1\r\nHost: h\r\n\r\n"
    routed = json_of(send(customer123, start.encode()))
    assert (routed["conversationId"], routed["identified"]) == (conversation_id, True)

    running, bearer = new_uuid(), customer123.visitor()
    listed = (
        f"PUT /api/conversation/{running}/route/chat_support HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {bearer}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
    )
    assert json_of(send(customer123, listed.encode()))["identified"] is False
    body = json.dumps({"userInfoId": second["userInfoId"], "codeVerifier": VERIFIER})
    identify = (
        f"POST /api/visitor/setIdentity/{running} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    identified = json_of(send(customer123, identify.encode()))
    assert identified["contactId"] == routed["contactId"], "one person at one provider"
