"""Every member of a body has one type and a bound (OWASP ASVS 15.3.5): another is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, refused

TEXTS = {"name": 256, "avatar_url": 2_048, "phone": 64, "chat_context": 32_768}
MAPS = ("customData", "custom_data", "http_action_overrides")
KINDS = ("query_params", "path_params", "body_params", "headers")


class TestMaps:
    @pytest.mark.parametrize("field", ["customData", "custom_data"])
    def test_custom_data_has_a_bound(self, workspace: Workspace, field: str) -> None:
        with workspace.unharmed():
            for count in (201, 5_000):
                answer = workspace.authenticate({"email": "a@b.de", field: {f"{n:x}": 1 for n in range(count)}})
                refused(answer, 400, "invalid_field", names=field)
        assert workspace.authenticate({"email": "a@b.de", field: {f"{n:x}": 1 for n in range(200)}}).status_code == 200

    @pytest.mark.parametrize("kind", KINDS)
    def test_override_maps_have_a_bound(self, workspace: Workspace, kind: str) -> None:
        with workspace.unharmed():
            for count in (101, 5_000):
                overrides = {kind: {f"{n:x}": "" for n in range(count)}}
                answer = workspace.authenticate(email="a@b.de", http_action_overrides=overrides)
                refused(answer, 400, "invalid_field", names=kind)
        overrides = {kind: {f"{n:x}": "" for n in range(100)}}
        assert workspace.authenticate(email="a@b.de", http_action_overrides=overrides).status_code == 200

    @pytest.mark.parametrize("field", ["customData", *KINDS])
    def test_long_names_and_texts_are_refused_by_name(self, workspace: Workspace, field: str) -> None:
        def payload(members: dict[str, str]) -> dict[str, Any]:
            where = {field: members} if field == "customData" else {"http_action_overrides": {field: members}}
            return {"email": "a@b.de", **where}

        with workspace.unharmed():
            refused(workspace.authenticate(payload({"a" * 129: "x"})), 400, "invalid_field", names=field)
            refused(workspace.authenticate(payload({"a": "x" * 8_193})), 400, "invalid_field", names=field)
        assert workspace.authenticate(payload({"a" * 128: "x" * 8_192})).status_code == 200


class TestTypes:
    VALUES: tuple[Any, ...] = (0, 1, -1.5, True, False, "text", [], ["a"], {}, {"a": "b"}, [None], None)

    @pytest.mark.parametrize("field", ["email", *TEXTS, "language", *MAPS])
    def test_every_field_takes_its_own_type_only(self, workspace: Workspace, field: str) -> None:
        """Boolean true is not "true" (ASVS 15.3.5)."""
        own: tuple[type, ...] = (dict,) if field in MAPS else (str,)
        own += (type(None),) if field != "email" else ()
        with workspace.unharmed():
            for value in self.VALUES:
                if not isinstance(value, own):
                    answer = workspace.authenticate({"email": "a@b.de", field: value})
                    refused(answer, 400, "invalid_field", names=field)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_override_map_takes_texts_only(self, workspace: Workspace, kind: str) -> None:
        with workspace.unharmed():
            for value in self.VALUES:
                for wrong in ({kind: value}, {kind: {"a": value}}):
                    if wrong not in ({kind: {}}, {kind: {"a": "b"}}, {kind: {"a": "text"}}):
                        answer = workspace.authenticate(email="a@b.de", http_action_overrides=wrong)
                        refused(answer, 400, "invalid_field", names=f"http_action_overrides.{kind}")

    def test_custom_data_is_flat(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for value in (None, [], [1], {}, {"a": 1}):
                refused(workspace.authenticate(email="a@b.de", customData={"a": value}), 400, names="customData")

    @pytest.mark.parametrize("field", TEXTS)
    def test_texts_have_a_bound(self, workspace: Workspace, field: str) -> None:
        longest = TEXTS[field]
        with workspace.unharmed():
            for text in ("x" * (longest + 1), "x" * 60_000):
                if field != "avatar_url":
                    answer = workspace.authenticate({"email": "a@b.de", field: text})
                    refused(answer, 400, "invalid_field", names=field)
        longest_text = "https://e.de/".ljust(longest, "x") if field == "avatar_url" else "x" * longest
        _, contact_id = workspace.sign_in("longest@b.de", **{field: longest_text})
        assert workspace.contact(contact_id)[field] == longest_text
        if field == "avatar_url":  # no reason to turn somebody away: they are let in, and keep the picture they had
            for text in (longest_text + "x", "data:image/png;base64," + "A" * 60_000, "javascript:alert(1)"):
                workspace.sign_in("longest@b.de", avatar_url=text)
            assert workspace.contact(contact_id)[field] == longest_text
