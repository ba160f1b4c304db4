"""Operators change, switch off and move identity providers, on both engines: what was not named stays, and of two who
change at once neither undoes the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fixtures.admin import Admin, refused
from tests.fixtures.front_door import Installation, Workspace
from vestibule.administration import identity_providers
from vestibule.administration.desk import Desk
from vestibule.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from vestibule.model.identity_provider import ClientCredentials, IdentityProvider, ProviderSettings, TokenKind
from vestibule.tenancy import Tenancy

ISSUER = "https://idp.example.com"


def settings(name: str, **changes: Any) -> ProviderSettings:
    return ProviderSettings(**{"name": name, "issuer": ISSUER, "client_ids": (name,), **changes})


async def add_three(desk: Desk, workspace_id: str) -> list[int]:
    return [(await identity_providers.add(desk, workspace_id, settings(name))).id for name in ("a", "b", "c")]


async def order(desk: Desk, workspace_id: str) -> list[int]:
    return [provider.id for provider in await identity_providers.list_all(desk, workspace_id)]


# ------------------------------------------------------------------------------------------------------- administration


def test_moving_keeps_the_others_in_order_and_numbers_as_they_are(
    installation: Installation, workspace: Workspace
) -> None:
    desk = installation.desk

    async def check() -> None:
        a, b, c = await add_three(desk, workspace.id)
        moved = await identity_providers.move(desk, workspace.id, c, 1)
        assert [one.id for one in moved] == await order(desk, workspace.id) == [c, a, b]
        await identity_providers.move(desk, workspace.id, c, 2)
        assert await order(desk, workspace.id) == [a, c, b]
        await identity_providers.move(desk, workspace.id, a, 99)
        assert await order(desk, workspace.id) == [c, b, a]
        added = await identity_providers.add(desk, workspace.id, settings("d"))
        assert await order(desk, workspace.id) == [c, b, a, added.id]
        with pytest.raises(NotFound):
            await identity_providers.move(desk, workspace.id, 99, 1)

    installation.run(check())


def test_of_changes_at_once_none_undoes_another(installation: Installation, workspace: Workspace) -> None:
    desk = installation.desk

    async def check() -> None:
        [number, other, _] = await add_three(desk, workspace.id)

        def scope(name: str) -> identity_providers.Change:
            return lambda known: msgspec.structs.replace(known, required_scopes=(*known.required_scopes, name))

        names = [f"scope-{index}" for index in range(20)]
        await asyncio.gather(
            *(identity_providers.update(desk, workspace.id, number, scope(name)) for name in names),
            identity_providers.switch(desk, workspace.id, number, enabled=False),
            identity_providers.move(desk, workspace.id, other, 3),
        )
        made = await identity_providers.get(desk, workspace.id, number)
        assert sorted(made.required_scopes) == sorted(names)
        assert not made.enabled

    installation.run(check())


def test_of_two_that_take_the_same_tokens_one_is_added(installation: Installation, workspace: Workspace) -> None:
    """Also where both are asked for at once: which one counts must not depend on chance (contract Q8.3)."""
    desk = installation.desk

    async def check() -> None:
        found = await asyncio.gather(
            *(identity_providers.add(desk, workspace.id, settings("same")) for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(one, IdentityProvider) for one in found) == 1
        assert sum(isinstance(one, Conflict) for one in found) == 4

    installation.run(check())


def test_no_two_have_the_same_name(installation: Installation, workspace: Workspace) -> None:
    """A workspace's file knows them by it."""
    desk = installation.desk

    async def check() -> None:
        [a, b, _] = await add_three(desk, workspace.id)
        for taken in ("a", "A"):
            with pytest.raises(AlreadyExists):
                await identity_providers.add(desk, workspace.id, settings(taken, client_ids=("d",)))
            known = await identity_providers.get(desk, workspace.id, b)
            with pytest.raises(AlreadyExists):
                await identity_providers.replace(desk, msgspec.structs.replace(known, name=taken))
        known = await identity_providers.get(desk, workspace.id, a)
        assert (await identity_providers.replace(desk, msgspec.structs.replace(known, leeway=1))).leeway == 1
        assert (await identity_providers.replace(desk, msgspec.structs.replace(known, name="A"))).name == "A"

    installation.run(check())


def test_all_of_one_issuer_read_its_subjects_from_the_same_claim(
    installation: Installation, workspace: Workspace, tmp_path: Path
) -> None:
    """Issuer and subject are what finds a contact. Where one provider reads the number of an account and another a name
    that people choose, who calls themselves 17 would be number 17."""
    command, where = installation.command, ("-w", workspace.id, "--json")
    path = tmp_path / "named.toml"
    path.write_text('[claims]\nsubject = "preferred_username"\n', encoding="utf-8")
    named = ("--client-id", "b", "--settings", str(path), *where)
    told = "does not read this issuer's subjects from the same claim"
    [a, b, _] = installation.run(add_three(installation.desk, workspace.id))
    before = installation.run(identity_providers.list_all(installation.desk, workspace.id))
    command("provider", "add", "d", "--issuer", ISSUER, *named).refused("conflict", names=f"provider {a} {told}")
    by_name = ("provider", "update", str(b), *where, "--set", "claims.subject=preferred_username")
    command(*by_name).refused("conflict", names=f"provider {a} {told}")
    body = {"name": "d", "issuer": ISSUER, "client_ids": ["d"], "claims": {"subject": "preferred_username"}}
    refused(Admin(installation, workspace.id).call("POST", "identity-providers", body), 409, "conflict", names=told)
    assert installation.run(identity_providers.list_all(installation.desk, workspace.id)) == before
    # Each issuer's are its own. That they may be another's is said all the same.
    made = command("provider", "add", "d", "--issuer", "https://another.example.com", *named).json
    assert any(warning.startswith("claims.subject: ") for warning in made["warnings"])


def test_a_change_is_held_to_the_same_rules(installation: Installation, workspace: Workspace) -> None:
    desk = installation.desk

    async def check() -> None:
        [a, b, _] = await add_three(desk, workspace.id)
        before = await identity_providers.list_all(desk, workspace.id)
        with pytest.raises(Conflict):
            await identity_providers.update(
                desk, workspace.id, b, lambda known: msgspec.structs.replace(known, client_ids=("a",))
            )
        with pytest.raises(InvalidRequest):
            await identity_providers.update(
                desk, workspace.id, a, lambda known: msgspec.structs.replace(known, algorithms=("none",))
            )
        with pytest.raises(NotFound):
            await identity_providers.switch(desk, workspace.id, 99, enabled=False)
        with pytest.raises(NotFound):
            await identity_providers.switch(desk, "unknown", a, enabled=False)
        assert await identity_providers.list_all(desk, workspace.id) == before

    installation.run(check())


def test_what_no_longer_passes_can_be_switched_off_and_moved(installation: Installation, workspace: Workspace) -> None:
    """As when the private network that it lies in is not allowed any more; it is not taken again before it passes."""
    wide = {"VESTIBULE_PRIVATE_HOSTS": "10.0.0.0/8"}
    where = ("-w", workspace.id, "--json")
    given = ("inside", "--issuer", "https://10.0.0.5/idp", "--client-id", "a")
    number = str(installation.command("provider", "add", *given, *where, settings=wide).json["id"])
    for command in (("disable", number), ("move", number, "--to", "1")):
        assert installation.command("provider", *command, *where).exit_code == 0
    assert installation.cli("provider", "list", "-w", workspace.id)["items"][0]["enabled"] is False
    for command in (("enable", number), ("update", number, "--set", "name=Inside")):
        installation.command("provider", *command, *where).refused("invalid_request", names="issuer: ")
    assert installation.command("provider", "enable", number, *where, settings=wide).json["enabled"] is True


def test_a_running_process_sees_a_switch_within_two_seconds(installation: Installation, workspace: Workspace) -> None:
    desk = installation.desk

    async def check() -> None:
        [number, *_] = await add_three(desk, workspace.id)
        tenancy = Tenancy(desk.store, desk.sealer)
        assert (await tenancy.providers(workspace.id))[0].enabled
        await identity_providers.switch(desk, workspace.id, number, enabled=False)
        await asyncio.sleep(2.05)
        assert not (await tenancy.providers(workspace.id))[0].enabled

    installation.run(check())


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def provider(installation: Installation, workspace: Workspace) -> int:
    """A provider with something in every kind of setting."""
    given = settings(
        "idp",
        accepts=(TokenKind.ID_TOKEN, TokenKind.OPAQUE_ACCESS_TOKEN),
        introspection_client=ClientCredentials("us", "s3cret"),
        max_age=600,
        required_scopes=("chat",),
    )
    return installation.run(identity_providers.add(installation.desk, workspace.id, given)).id


def test_the_command_changes_what_is_named_and_nothing_else(
    installation: Installation, workspace: Workspace, provider: int
) -> None:
    where = ("-w", workspace.id, "--json")
    before = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    made = installation.command(
        "provider", "update", str(provider), *where,
        "--set", "name=Sign in", "--set", 'client_ids=["a", "b"]', "--set", "claims.custom.plan=plan",
        "--set", "max_age=", "--set", "link_by_email=true",
    ).json  # fmt: skip
    assert (made["name"], made["client_ids"], made["claims"]["custom"]) == ("Sign in", ["a", "b"], {"plan": "plan"})
    assert (made["max_age"], made["link_by_email"]) == (None, True)
    assert any(warning.startswith("link_by_email") for warning in made["warnings"])
    after = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    assert after.introspection_client == before.introspection_client
    assert after.required_scopes == ("chat",)
    assert after.claims.email == "email"
    assert (after.id, after.position) == (before.id, before.position)


def test_the_command_takes_secrets_from_a_file_only(
    installation: Installation, workspace: Workspace, provider: int, tmp_path: Path
) -> None:
    where = ("-w", workspace.id, "--json")
    path = tmp_path / "changes.toml"
    path.write_text('[introspection_client]\nclient_secret = "another"\n', encoding="utf-8")
    made = installation.command("provider", "update", str(provider), *where, "--settings", str(path))
    assert "another" not in made.stdout
    after = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    assert after.introspection_client == ClientCredentials("us", "another")
    told = installation.command(
        "provider", "update", str(provider), *where, "--set", "introspection_client.client_secret=seen"
    )
    told.refused("invalid_option", exit_code=2)


@pytest.mark.parametrize(
    "changed",
    [
        "issuer=https://elsewhere.example.com",
        "endpoints.introspection=https://elsewhere.example.com/introspect",
        "introspection_client.client_id=others",
    ],
)
def test_the_command_sends_a_known_secret_to_no_other_server(
    installation: Installation, workspace: Workspace, provider: int, tmp_path: Path, changed: str
) -> None:
    """One that was meant for a server is not shown to another, as in the admin API and in the dashboard."""
    change = ("provider", "update", str(provider), "-w", workspace.id, "--json", "--set", changed)
    before = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    installation.command(*change).refused("invalid_request", names="client_secret: must be given again")
    assert installation.run(identity_providers.get(installation.desk, workspace.id, provider)) == before
    path = tmp_path / "secret.json"
    path.write_text('{"introspection_client": {"client_secret": "for elsewhere"}}', encoding="utf-8")
    assert installation.command(*change, "--settings", str(path)).exit_code == 0
    after = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    assert after.introspection_client.client_secret == "for elsewhere"


def test_the_command_keeps_a_shared_secret_as_long_as_it_is_used(
    installation: Installation, workspace: Workspace
) -> None:
    shared = "k7Qw2!zR9@pL4#xV8$mN1%bC6^tY3&dF5*gH0"
    given = settings("shared", algorithms=("HS256",), shared_secret=shared)
    number = installation.run(identity_providers.add(installation.desk, workspace.id, given)).id
    change = ("provider", "update", str(number), "-w", workspace.id, "--json", "--set")
    for line, kept in (("name=Renamed", shared), ('algorithms=["ES256"]', "")):
        assert installation.command(*change, line).exit_code == 0
        after = installation.run(identity_providers.get(installation.desk, workspace.id, number))
        assert after.shared_secret == kept


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), ("invalid_option", 2, "--set")),
        (("--set", "issuers=x"), ("invalid_option", 2, "issuers")),
        (("--set", "claims.emial=x"), ("invalid_option", 2, "claims.emial")),
        (("--set", "id=7"), ("invalid_option", 2, "id")),
        (("--set", "max_age=soon"), ("invalid_option", 2, "max_age")),
        (("--set", "no equals sign"), ("invalid_option", 2, "NAME=VALUE")),
        (("--set", 'algorithms=["none"]'), ("invalid_request", 1, "algorithms")),
        (("--settings", "/does/not/exist"), ("invalid_option", 2, "file")),
    ],
    ids=str,
)
def test_the_command_refuses_what_is_no_setting(
    installation: Installation,
    workspace: Workspace,
    provider: int,
    given: tuple[str, ...],
    told: tuple[str, int, str],
) -> None:
    before = installation.run(identity_providers.get(installation.desk, workspace.id, provider))
    code, exit_code, names = told
    printed = installation.command("provider", "update", str(provider), "-w", workspace.id, *given, "--json")
    printed.refused(code, exit_code=exit_code, names=names)
    assert installation.run(identity_providers.get(installation.desk, workspace.id, provider)) == before


def test_the_command_switches_and_moves(installation: Installation, workspace: Workspace, provider: int) -> None:
    other = installation.run(identity_providers.add(installation.desk, workspace.id, settings("other"))).id
    where = ("-w", workspace.id)
    assert installation.cli("provider", "disable", str(provider), *where) == {
        "id": provider,
        "name": "idp",
        "enabled": False,
    }
    assert installation.cli("provider", "enable", str(provider), *where)["enabled"] is True
    moved = installation.cli("provider", "move", str(other), *where, "--to", "1")
    assert [item["id"] for item in moved["items"]] == [other, provider]
    installation.command("provider", "disable", "99", *where, "--json").refused("not_found")


def test_a_secret_s_file_that_is_not_there_is_told_plainly(installation: Installation, workspace: Workspace) -> None:
    given = ("--issuer", ISSUER, "--introspection-secret-file", "/does/not/exist")
    told = installation.command("provider", "add", "idp", "-w", workspace.id, *given, "--json")
    told.refused("invalid_option", exit_code=2, names="/does/not/exist cannot be read")
