"""SQL in any text is text: stored as it came or refused, and never run (OWASP ASVS 1.2.4)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.fixtures.front_door import PATH, Installation, Workspace, refused

SQL = (
    "'; DROP TABLE contacts; --",
    "' OR '1'='1",
    '" OR ""="',
    "x'); DELETE FROM contacts; --",
    "1; UPDATE contacts SET verified = TRUE",
    "\\'; DROP TABLE workspaces; --",
    "$1",
    "$$; DROP TABLE contacts; $$",
    "?1 ?2 :name %s %(name)s {0} ${x}",
    "' UNION SELECT sealed_private_jwk FROM signing_keys --",
    "'||(SELECT pg_sleep(5))||'",
    "/* */ ; -- \n DROP TABLE contacts",
    "\u02bc; DROP TABLE contacts; --",  # a letter that some encodings turn into an apostrophe
    "\uff07; DROP TABLE contacts; --",
    "%' ESCAPE '\\",
    "a\u2028'; SELECT 1",
)
TABLES = ("installation", "workspaces", "api_keys", "signing_keys", "contacts", "rate_totals")
FIELDS = ("name", "phone", "chat_context")


@pytest.fixture(autouse=True)
def _tables_stand(workspace: Workspace) -> Any:
    """Around every test here: every table is there, and nobody's contact was touched."""
    installation = workspace.installation
    bystander = installation.workspace()
    bystander.sign_in("bystander@example.com", name="Bystander")
    before = bystander.contacts()
    yield
    for table in TABLES:
        assert int(installation.rows(f"SELECT COUNT(*) FROM {table}")[0][0]) >= 0  # noqa: S608  # names from above
    assert bystander.contacts() == before


@pytest.mark.parametrize("field", FIELDS)
def test_in_a_text_is_stored_as_text(workspace: Workspace, field: str) -> None:
    for sql in SQL:
        _, contact_id = workspace.sign_in("a@b.de", **{field: sql})
        assert workspace.contact(contact_id)[field] == sql
    assert len(workspace.contacts()) == 1


def test_in_custom_data_is_stored_as_text(workspace: Workspace) -> None:
    for sql in SQL:
        token, _ = workspace.sign_in("a@b.de", customData={sql: sql})
        assert workspace.me(token).json()["custom_data"] == {sql: sql}


def test_in_overrides_is_stored_as_text(workspace: Workspace) -> None:
    for kind in ("query_params", "path_params", "body_params"):
        for sql in SQL:
            _, contact_id = workspace.sign_in("a@b.de", http_action_overrides={kind: {sql: sql}})
            assert workspace.overrides(contact_id) == {kind: {sql: sql}}


def test_in_an_avatar_url_is_part_of_the_url_or_left_out(workspace: Workspace) -> None:
    for sql in SQL:
        _, contact_id = workspace.sign_in("a@b.de", avatar_url=f"https://example.com/?{sql}")
        assert workspace.contact(contact_id)["avatar_url"] == (
            f"https://example.com/?{sql}" if sql.isprintable() else None
        )
        _, contact_id = workspace.sign_in("a@b.de", avatar_url=sql)
        workspace.sign_in("a@b.de", avatar_url=None)
        _, contact_id = workspace.sign_in("a@b.de", avatar_url=sql)
        assert workspace.contact(contact_id)["avatar_url"] is None


def test_in_an_email_is_refused_unless_it_is_an_address(workspace: Workspace) -> None:
    with workspace.unharmed():
        for sql in SQL:
            for address in (sql, f"{sql}@example.com", f"a@{sql}", f"a@example.com{sql}"):
                refused(workspace.authenticate(email=address), 400, "invalid_field", names="email")
    _, contact_id = workspace.sign_in("o'or'1'='1@example.com".replace("=", "-"))
    assert workspace.contact(contact_id)["email_key"] == "o'or'1'-'1@example.com"


def test_in_the_language_and_in_header_names_is_refused(workspace: Workspace) -> None:
    with workspace.unharmed():
        for sql in SQL:
            refused(workspace.authenticate(email="a@b.de", language=sql), 400, names="language")
            if sql != "$1":
                overrides = {"headers": {sql: "x"}}
                refused(workspace.authenticate(email="a@b.de", http_action_overrides=overrides), 400, names="headers")


def test_in_a_credential_a_path_or_a_query_is_refused(workspace: Workspace, installation: Installation) -> None:
    with workspace.unharmed():
        for sql in SQL:
            raw = sql.encode()
            for line in (
                b"Bearer " + raw,
                b"Bearer vst_key_" + raw,
                workspace.authorization.removeprefix(b"Authorization: ") + raw,
            ):
                if b"\n" not in raw:
                    answer = installation.http.post(PATH, headers=[(b"authorization", line)], json={"email": "a@b.de"})
                    refused(answer, 401)
            refused(installation.http.post("/widget/" + quote(sql), json={}), 404)
            assert installation.http.get("/v1/me", params={"id": sql}).status_code == 401


def test_in_names_of_workspaces_and_keys_is_text_or_refused(workspace: Workspace, installation: Installation) -> None:
    made = installation.cli("workspace", "create", SQL[0])
    assert made["name"] == SQL[0]
    shown = installation.cli("workspace", "show", made["workspace_id"])
    assert shown["name"] == SQL[0]
    key = installation.cli("api-key", "create", "-w", workspace.id, "--name", SQL[1])
    assert key["name"] == SQL[1]
