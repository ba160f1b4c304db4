"""An operator tries a token: every step, the reason, the claims, the contact. That nothing is kept of it, and the
command: test_provider_command.py."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.fake_provider import CLIENT, CLIENT_SECRET, JWKS, FakeProvider, Reply, running_provider
from vestibule.administration import dry_run, identity_providers, provider_rules, workspaces
from vestibule.administration.desk import Desk, open_desk
from vestibule.administration.dry_run import Trial
from vestibule.administration.secret_strength import weakness
from vestibule.clock import now_ms
from vestibule.errors import Conflict, InvalidRequest, NotFound
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import Method, ProfileClaims, VerifiedClaims
from vestibule.model.identity_provider import (
    SHARED_SECRET,
    ClaimMapping,
    ClientCredentials,
    Endpoints,
    IdentityProvider,
    ProviderSettings,
    TokenKind,
    UserinfoUse,
)
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.client import Outbound
from vestibule.sealing import Sealer, parse_secret_key
from vestibule.settings import Settings
from vestibule.storage.opening import ensure_schema
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.tokens import sign_outs
from vestibule.verification.provider_sign_out import ProviderSignOut
from vestibule.verification.token_exchange import ProviderToken, TokenExchange

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module")
def settings(module_database_url: str) -> Settings:
    ensure_schema(module_database_url, may_migrate=True)
    return Settings(database_url=module_database_url, private_hosts=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture
async def desk(settings: Settings, secret_key: str) -> AsyncIterator[Desk]:
    async with open_desk(settings, Sealer((parse_secret_key(secret_key),))) as opened:
        yield opened


@pytest.fixture
async def workspace_id(desk: Desk) -> str:
    return (await workspaces.create(desk, f"ws {secrets.token_hex(4)}")).id


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def outbound(settings: Settings) -> AsyncIterator[Outbound]:
    opened = Outbound(settings.private_hosts)
    yield opened
    await opened.close()


def settings_for(fake: FakeProvider, **changes: Any) -> ProviderSettings:
    given: dict[str, Any] = {"name": "fake", "issuer": fake.issuer, "client_ids": (CLIENT,)}
    return ProviderSettings(**{**given, **changes})


def states(trial: Trial) -> dict[str, bool | None]:
    return {step.name: step.passed for step in trial.steps}


async def test_a_good_token_shows_steps_claims_and_contact(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    await identity_providers.add(desk, workspace_id, settings_for(fake, claims=ClaimMapping(custom={"plan": "plan"})))
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token(plan="gold", picture="javascript:x"))
    assert trial.passed
    assert set(states(trial).values()) == {True}
    assert list(states(trial))[:6] == ["provider", "form", "algorithm", "keys", "key", "signature"]
    assert (trial.subject, trial.outcome, trial.contact_id) == ("u-1", "created", None)
    assert trial.profile == {"name": "Ada", "email": "ada@example.com", "custom_data": {"plan": "gold"}}
    assert not trial.email_is_key
    assert trial.notes["avatar_url"].startswith("refused")


async def test_the_contact_it_would_lead_to_is_shown(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    await identity_providers.add(desk, workspace_id, settings_for(fake, link_by_email=True))
    profile = ProfileClaims(email="ada@example.com")
    vouched = VerifiedClaims(workspace_id, Method.SERVER_TO_SERVER, now_ms(), profile, email_key="ada@example.com")
    resolver = Resolver(desk.contacts, ProviderIdentities(desk.store, desk.contacts))
    known = await resolver.resolve(vouched)
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token())
    assert (trial.outcome, trial.contact_id, trial.email_is_key) == ("linked", known.contact.id, True)
    assert any(warning.startswith("link_by_email") for warning in trial.warnings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"aud": "another"}, ("aud", "none of the client ids")),
        ({"exp": 1_000_000_000}, ("exp", "expired")),
        ({"sub": ""}, ("sub", "sub is missing")),
        ({"scope": "openid"}, ("kind", "access token")),
        ({"iss": "https://other.example"}, ("provider", "issuer")),
    ],
)
async def test_a_bad_token_shows_what_failed_and_why(
    desk: Desk, workspace_id: str, fake: FakeProvider, changes: dict[str, Any], told: tuple[str, str]
) -> None:
    await identity_providers.add(desk, workspace_id, settings_for(fake))
    token = fake.id_token(**changes)
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=token)
    assert (trial.passed, trial.error) == (False, "invalid_token")
    wrong = [step for step in trial.steps if step.passed is False]
    assert [step.name for step in wrong] == [told[0]]
    assert told[1] in wrong[0].detail
    passed = [step.passed for step in trial.steps]
    assert passed == sorted(passed, key=[True, False, None].index)
    assert token.split(".")[2] not in repr(trial)


async def test_a_provider_that_is_down_and_an_unknown_workspace(
    desk: Desk, workspace_id: str, fake: FakeProvider
) -> None:
    await identity_providers.add(desk, workspace_id, settings_for(fake))
    fake.answers[JWKS] = lambda _: Reply(b"", status=500)
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token())
    assert (trial.error, states(trial)["keys"]) == ("upstream_failed", False)
    with pytest.raises(NotFound):
        await dry_run.try_at_desk(desk, "unknown", id_token=fake.id_token())


async def test_an_opaque_token_shows_its_own_steps(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    kinds = (TokenKind.OPAQUE_ACCESS_TOKEN,)
    client = ClientCredentials(CLIENT, CLIENT_SECRET)
    await identity_providers.add(desk, workspace_id, settings_for(fake, accepts=kinds, introspection_client=client))
    good = await dry_run.try_at_desk(desk, workspace_id, access_token=fake.opaque_token("opaque-1"))
    assert good.passed
    assert {"introspection", "active", "userinfo"} <= set(states(good))
    dead = await dry_run.try_at_desk(desk, workspace_id, access_token="dead-token")
    assert states(dead)["active"] is False


async def test_what_was_used_or_signed_out_before_would_be_refused(
    desk: Desk, workspace_id: str, fake: FakeProvider, outbound: Outbound
) -> None:
    provider = await identity_providers.add(desk, workspace_id, settings_for(fake, single_use=True))
    reader = TokenReader(outbound, ProviderKeys(outbound))
    resolver = Resolver(desk.contacts, ProviderIdentities(desk.store, desk.contacts))
    token = fake.id_token(sid="s-1")
    for _ in range(2):  # a trial spends nothing
        trial = await dry_run.try_at_desk(desk, workspace_id, id_token=token)
        assert trial.passed
        assert list(states(trial))[-4:] == ["mapping", "session", "single_use", "contact"]

    await resolver.resolve(await TokenExchange(reader).verify(ProviderToken(workspace_id, (provider,), id_token=token)))
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=token)
    assert (trial.passed, trial.error) == (False, "invalid_token")
    assert (states(trial)["session"], states(trial)["single_use"], states(trial)["contact"]) == (True, False, None)
    assert (await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token(sid="s-1", nonce="n-2"))).passed

    said = await ProviderSignOut(reader).verify(workspace_id, (provider,), fake.logout_token(sid="s-1"))
    await sign_outs.end_sessions(desk.store, desk.contacts, said)
    trial = await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token(sid="s-1", nonce="n-3"))
    assert (trial.passed, trial.error) == (False, "invalid_token")
    assert (states(trial)["session"], states(trial)["single_use"]) == (False, None)
    assert (await dry_run.try_at_desk(desk, workspace_id, id_token=fake.id_token(sid="s-2"))).passed


# ------------------------------------------------------------------------------------------------------------ settings


async def test_numbers_go_up_for_ever(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    first = await identity_providers.add(desk, workspace_id, settings_for(fake))
    await identity_providers.remove(desk, workspace_id, first.id)
    second = await identity_providers.add(desk, workspace_id, settings_for(fake))
    assert (first.id, second.id) == (1, 2)
    with pytest.raises(NotFound):
        await identity_providers.get(desk, workspace_id, first.id)


async def test_two_providers_that_take_the_same_tokens_clash(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    first = await identity_providers.add(desk, workspace_id, settings_for(fake))
    with pytest.raises(Conflict):
        await identity_providers.add(desk, workspace_id, settings_for(fake, name="again"))
    await identity_providers.add(desk, workspace_id, settings_for(fake, name="other", client_ids=("other",)))
    assert await identity_providers.replace(desk, first) == first


@pytest.mark.parametrize(
    ("changes", "clashes"),
    [
        ({"client_ids": (CLIENT, "b")}, True),
        ({"access_token_client_claim": "azp"}, True),
        ({"client_ids": ("b",)}, False),
        ({"access_token_client_claim": "", "audiences": ("a",)}, False),
        ({"issuer": "https://b.example"}, False),
        ({"accepts": (TokenKind.OPAQUE_ACCESS_TOKEN,)}, False),
    ],
    ids=str,
)
def test_access_tokens_that_are_known_by_their_client_clash_by_it(changes: dict[str, Any], *, clashes: bool) -> None:
    by_client: dict[str, Any] = {
        "name": "cognito",
        "issuer": "https://a.example",
        "client_ids": (CLIENT,),
        "accepts": (TokenKind.JWT_ACCESS_TOKEN,),
        "access_token_client_claim": "client_id",
    }
    known = IdentityProvider(workspace_id="w", id=1, position=1, **by_client)
    assert (provider_rules.clash(ProviderSettings(**{**by_client, **changes}), [known]) is not None) is clashes


@pytest.mark.parametrize(
    ("accepts", "userinfo", "warned"),
    [
        ((TokenKind.ID_TOKEN, TokenKind.JWT_ACCESS_TOKEN), UserinfoUse.OPAQUE, True),
        ((TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN), UserinfoUse.NEVER, True),
        ((TokenKind.JWT_ACCESS_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN), UserinfoUse.NEVER, True),
        ((TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN), UserinfoUse.OPAQUE, False),
        ((TokenKind.OPAQUE_ACCESS_TOKEN,), UserinfoUse.NEVER, False),
    ],
)
def test_kinds_of_token_whose_subjects_may_differ_are_warned_of(
    accepts: tuple[TokenKind, ...], userinfo: UserinfoUse, *, warned: bool
) -> None:
    client = ClientCredentials(CLIENT, CLIENT_SECRET)
    settings = ProviderSettings(
        name="p", issuer="https://p.example", accepts=accepts, userinfo=userinfo, introspection_client=client
    )
    assert any(warning.startswith("accepts: ") for warning in provider_rules.warnings(settings)) is warned


async def test_settings_come_back_as_they_were_and_sealed(desk: Desk, workspace_id: str, fake: FakeProvider) -> None:
    given = settings_for(
        fake,
        accepts=tuple(TokenKind),
        audiences=("https://api.example.com",),
        endpoints=Endpoints(jwks_uri=fake.url(JWKS)),
        introspection_client=ClientCredentials(CLIENT, CLIENT_SECRET),
        required_acr=("gold",),
        max_age=600,
        mask=("ssn",),
    )
    made = await identity_providers.add(desk, workspace_id, given)
    assert await identity_providers.get(desk, workspace_id, made.id) == made
    assert made.introspection_client.client_secret == CLIENT_SECRET


@pytest.mark.parametrize(
    ("changes", "at_fault"),
    [
        ({"issuer": "http://idp.example.com"}, "issuer"),
        ({"issuer": "https://idp.example.com/?a=b"}, "issuer"),
        ({"issuer": "https://user@idp.example.com"}, "issuer"),
        ({"issuer": "https://127.0.0.1"}, "issuer"),
        ({"endpoints": Endpoints(jwks_uri="https://169.254.169.254/")}, "endpoints.jwks_uri"),
        ({"algorithms": ("none",)}, "algorithms"),
        ({"algorithms": ("RS256", "HS256")}, "algorithms"),
        ({"algorithms": ()}, "algorithms"),
        ({"algorithms": (SHARED_SECRET,), "shared_secret": "secret"}, "shared_secret"),
        ({"shared_secret": "Jb6yYmA0u1tZ4mJ0kq1mW1z8v2Q9x7cN5rT3pL6sD8f"}, "shared_secret"),
        ({"leeway": 301}, "leeway"),
        ({"client_ids": ()}, "client_ids"),
        ({"accepts": ()}, "accepts"),
        ({"accepts": (TokenKind.JWT_ACCESS_TOKEN,)}, "audiences"),
        ({"accepts": (TokenKind.OPAQUE_ACCESS_TOKEN,)}, "introspection_client"),
        ({"discovery": False}, "endpoints.jwks_uri"),
        ({"name": ""}, "name"),
        ({"claims": ClaimMapping(subject="")}, "claims.subject"),
    ],
    ids=str,
)
def test_settings_that_would_weaken_the_proof_are_refused(changes: dict[str, Any], at_fault: str) -> None:
    good: dict[str, Any] = {"name": "idp", "issuer": "https://idp.example.com", "client_ids": (CLIENT,)}
    assert provider_rules.problems(ProviderSettings(**good)) == []
    found = provider_rules.problems(ProviderSettings(**{**good, **changes}))
    assert [problem.partition(":")[0] for problem in found] == [at_fault]


async def test_every_problem_is_told_at_once(desk: Desk, workspace_id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await identity_providers.add(desk, workspace_id, ProviderSettings(name="", issuer="", algorithms=("none",)))
    assert {"name", "issuer", "algorithms", "client_ids"} <= {
        part.partition(":")[0] for part in str(refused.value).split("; ")
    }


def test_published_secrets_are_refused_and_random_ones_are_not() -> None:
    published = json.loads((VECTORS / "secrets/weak_jwt_secrets.json").read_text(encoding="utf-8"))["strings"]
    assert [secret for secret in published if weakness(secret.strip()) is None] == []
    assert all(weakness(secrets.token_urlsafe(32)) is None for _ in range(500))
    assert all(weakness(secrets.token_hex(32)) is None for _ in range(500))
    for weak in ("a" * 40, "ab" * 20, "correct-horse-battery-staple-secret-key", "00000000000000000000000000000000"):
        assert weakness(weak) is not None
