"""What `workspace export` writes is the whole workspace: a file in which every member of every section has another
value than its default, exported and compared, shows no difference."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fixtures.admin import PROVIDER, Admin
from tests.fixtures.certificates import key_pem, made, pem
from tests.fixtures.front_door import Workspace
from vestibule.administration import identity_providers
from vestibule.administration.workspace_tables import (
    ApiKeyTable,
    QueueTable,
    ResponderTable,
    RetentionTable,
    StaffTable,
    WebhookTable,
    WorkspaceTable,
)
from vestibule.model.action import ActionDeclaration, ActionPolicy, Variables
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.identity_provider import ProviderSettings
from vestibule.model.responder import WidgetSettings
from vestibule.model.visitor_session import VisitorSessionSettings
from vestibule.model.workspace import RateLimits
from vestibule.storage import identity_providers as rows

# The names of the variables are those that an export makes up, so that one environment serves both.
FILE = """\
[workspace]
customer_id = "{customer_id}"
name = "Acme"
disabled = true
enforcement = "warn"

[rate_limits]
standard = 250
streaming = 40

[retention]
unverified_contacts = "7d"
closed_conversations = "90d"
audit = "36h"

[widget]
list_seconds = 20
poll_seconds = 5
allowed_origins = ["https://shop.example.com"]
[[widget.modes]]
id = "sales"
name = "Sales"
slug = "s"

[visitor_sessions]
allowed_addresses = ["192.0.2.0/24"]

[responder]
kind = "openai"
url = "https://models.example.com/v1"
model = "large"
api_key = {{ env = "RESPONDER_API_KEY" }}
instructions = "Be kind."
timeout = "30s"
notice = "It failed."
handoff_notice = "People come."

[auth_endpoint]
url = "https://auth.example.com/who"
header_token = {{ env = "AUTH_ENDPOINT_HEADER_TOKEN" }}
header_name = "X-Token"
header_form = "{{token}}"
fields = ["email"]
identity_method = "phone_number"
country_code = "+47"
fallback = "guest"
claim_unverified_contacts = true
client_certificate = {{ file = "client.pem" }}
client_key = {{ env = "AUTH_ENDPOINT_CLIENT_KEY" }}
ca = {{ file = "client.pem" }}
restrict_domains = true
domains = ["example.com"]
domains_url = "https://auth.example.com/domains"
native_apps = true
cache_seconds = 30

[[identity_providers]]
name = "Customers"
issuer = "https://id.example.com"
enabled = false
client_ids = ["shop"]
audiences = ["api"]
discovery = false
algorithms = ["ES256"]
accepts = ["id_token", "jwt_access_token", "opaque_access_token"]
strict_access_tokens = true
access_token_marks = ["scope"]
id_token_requires = ["at_hash"]
access_token_client_claim = "azp"
required_scopes = ["openid"]
required_acr = ["high"]
max_age = 3600
leeway = 30
oldest_iat = 3600
longest_life = 7200
mask = ["email"]
link_by_email = true
single_use = true
allow_userinfo_only = true
userinfo = "always"
endpoints = {{ jwks_uri = "https://id.example.com/keys", introspection = "https://id.example.com/i", \
userinfo = "https://id.example.com/u" }}
claims = {{ subject = "oid", name = "n", email = "e", phone = "p", avatar_url = "a", language = "l", \
custom = {{ plan = "plan" }} }}
introspection_client = {{ client_id = "us", client_secret = \
{{ env = "IDENTITY_PROVIDERS_0_INTROSPECTION_CLIENT_CLIENT_SECRET" }}, method = "client_secret_post" }}

[[identity_providers]]
name = "Shared"
issuer = "https://shared.example.com"
client_ids = ["shop"]
algorithms = ["HS256"]
shared_secret = {{ env = "IDENTITY_PROVIDERS_1_SHARED_SECRET" }}

[[queues]]
key = "sales"
name = "Sales"
identified_only = true
hours = ["mon-fri 09:00-17:00"]
time_zone = "Europe/Oslo"

[[webhooks]]
name = "crm"
url = "https://crm.example.com/events"
events = ["contact.erased"]
names = "opencx"

[[staff]]
email = "grace@{customer_id}.example.com"
name = "Grace"
role = "owner"
disabled = true

[[api_keys]]
name = "shop"
scopes = ["contacts:read"]
expires_in = "90d"
rate_limits = {{ standard = 10, streaming = 5 }}

[policy]
context_headers = true
send_assertion = true
locked = {{ message = ["a"], model = ["b"] }}

[variables]
headers = {{ authorization = {{ env = "VARIABLES_HEADERS_AUTHORIZATION" }} }}
query_params = {{ q = {{ env = "VARIABLES_QUERY_PARAMS_Q" }} }}
path_params = {{ id = {{ env = "VARIABLES_PATH_PARAMS_ID" }} }}
body_params = {{ b = {{ env = "VARIABLES_BODY_PARAMS_B" }} }}

[[actions]]
name = "look_up_order"
method = "GET"
url_template = "https://api.example.com/orders/{{id}}"
description = "Shows an order."
timeout_ms = 25000
verified_within_minutes = 30
audience = "orders"
enabled = false
locked = {{ message = ["c"], model = ["d"] }}
form = true
[[actions.parameters]]
location = "path"
name = "id"
required = true
description = "Its number."
schema = {{ type = "string" }}

[[actions]]
name = "open"
method = "POST"
url_template = "https://api.example.com/"
required_trust = "unverified"
"""
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "workspace": WorkspaceTable,
    "rate_limits": RateLimits,
    "retention": RetentionTable,
    "widget": WidgetSettings,
    "visitor_sessions": VisitorSessionSettings,
    "responder": ResponderTable,
    "auth_endpoint": AuthEndpointSettings,
    "identity_providers": ProviderSettings,
    "queues": QueueTable,
    "webhooks": WebhookTable,
    "staff": StaffTable,
    "api_keys": ApiKeyTable,
    "policy": ActionPolicy,
    "variables": Variables,
    "actions": ActionDeclaration,
}
# What signs stays where it is, and who may come in unproven is said in [workspace].
NOT_WRITTEN = {"secrets", "required_login", "warn_unverified"}


@pytest.fixture
def file(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    customer_id = workspace.installation.cli("workspace", "show", workspace.id)["customer_id"]
    certificate, key = made("client")
    (tmp_path / "client.pem").write_text(pem(certificate), encoding="utf-8")
    (tmp_path / "all.toml").write_text(FILE.format(customer_id=customer_id), encoding="utf-8")
    for name in _references(tomllib.loads(FILE.format(customer_id=customer_id))):
        monkeypatch.setenv(name, f"{name.lower()}-KqV7wzR3tYp9LmXc4NbD8sHf2GjU6eAo")
    monkeypatch.setenv("AUTH_ENDPOINT_CLIENT_KEY", key_pem(key))
    return tmp_path / "all.toml"


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["env"]] if value.keys() == {"env"} else [n for each in value.values() for n in _references(each)]
    return [name for each in value for name in _references(each)] if isinstance(value, list) else []


def _exported(workspace: Workspace, target: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of each section."""
    printed = workspace.installation.command("workspace", "export", workspace.id, "--output", str(target))
    assert printed.exit_code == 0, printed
    document = tomllib.loads(target.read_text(encoding="utf-8"))
    return {name: value if isinstance(value, list) else [value] for name, value in document.items()}


def test_an_export_has_every_member_and_changes_nothing(workspace: Workspace, file: Path) -> None:
    workspace.installation.cli("workspace", "apply", str(file))
    tables = _exported(workspace, target := file.with_name("exported.toml"))
    for each in (target, file):
        diff = workspace.installation.command("workspace", "diff", str(each), "--json")
        assert diff.json["differences"] == []
    missing = {
        name: absent
        for name, type_ in SECTIONS.items()
        if (absent := {*type_.__struct_fields__} - NOT_WRITTEN - {m for table in tables[name] for m in table})
    }
    assert not missing, "a member that the file above or the export does not know"


def test_a_default_that_is_written_out_is_no_difference(workspace: Workspace, tmp_path: Path) -> None:
    installation, own = workspace.installation, ("-w", workspace.id)
    action = '[[actions]]\nname = "look"\nmethod = "GET"\nurl_template = "https://api.example.com/"\n'
    provider = '[[identity_providers]]\nname = "a"\nissuer = "https://id.example.com"\nclient_ids = ["shop"]\n'
    (tmp_path / "short.toml").write_text(f"{action}{provider}", encoding="utf-8")
    (tmp_path / "long.toml").write_text(
        f"""{action}timeout_ms = 10000
        {provider}leeway = 60
        oldest_iat = 86400
        claims = {{ subject = "sub" }}
        endpoints = {{ jwks_uri = "" }}
        [responder]
        timeout = "60s"
        [widget]
        poll_seconds = 10.0
        """,
        encoding="utf-8",
    )
    installation.cli("workspace", "apply", str(tmp_path / "short.toml"), *own)
    (tmp_path / "action.toml").write_text(f"{action}timeout_ms = 10000\n", encoding="utf-8")
    assert installation.cli("action", "apply", str(tmp_path / "action.toml"), *own)["unchanged"] == ["look"]
    diff = installation.command("workspace", "diff", str(tmp_path / "long.toml"), *own, "--json").json
    assert diff["differences"] == []
    [table] = _exported(workspace, tmp_path / "exported.toml")["identity_providers"]
    assert table.keys() == {"name", "issuer", "client_ids", "accepts"}


def test_a_provider_takes_no_other_tokens_for_having_been_exported(workspace: Workspace, tmp_path: Path) -> None:
    """It is set up for access tokens as well, which it would take if its file did not say that it takes none."""
    admin, own = Admin(workspace.installation, workspace.id), ("-w", workspace.id)
    given = {"name": "a", "issuer": "https://id.example.com", "client_ids": ["shop"], "audiences": ["api"]}
    number = admin.do("POST", "identity-providers", given)["id"]
    _exported(workspace, target := tmp_path / "exported.toml")
    diff = workspace.installation.command("workspace", "diff", str(target), *own, "--json").json
    assert diff["differences"] == []
    workspace.installation.cli("workspace", "apply", str(target), *own)
    assert admin.get(f"identity-providers/{number}")["accepts"] == ["id_token"]


def test_a_responder_that_has_only_an_address_is_what_its_export_says(workspace: Workspace, tmp_path: Path) -> None:
    installation, own = workspace.installation, ("-w", workspace.id)
    installation.cli("responder", "set", *own, "--kind", "none", "--url", "https://bot.example.com/")
    _exported(workspace, tmp_path / "exported.toml")
    diff = installation.command("workspace", "diff", str(tmp_path / "exported.toml"), *own, "--json").json
    assert diff["differences"] == []


def test_two_providers_of_one_name_are_told_before_anything_is_changed(workspace: Workspace, tmp_path: Path) -> None:
    """As they were made when a name could be given twice."""
    installation, own = workspace.installation, ("-w", workspace.id)
    desk = installation.desk
    for client in ("one", "two"):
        settings = ProviderSettings(name="Login", issuer="https://id.example.com", client_ids=(client,))
        installation.run(rows.insert(desk.store, desk.sealer, workspace.id, settings, lambda _: None))
    told = installation.command("workspace", "export", workspace.id).stderr
    assert "Two identity providers are called Login" in told
    assert "conflict" in told
    text = '[workspace]\nname = "Changed"\n[[identity_providers]]\nname = "Login"\nissuer = "https://id.example.com"\n'
    (tmp_path / "a.toml").write_text(f'{text}client_ids = ["one"]\n', encoding="utf-8")
    for command in ("diff", "apply"):
        printed = installation.command("workspace", command, str(tmp_path / "a.toml"), *own, "--json")
        printed.refused("conflict", names="Login")
    assert installation.cli("workspace", "show", workspace.id)["name"] == "test"
    (tmp_path / "a.toml").write_text('[workspace]\nname = "Changed"\n', encoding="utf-8")
    installation.cli("workspace", "apply", str(tmp_path / "a.toml"), *own)
    found = installation.run(identity_providers.list_all(desk, workspace.id))
    renamed = msgspec.structs.replace(found[1], name="Other")
    installation.run(identity_providers.replace(desk, msgspec.structs.replace(found[1], enabled=False)))
    installation.run(identity_providers.replace(desk, renamed))
    assert len(_exported(workspace, tmp_path / "exported.toml")["identity_providers"]) == 2


def test_a_provider_s_name_in_other_letters_is_refused_before_anything_is_changed(
    workspace: Workspace, tmp_path: Path
) -> None:
    installation, own = workspace.installation, ("-w", workspace.id)
    text = '[workspace]\nname = "{}"\n[[identity_providers]]\nname = "{}"\nissuer = "https://{}.example.com"\n'
    for name, issuer in (("Acme", "id"), ("ACME", "other")):
        (tmp_path / f"{name}.toml").write_text(f'{text.format(name, name, issuer)}client_ids = ["one"]\n', "utf-8")
    installation.cli("workspace", "apply", str(tmp_path / "Acme.toml"), *own)
    for command in ("diff", "apply"):
        printed = installation.command("workspace", command, str(tmp_path / "ACME.toml"), *own, "--json")
        printed.refused("conflict", names="Acme")
    assert installation.cli("workspace", "show", workspace.id)["name"] == "Acme"
    installation.cli("workspace", "apply", str(tmp_path / "ACME.toml"), "--prune", *own)


def test_the_example_of_the_document_can_be_applied(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "workspace-file.md").read_text(encoding="utf-8")
    text = document.partition("```toml\n")[2].partition("```")[0]
    customer_id = workspace.installation.cli("workspace", "show", workspace.id)["customer_id"]
    text = text.replace('"acme"', f'"{customer_id}"').replace("grace@", f"grace.{customer_id}@")
    (tmp_path / "acme.toml").write_text(text, encoding="utf-8")
    certificate, key = made("client")
    files = {
        "client.pem": pem(certificate),
        "client.key": key_pem(key),
        "instructions.md": "Be kind.",
        "introspection.secret": "s3cret",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for name in _references(tomllib.loads(text)):
        monkeypatch.setenv(name, "whsec_Y2FuYXJ5LWNybS1zZWNyZXQtY2FuYXJ5LWNybS1zZWNyZXQ=")
    workspace.installation.cli("workspace", "apply", str(tmp_path / "acme.toml"))


def test_what_differs_in_capitals_only_or_reads_like_a_secret_is_what_it_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    admin, own = Admin(workspace.installation, workspace.id), ("-w", workspace.id)
    for name in ("Sales", "sales"):
        admin.do("PUT", f"queues/{name}", {"name": name})
        admin.do("POST", "webhooks", {"url": f"https://{name.lower()}.example.com/", "name": name})
        workspace.installation.cli("api-key", "create", *own, "--name", name)
    inner = {"type": "object", "properties": {"api_key": {"type": "string", "description": "Which one."}}}
    parameter = {"location": "body", "name": "secrets", "schema": inner}
    action = {"name": "note", "method": "POST", "url_template": "https://api.example.com/", "parameters": [parameter]}
    admin.do("PUT", "actions/note", action)
    admin.do("POST", "identity-providers", {**PROVIDER, "claims": {"custom": {"api_key": "key_name"}}})
    tables = _exported(workspace, tmp_path / "exported.toml")
    assert {table["key"] for table in tables["queues"]} == {"Sales", "sales"}
    assert tables["actions"][0]["parameters"][0]["schema"] == inner
    assert tables["identity_providers"][0]["claims"] == {"custom": {"api_key": "key_name"}}
    for command in ("diff", "apply"):
        done = workspace.installation.cli("workspace", command, str(tmp_path / "exported.toml"), *own)
        assert (done["differences"], done["kept"], done["made"]) == ([], [], {})
