"""What a contact token opens, and that anybody can check one with the published keys and a library that is not ours."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from tests.fixtures.front_door import Installation, Workspace
from vestibule.administration import contacts
from vestibule.ids import is_id

FULL: dict[str, Any] = {
    "name": "Ada",
    "phone": "+49 30 901820",
    "avatar_url": "https://example.com/ada.png",
    "language": "de",
    "customData": {"plan": "gold"},
    "chat_context": "for the responder only",
    "http_action_overrides": {"headers": {"Authorization": "Bearer secret"}},
}
SHOWN = ("name", "email", "phone", "avatar_url", "language", "custom_data")


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an RFC 9457 problem, after checking that it is one in every respect."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"type", "title", "status", "code", "detail"}
    assert (body["type"], body["status"], body["code"]) == (f"urn:vestibule:problem:{code}", status, code)
    assert body["title"]
    assert body["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    return body


def moment(text: str) -> datetime:
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


class TestMe:
    def test_shows_the_contact_and_where_every_value_came_from(self, workspace: Workspace) -> None:
        began = datetime.now(UTC) - timedelta(milliseconds=2)
        token, contact_id = workspace.sign_in("Ada@example.com", **FULL)
        answer = workspace.me(token)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        me = answer.json()
        assert {name: me[name] for name in ("id", "workspace_id", "verified", "method")} == {
            "id": contact_id,
            "workspace_id": workspace.id,
            "verified": True,
            "method": "server_to_server",
        }
        assert [me[name] for name in SHOWN] == [
            "Ada",
            "Ada@example.com",
            "+49 30 901820",
            "https://example.com/ada.png",
            "de",
            {"plan": "gold"},
        ]
        assert set(me["provenance"]) == set(SHOWN)
        for origin in me["provenance"].values():
            assert origin["source"] == "server_to_server"
            assert began <= moment(origin["at"]) <= datetime.now(UTC)
        assert began - timedelta(seconds=1) <= moment(me["authenticated_at"]) <= datetime.now(UTC)

    def test_shows_nothing_that_is_between_the_backend_and_the_responder(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in(**FULL)
        text = workspace.me(token).text
        for hidden in ("chat_context", "http_action_overrides", "responder", "secret", "version", "key", "merged"):
            assert hidden not in text

    def test_shows_what_is_not_known_as_null(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in("ada@example.com")
        me = workspace.me(token).json()
        assert {name for name in SHOWN if me[name] is None} == {"name", "phone", "avatar_url", "language"}
        assert me["custom_data"] == {}
        assert set(me["provenance"]) == {"email"}

    def test_a_value_keeps_its_moment_until_it_changes(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in("ada@example.com", name="Ada", language="de")
        first = workspace.me(token).json()["provenance"]
        time.sleep(0.002)
        workspace.sign_in("ada@example.com", name="Ada L.", language="de", phone=None)
        second = workspace.me(token).json()["provenance"]
        assert moment(second["name"]["at"]) > moment(first["name"]["at"])
        assert (second["language"], second["email"]) == (first["language"], first["email"])

    def test_a_cleared_value_tells_when_it_was_cleared(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in("ada@example.com", name="Ada")
        first = workspace.me(token).json()
        time.sleep(0.002)
        workspace.sign_in("ada@example.com", name=None)
        second = workspace.me(token).json()
        assert second["name"] is None
        assert moment(second["provenance"]["name"]["at"]) > moment(first["provenance"]["name"]["at"])

    def test_is_the_state_of_now_for_every_token_of_the_contact(self, workspace: Workspace) -> None:
        old, _ = workspace.sign_in("ada@example.com", name="Ada")
        new, _ = workspace.sign_in("ada@example.com", name="Ada L.")
        assert workspace.me(old).json()["name"] == workspace.me(new).json()["name"] == "Ada L."

    def test_is_gone_with_the_contact(self, workspace: Workspace) -> None:
        token, contact_id = workspace.sign_in("ada@example.com")
        assert workspace.me(token).status_code == 200
        installation = workspace.installation
        assert installation.run(contacts.erase(installation.desk, workspace.id, contact_id))
        problem(workspace.me(token), 401, "invalid_token")
        again, new_id = workspace.sign_in("ada@example.com")
        assert new_id != contact_id
        assert workspace.me(again).json()["id"] == new_id


class TestConversations:
    def test_are_none_yet(self, workspace: Workspace, installation: Installation) -> None:
        token, _ = workspace.sign_in("ada@example.com")
        answer = installation.http.get("/v1/conversations", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert answer.json() == {"items": [], "next": None}
        assert answer.headers["cache-control"] == "no-store"


class TestErrors:
    """RFC 9457 problems, for everything below /v1 and for what no surface answers."""

    @pytest.mark.parametrize("path", ["/v1/me", "/v1/conversations"])
    def test_401_without_a_token(self, installation: Installation, path: str) -> None:
        answer = installation.http.get(path)
        problem(answer, 401, "missing_credentials")
        assert answer.headers["www-authenticate"] == 'Bearer realm="vestibule"'

    @pytest.mark.parametrize("path", ["/v1/me", "/v1/conversations"])
    def test_401_with_a_wrong_one(self, installation: Installation, path: str) -> None:
        answer = installation.http.get(path, headers={"authorization": "Bearer a.b.c"})
        problem(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"] == 'Bearer realm="vestibule", error="invalid_token"'

    def test_400_with_two(self, installation: Installation) -> None:
        answer = installation.http.get("/v1/me", headers=[("authorization", "Bearer a"), ("authorization", "Bearer b")])
        problem(answer, 400, "ambiguous_credentials")

    @pytest.mark.parametrize("path", ["/v1/", "/v1/you", "/v1/me/", "/", "/nothing", "/.well-known/", "/V1/me"])
    def test_404(self, installation: Installation, path: str) -> None:
        problem(installation.http.get(path), 404, "no_such_path")

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    @pytest.mark.parametrize("path", ["/v1/me", "/v1/conversations", "/healthz", "/readyz", "/.well-known/jwks.json"])
    def test_405_names_what_is_allowed(self, installation: Installation, path: str, method: str) -> None:
        answer = installation.http.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert "GET" in answer.headers["allow"].split(", ")

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/.well-known/jwks.json"])
    def test_head_works_where_get_does(self, installation: Installation, path: str) -> None:
        """RFC 9110 section 9.1: GET and HEAD must be supported."""
        head, get = installation.http.head(path), installation.http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]

    def test_403_while_the_workspace_is_disabled(self, workspace: Workspace, installation: Installation) -> None:
        token, _ = workspace.sign_in("ada@example.com")
        installation.rows("UPDATE workspaces SET disabled_at = 1 WHERE id = $1", workspace.id)
        problem(workspace.me(token), 403, "workspace_disabled")


class TestTokensCheckedOffline:
    """By PyJWT, which shares no code with us, and with nothing but the published keys (RFC 7519, RFC 7517)."""

    def test_hold_and_say_what_is_documented(self, workspace: Workspace, installation: Installation) -> None:
        now = int(time.time())
        token, contact_id = workspace.sign_in("ada@example.com")
        header = jwt.get_unverified_header(token)
        keys = jwt.PyJWKSet.from_dict(installation.http.get("/.well-known/jwks.json").json())

        claims = jwt.decode(
            token,
            keys[header["kid"]],
            algorithms=["ES256"],
            issuer=installation.base_url,
            audience=f"urn:vestibule:workspace:{workspace.id}",
            options={"require": ["iss", "aud", "sub", "iat", "exp", "jti"]},
        )

        assert header == {"alg": "ES256", "kid": header["kid"], "typ": "contact+jwt"}
        assert claims.keys() == {
            "iss",
            "aud",
            "sub",
            "iat",
            "exp",
            "jti",
            "org_id",
            "contact",
            "method",
            "auth_time",
        }
        assert claims["sub"] == contact_id
        assert claims["contact"] == {"id": contact_id, "verified": True}
        assert claims["org_id"] == workspace.id
        assert claims["method"] == "server_to_server"
        assert now <= claims["auth_time"] <= claims["iat"] <= now + 5
        assert claims["exp"] - claims["iat"] == 24 * 3600
        assert is_id(claims["jti"])

    def test_are_of_one_workspace(self, workspace: Workspace, installation: Installation) -> None:
        """RFC 8725 section 3.9."""
        other = installation.workspace()
        token, _ = workspace.sign_in("ada@example.com")
        keys = jwt.PyJWKSet.from_dict(installation.http.get("/.well-known/jwks.json").json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        with pytest.raises(jwt.InvalidAudienceError):
            jwt.decode(token, key, algorithms=["ES256"], audience=f"urn:vestibule:workspace:{other.id}")

    def test_are_each_one_of_its_own(self, workspace: Workspace) -> None:
        tokens = [workspace.sign_in("ada@example.com")[0] for _ in range(10)]
        claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
        assert len({claim["jti"] for claim in claims}) == 10
        assert len({claim["sub"] for claim in claims}) == 1

    def test_the_key_set_is_public_and_only_public(self, installation: Installation) -> None:
        """RFC 7517 section 8.5.2, RFC 7518 section 6.2.1."""
        answer = installation.http.get("/.well-known/jwks.json")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"].startswith("public, max-age=")
        keys = answer.json()["keys"]
        assert keys
        for key in keys:
            assert key.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
            assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
        assert len({key["kid"] for key in keys}) == len(keys)
