"""The fixtures every test may ask for: an engine, a fresh database on it, a running server; no test data."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any of them is imported: folders name theirs as plugins, and another folder's tests may have come first.
pytest.register_assert_rewrite("tests.fixtures")

from tests.fixtures.postgres import PostgresServer  # noqa: E402
from tests.fixtures.server import WorkspaceServer  # noqa: E402

# Short enough for tests to wait for, and no limit that a test reaches which is not about it.
TEST_SETTINGS = {
    "VESTIBULE_BODY_TIMEOUT": "2s",
    "VESTIBULE_DATABASE_TIMEOUT": "2s",
    "VESTIBULE_HEADER_TIMEOUT": "2s",
    "VESTIBULE_LOG_LEVEL": "debug",
    # A server of a module purged once in a while what a test was about to purge.
    "VESTIBULE_PURGE_INTERVAL": "1d",
    "VESTIBULE_RATE_LIMIT_ADDRESS_MESSAGES": "100000",
    "VESTIBULE_RATE_LIMIT_ADDRESS_REQUESTS": "1000000",
    "VESTIBULE_RATE_LIMIT_ADMIN": "100000",
    "VESTIBULE_RATE_LIMIT_BAD_KEYS": "100000",
    "VESTIBULE_RATE_LIMIT_MESSAGES": "100000",
    "VESTIBULE_RATE_LIMIT_EXCHANGE_ADDRESS": "100000",
    "VESTIBULE_RATE_LIMIT_EXCHANGE_CONTACT": "100000",
    "VESTIBULE_RATE_LIMIT_EXCHANGE_WORKSPACE": "100000",
    "VESTIBULE_RATE_LIMIT_NEW_VISITORS": "100000",
    "VESTIBULE_RATE_LIMIT_REQUESTS": "100000",
    "VESTIBULE_RATE_LIMIT_SIGN_OUTS": "100000",
    "VESTIBULE_RATE_LIMIT_STANDARD": "100000",
    "VESTIBULE_RATE_LIMIT_STREAMING": "100000",
    "VESTIBULE_SHUTDOWN_TIMEOUT": "2s",
    "VESTIBULE_SIGNING_KEY_LEAD": "0s",
}


# `make test-quick` has a minute: of the tests that run on both engines it takes SQLite's, but for those which are about
# the engines, and it leaves these files to `make test`.
_ABOUT_THE_ENGINES = frozenset({"test_store.py"})
_LONG_FILES = frozenset(
    {
        "test_action_forms.py",
        "test_actions_end_to_end.py",
        "test_actions_of_models.py",
        "test_admin_api.py",
        "test_admin_openapi.py",
        "test_admin_operating.py",
        "test_admin_resources.py",
        "test_algorithm_confusion.py",
        "test_allowed_origins.py",
        "test_answers_under_way.py",
        "test_audience_reuse.py",
        "test_audit.py",
        "test_audit_log.py",
        "test_auth_endpoint.py",
        "test_auth_endpoint_calls.py",
        "test_auth_endpoint_cli.py",
        "test_auth_endpoint_contacts.py",
        "test_backchannel_logout.py",
        "test_bench.py",
        "test_cli.py",
        "test_cli_conversations.py",
        "test_cli_options.py",
        "test_cli_records.py",
        "test_contact_devices.py",
        "test_conversation_size.py",
        "test_credential_confusion.py",
        "test_cross_device.py",
        "test_cross_workspace.py",
        "test_csv_formulas.py",
        "test_cxgenie_sockets.py",
        "test_cxgenie_surface.py",
        "test_dashboard_coverage.py",
        "test_dashboard_debugger.py",
        "test_dashboard_first_run.py",
        "test_dashboard_oidc.py",
        "test_dashboard_own_staff.py",
        "test_dashboard_pages.py",
        "test_dashboard_records.py",
        "test_dashboard_replies.py",
        "test_dashboard_set_up.py",
        "test_dashboard_staff.py",
        "test_earlier_databases.py",
        "test_email_lookalikes.py",
        "test_email_takeover.py",
        "test_enforcement.py",
        "test_erased_people.py",
        "test_erasure_races.py",
        "test_example_auth_endpoint.py",
        "test_exchange_providers.py",
        "test_expiry.py",
        "test_forged_contact_tokens.py",
        "test_header_injection.py",
        "test_hostile_auth_endpoint.py",
        "test_hostile_fields.py",
        "test_hostile_json.py",
        "test_hostile_sockets.py",
        "test_hostile_transport.py",
        "test_interrupted_migrations.py",
        "test_issuer_mix_up.py",
        "test_key_set_flooding.py",
        "test_live_wire.py",
        "test_log_injection.py",
        "test_mass_assignment.py",
        "test_merge_races.py",
        "test_native_conversations.py",
        "test_native_events.py",
        "test_native_identity.py",
        "test_native_me.py",
        "test_native_messages.py",
        "test_native_openapi.py",
        "test_native_token.py",
        "test_native_visitors.py",
        "test_object_store.py",
        "test_odd_addresses.py",
        "test_oracles.py",
        "test_outbound.py",
        "test_outbound_addresses.py",
        "test_outbound_answers.py",
        "test_outbound_tls.py",
        "test_phone_takeover.py",
        "test_pkce_downgrade.py",
        "test_prompt_overrides.py",
        "test_proof_leak.py",
        "test_provider_changes.py",
        "test_provider_command.py",
        "test_provider_dry_run.py",
        "test_purging.py",
        "test_puzzel_authenticate.py",
        "test_puzzel_connect.py",
        "test_puzzel_endings.py",
        "test_puzzel_errors.py",
        "test_puzzel_identity.py",
        "test_puzzel_pkce.py",
        "test_puzzel_queues.py",
        "test_puzzel_seed.py",
        "test_rate_limits.py",
        "test_rejoining.py",
        "test_request_limits.py",
        "test_required_login.py",
        "test_responder.py",
        "test_responder_order.py",
        "test_retention.py",
        "test_schemathesis.py",
        "test_secret_leak.py",
        "test_secrets_everywhere.py",
        "test_signing_keys.py",
        "test_sql_in_text.py",
        "test_ssrf.py",
        "test_ssrf_names.py",
        "test_stateful_exchange.py",
        "test_stored_html.py",
        "test_three_nodes.py",
        "test_token_exchange_method.py",
        "test_token_kind_confusion.py",
        "test_two_verifiers.py",
        "test_unread_answers.py",
        "test_unverified_contacts.py",
        "test_unverified_reads_verified.py",
        "test_user_info_id_replay.py",
        "test_valkey.py",
        "test_visitor_limits.py",
        "test_webhooks.py",
        "test_widget_file_kinds.py",
        "test_widget_file_links.py",
        "test_widget_files.py",
        "test_widget_messages.py",
        "test_widget_modes.py",
        "test_widget_refusals.py",
        "test_widget_visibility.py",
        "test_workspace_file.py",
        "test_workspace_file_whole.py",
        "test_workspace_round_trip.py",
    }
)
# A worker takes a whole file. What takes minutes comes first: whoever began it last would keep the others waiting.
_FIRST_FOLDERS = frozenset({"e2e", "faults", "integration", "nodes", "soak"})
_FIRST_FILES = frozenset(
    {
        "test_backup.py",
        "test_database_away.py",
        "test_metrics.py",
        "test_puzzel_real_provider.py",
        "test_real_providers.py",
        "test_responder_crash.py",
        "test_schemathesis.py",
        "test_secret_keys.py",
        "test_signing_keys.py",
    }
)


def _turn(path: Path) -> int:
    if path.parent.name == "soak":
        return -1  # the longest of all, in CI
    if path.parent.name in _FIRST_FOLDERS or path.name in _FIRST_FILES:
        return 0
    return 1 if path.name in _LONG_FILES else 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.path))
    for item in items:
        parameters = getattr(item, "callspec", None)
        on_postgresql = parameters is not None and "postgresql" in parameters.params.values()
        long = item.path.name in _LONG_FILES
        if long or (on_postgresql and item.path.name not in _ABOUT_THE_ENGINES):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for each test worker: nothing to agree on between them, and it starts in a second."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """The name of the database engine; a test that asks for it, or for what needs it, runs on each."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database for one test."""
    yield from _fresh_database(engine, tmp_path, request)


@pytest.fixture(scope="module")
def module_database_url(
    engine: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """An empty database that the tests of a module share."""
    yield from _fresh_database(engine, tmp_path_factory.mktemp("database"), request)


@pytest.fixture(scope="session")
def secret_key() -> str:
    """A key to seal with; given to servers and the CLI alike, so that each opens what the other sealed."""
    return secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def server(
    module_database_url: str, secret_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkspaceServer]:
    """A real server with a workspace and an API key, on each engine in turn, shared by the tests of a module."""
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_DATABASE_URL": module_database_url,
        "VESTIBULE_SECRET_KEYS": secret_key,
    }
    with WorkspaceServer(settings, tmp_path_factory.mktemp("server")) as running:
        running.make_workspace("tests")
        yield running


def _fresh_database(engine: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{directory}/vestibule.db"
        return
    # Asked for here and not in the signature: a run on SQLite alone needs no PostgreSQL on the machine.
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.new_database()
    yield url
    server.drop_database(url)
