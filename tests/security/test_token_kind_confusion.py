"""Everything that opens something here, and everything that a provider signs, is shown at every door: each opens its
own door and no other (RFC 8725 sections 3.11 and 3.12; OWASP ASVS 9.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import PATH
from tests.fixtures.puzzel import CHALLENGE, Front, new_pair
from tests.fixtures.siege import Shot, Siege, form, shot
from tests.fixtures.staff import signed_in
from tests.fixtures.widget import bot_token, unverified_token
from vestibule.surfaces.native.token import ACCESS_TOKEN, EXCHANGE, ID_TOKEN, USER_INFO_ID

STAFF_COOKIE = "vestibule_staff"
Door = Callable[[str], Shot]
REFUSED = (400, 401, 403, 404)
CODES = (
    "invalid_request",
    "invalid_field",
    "invalid_token",
    "invalid_api_key",
    "invalid_admin_key",
    "invalid_widget_token",
    "invalid_grant",
    "invalid_client",
    "missing_credentials",
    "opaque_token_not_supported",
    "not_found",
    "auth_rejected",
)


@dataclass(frozen=True)
class Hall:
    """One of each credential, and each door with the kinds that open it."""

    keys: dict[str, str]
    doors: dict[str, tuple[Door, set[str]]]


@pytest.fixture
def customer(front: Front) -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint() as running:
        configure(front.workspace, running)
        yield running


@pytest.fixture
def hall(front: Front, fake: FakeProvider, customer: FakeAuthEndpoint) -> Hall:  # noqa: ARG001
    workspace, customer_id = front.workspace, front.customer_id
    admin, session = Admin(workspace.installation, workspace.id), front.session()
    keys = {
        "API key": workspace.api_key,
        "admin key": admin.key,
        "widget token": bot_token(workspace),
        "contact token": workspace.sign_in()[0],
        "visitor's token": unverified_token(workspace),
        "session's token": str(session["access_token"]),
        "refresh token": str(session["refresh_token"]),
        "userInfoId": front.proof(fake.id_token())[0],
        "ID token": fake.id_token(sub="u-9"),
        "access token": fake.access_token(sub="u-9"),
        "logout token": fake.logout_token(),
        "staff session": str(signed_in(workspace).http.cookies.jar.__iter__().__next__().value),
        "customer id": customer_id,
    }
    ours = {"contact token", "visitor's token", "session's token"}

    def exchange(kind: str) -> Door:
        return lambda key: form(
            "/v1/token",
            {"client_id": customer_id, "grant_type": EXCHANGE, "subject_token": key, "subject_token_type": kind},
        )

    def puzzel(name: str) -> Door:
        body = {"codeChallenge": CHALLENGE}
        return lambda key: shot("POST", f"/api/authenticate/{customer_id}", {**body, name: key})

    def bearer(method: str, path: str, body: object = None) -> Door:
        return lambda key: shot(method, path, body, bearer=key)

    return Hall(
        keys,
        {
            "authenticate-user": (bearer("POST", PATH, {"email": "mallory@example.com"}), {"API key"}),
            "who am I": (bearer("GET", "/v1/me"), ours),
            "conversations": (bearer("GET", "/v1/conversations?scope=device-1"), ours),
            "admin": (bearer("GET", f"/v1/admin/workspaces/{workspace.id}"), {"admin key"}),
            "an ID token, Puzzel's way": (puzzel("idToken"), {"ID token"}),
            "an access token, Puzzel's way": (puzzel("accessToken"), {"access token"}),
            "an ID token": (exchange(ID_TOKEN), {"ID token"}),
            "an access token": (exchange(ACCESS_TOKEN), {"access token"}),
            "a userInfoId": (
                lambda key: form(
                    "/v1/token",
                    {
                        "client_id": customer_id,
                        "grant_type": USER_INFO_ID,
                        "user_info_id": key,
                        "code_verifier": new_pair()[0],
                    },
                ),
                set(),  # not without its verifier
            ),
            "a refresh": (
                lambda key: form(
                    "/connect/token",
                    {"client_id": "oneplatform_engage", "grant_type": "refresh_token", "refresh_token": key},
                ),
                {"refresh token"},
            ),
            "a logout token": (
                lambda key: form(f"/v1/backchannel-logout/{customer_id}", {"logout_token": key}),
                {"logout token"},
            ),
            "a widget token": (
                lambda key: shot(
                    "POST", "/backend/widget/v2/contact/create-unverified", {}, headers={"x-bot-token": key}
                ),
                {"widget token"},
            ),
            "a user token": (
                lambda key: shot("POST", "/v1/visitors/authenticate", {"customer_id": customer_id, "user_token": key}),
                set(),
            ),
        },
    )


def test_each_opens_its_own_door_and_no_other(
    hall: Hall, siege: Siege, fake: FakeProvider, customer: FakeAuthEndpoint
) -> None:
    with siege.laid(provider=fake, most_asked=100):
        for door, opened_by in hall.doors.values():
            for name, key in hall.keys.items():
                if name not in opened_by:
                    given = door(key)
                    told = () if name in {"widget token", "customer id"} else (key,)
                    siege.refuses(Shot(given.method, given.path, given.content, given.headers, told), REFUSED, CODES)
    # What was shown at the wrong door has not been passed on to others behind it.
    secrets = [hall.keys[name] for name in ("API key", "admin key", "refresh token", "userInfoId", "staff session")]
    asked = " ".join(f"{each.headers} {each.body!r}" for each in fake.requests)
    asked += " ".join(f"{each.query} {each.body!r}" for each in customer.received)
    assert not [secret for secret in secrets if secret in asked]


def test_each_does_open_its_own(hall: Hall, siege: Siege) -> None:
    """Or the above would hold for a house without doors."""
    http = siege.installation.http
    for name, (door, opened_by) in hall.doors.items():
        for key in opened_by - {"logout token", "session's token"}:
            answer = door(hall.keys[key]).send(http, "")
            assert answer.status_code in {200, 201, 204}, f"{name} with {key}: {answer.text}"


def test_a_staff_session_is_a_cookie_and_nothing_else_is(hall: Hall, siege: Siege) -> None:
    """The dashboard answers with its sign-in: 303, and a page."""
    for name, key in hall.keys.items():
        answer = siege.installation.http.get(
            "/dashboard/contacts", headers={"cookie": f"{STAFF_COOKIE}={key}", "connection": "close"}
        )
        assert answer.status_code == (200 if name == "staff session" else 303), f"{name}: {answer.status_code}"
        assert key not in answer.text
