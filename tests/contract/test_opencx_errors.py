"""Faults of `POST /widget/authenticate-user`, answered in the seed's shape; and the next good request is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace, refused
from vestibule.model.workspace import Scope


class TestErrors:
    """`{statusCode, message, error}` (the seed's ErrorDto), whatever is wrong."""

    @pytest.mark.parametrize(
        ("payload", "named"),
        [
            ({}, "email"),
            ({"email": None}, "email"),
            ({"email": 1}, "email"),
            ({"email": ["a@b.de"]}, "email"),
            ({"email": ""}, "email"),
            ({"email": "john"}, "email"),
            ({"email": "a@b.de", "name": 1}, "name"),
            ({"email": "a@b.de", "avatar_url": {}}, "avatar_url"),
            ({"email": "a@b.de", "phone": 491234}, "phone"),
            ({"email": "a@b.de", "language": "xx"}, "language"),
            ({"email": "a@b.de", "customData": []}, "customData"),
            ({"email": "a@b.de", "customData": {"a": None}}, "customData"),
            ({"email": "a@b.de", "customData": {"a": {"b": 1}}}, "customData"),
            ({"email": "a@b.de", "custom_data": "x"}, "custom_data"),
            ({"email": "a@b.de", "chat_context": 1}, "chat_context"),
            ({"email": "a@b.de", "http_action_overrides": []}, "http_action_overrides"),
            ({"email": "a@b.de", "http_action_overrides": {"headers": {"a": 1}}}, "http_action_overrides.headers"),
            ({"email": "a@b.de", "http_action_overrides": {"headers": {"Host": "x"}}}, "headers.Host"),
        ],
    )
    def test_400_names_the_field(self, workspace: Workspace, payload: dict[str, Any], named: str) -> None:
        with workspace.unharmed():
            refused(workspace.authenticate(payload), 400, "invalid_field", names=named)

    @pytest.mark.parametrize("body", [b"", b" ", b"{", b"null", b"[]", b'"a@b.de"', b"email=a@b.de", b"1"])
    def test_400_for_a_body_that_is_no_object(self, workspace: Workspace, body: bytes) -> None:
        with workspace.unharmed():
            refused(workspace.post(body), 400, "malformed_body")

    def test_401_without_a_key_challenges_without_an_error_code(
        self, workspace: Workspace, installation: Installation
    ) -> None:
        """RFC 6750 section 3.1: a request without credentials is told no error code."""
        answer = installation.http.post(PATH, json={"email": "a@b.de"})
        refused(answer, 401, "missing_credentials")
        assert answer.headers["www-authenticate"] == 'Bearer realm="vestibule"'
        assert workspace.contacts() == []

    def test_401_for_a_wrong_key_says_so_in_the_challenge(self, workspace: Workspace) -> None:
        answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": "Bearer wrong"})
        refused(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == 'Bearer realm="vestibule", error="invalid_token"'

    def test_403_for_a_key_without_the_scope_names_the_scope(self, workspace: Workspace) -> None:
        """RFC 6750 section 3.1: insufficient_scope, with the scope that is needed."""
        _, key = workspace.new_key([Scope.CONTACTS_READ])
        with workspace.unharmed():
            answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"})
            refused(answer, 403, "insufficient_scope", names="widget:authenticate")
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]

    @pytest.mark.parametrize("path", ["/widget/", f"{PATH}/", f"{PATH}/x", "/widget/Authenticate-user", "/widget/x"])
    def test_404_below_the_surface_speaks_its_dialect(self, installation: Installation, path: str) -> None:
        refused(installation.http.post(path, json={}), 404, "no_such_path")

    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
    def test_405_tells_the_method_that_is_allowed(self, installation: Installation, method: str) -> None:
        """RFC 9110 section 15.5.6."""
        answer = installation.http.request(method, PATH)
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"

    def test_405_for_head_has_no_body(self, installation: Installation) -> None:
        answer = installation.http.head(PATH)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")

    def test_413_for_a_body_over_the_limit(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            body = json.dumps({"email": "a@b.de", "chat_context": "x" * 65_536}).encode()
            refused(workspace.post(body), 413, "body_too_large")

    def test_a_body_at_the_limit_is_read(self, workspace: Workspace) -> None:
        body = json.dumps({"email": "a@b.de", "ignored": ""}).encode()
        assert workspace.post(body + b" " * (65_536 - len(body))).status_code == 200
        refused(workspace.post(body + b" " * (65_537 - len(body))), 413)

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/jsonp",
            "application/json, text/plain",
            "application/problem+json",
            "json",
            "",
        ],
    )
    def test_415_for_anything_that_is_not_json(self, workspace: Workspace, content_type: str) -> None:
        with workspace.unharmed():
            refused(workspace.post(b'{"email":"a@b.de"}', {"content-type": content_type}), 415)

    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
    )
    def test_json_in_the_spellings_of_clients_is_taken(self, workspace: Workspace, content_type: str) -> None:
        assert workspace.post(b'{"email":"a@b.de"}', {"content-type": content_type}).status_code == 200

    def test_429_tells_when_to_come_back(self, workspace: Workspace) -> None:
        """RFC 6585 section 4, and the RateLimit headers of draft-ietf-httpapi-ratelimit-headers."""
        _, key = workspace.new_key(standard=2)
        authorization = {"authorization": f"Bearer {key}"}
        answers = [workspace.post(b'{"email":"a@b.de"}', authorization) for _ in range(4)]

        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:2]] == ["1", "0"]
        refused(answers[2], 429, "rate_limited")
        refused(answers[3], 429, "rate_limited")
        assert 1 <= int(answers[3].headers["retry-after"]) <= 120
        assert answers[3].headers["ratelimit-limit"] == "2"
        assert answers[3].headers["ratelimit-remaining"] == "0"
        assert answers[3].headers["ratelimit-reset"] == answers[3].headers["retry-after"]
        assert workspace.authenticate(email="a@b.de").status_code == 200, "another key of the workspace"

    def test_a_disabled_workspace_is_refused_and_comes_back(self, workspace: Workspace) -> None:
        disable(workspace, at="1")
        _, key = workspace.new_key()
        answer = workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"})
        refused(answer, 403, "workspace_disabled")
        assert workspace.contacts() == []
        disable(workspace, at="NULL")
        _, key = workspace.new_key()
        assert workspace.post(b'{"email":"a@b.de"}', {"authorization": f"Bearer {key}"}).status_code == 200


def disable(workspace: Workspace, *, at: str) -> None:
    # The command line's own way takes up to 5 s to be seen (test_cli.py); a key that nobody has used is read at once.
    workspace.installation.rows(f"UPDATE workspaces SET disabled_at = {at} WHERE id = $1", workspace.id)  # noqa: S608
