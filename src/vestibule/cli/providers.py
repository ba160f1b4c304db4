"""`vestibule provider …`; prints, and leaves the rest to `administration`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vestibule.administration import dry_run, identity_providers, provider_rules
from vestibule.administration.dry_run import Trial
from vestibule.cli.opening import InWorkspace, Json, at_the_desk, fail, pasted, read_document, read_file
from vestibule.cli.output import Value, print_json, print_list, print_result, warn
from vestibule.model.identity_provider import (
    ClientAuth,
    IdentityProvider,
    ProviderSettings,
    TokenKind,
)

app = typer.Typer(help="Identity providers whose tokens prove visitors.", no_args_is_help=True)
ProviderId = Annotated[int, typer.Argument(help="The provider's number in its workspace.")]
Texts = list[str] | None


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    workspace: InWorkspace,
    issuer: Annotated[str, typer.Option(help="Its issuer, to the letter as its tokens have it.")] = "",
    client_id: Annotated[Texts, typer.Option(help="A client that its ID tokens are for. Repeatable.")] = None,
    audience: Annotated[Texts, typer.Option(help="An audience of its JWT access tokens. Repeatable.")] = None,
    accept: Annotated[
        Texts, typer.Option(help=f"Kind of token: {', '.join(TokenKind)}. Repeatable; as far as set up if absent.")
    ] = None,
    algorithm: Annotated[Texts, typer.Option(help="Signature algorithm. Repeatable; all safe ones if absent.")] = None,
    jwks_uri: Annotated[str, typer.Option(help="Where its keys are, if not where discovery says.")] = "",
    introspection_endpoint: Annotated[str, typer.Option(help="Likewise for asking about opaque tokens.")] = "",
    userinfo_endpoint: Annotated[str, typer.Option(help="Likewise for asking about people.")] = "",
    no_discovery: Annotated[bool, typer.Option("--no-discovery", help="Ask for no discovery document.")] = False,
    introspection_client: Annotated[str, typer.Option(help="Our client id at its introspection endpoint.")] = "",
    introspection_secret_file: Annotated[
        Path | None, typer.Option(help="File with that client's secret; - for standard input.")
    ] = None,
    introspection_auth: Annotated[ClientAuth, typer.Option(help="How the secret is sent.")] = ClientAuth.BASIC,
    required_scope: Annotated[Texts, typer.Option(help="A scope that access tokens must have. Repeatable.")] = None,
    required_acr: Annotated[Texts, typer.Option(help="An acr of which one is required. Repeatable.")] = None,
    max_age: Annotated[int | None, typer.Option(min=0, help="Seconds since the sign-in, at the most.")] = None,
    link_by_email: Annotated[bool, typer.Option("--link-by-email", help="Verified addresses find contacts.")] = False,
    allow_userinfo_only: Annotated[
        bool, typer.Option("--allow-userinfo-only", help="Take opaque tokens on userinfo's word alone. Weak.")
    ] = False,
    single_use: Annotated[bool, typer.Option("--single-use", help="Take each token once.")] = False,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="TOML or JSON file with any setting; the options count before it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a provider, last in the order."""
    secret = read_file(introspection_secret_file, as_json=as_json).strip() if introspection_secret_file else None
    given = {
        "name": name,
        "issuer": issuer,
        "client_ids": client_id,
        "audiences": audience,
        "accepts": accept,
        "algorithms": algorithm,
        "discovery": False if no_discovery else None,
        "required_scopes": required_scope,
        "required_acr": required_acr,
        "max_age": max_age,
        "link_by_email": link_by_email or None,
        "single_use": single_use or None,
        "allow_userinfo_only": allow_userinfo_only or None,
        "endpoints": {"jwks_uri": jwks_uri, "introspection": introspection_endpoint, "userinfo": userinfo_endpoint},
        "introspection_client": {
            "client_id": introspection_client,
            "client_secret": secret,
            "method": introspection_auth.value if introspection_client else None,
        },
    }
    settings = _settings(_document(settings_file, as_json=as_json), given, as_json=as_json)
    made = at_the_desk(lambda desk: identity_providers.add(desk, workspace, settings), as_json=as_json)
    warn(provider_rules.warnings(settings), as_json=as_json)
    print_result(_shown(made), as_json=as_json)


@app.command("list")
def list_(workspace: InWorkspace, as_json: Json = False) -> None:
    """List a workspace's providers in the order in which they are tried."""
    _print_all(at_the_desk(lambda desk: identity_providers.list_all(desk, workspace), as_json=as_json), as_json=as_json)


@app.command("update")
def update(
    provider: ProviderId,
    workspace: InWorkspace,
    settings: Annotated[
        Texts,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting, in TOML or as text; empty: its default. Repeatable."
        ),
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="TOML or JSON file with settings, secrets too; - for standard input."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change some of a provider's settings; the others stay."""
    document = _merged(_document(settings_file, as_json=as_json), _assigned(settings or [], as_json=as_json))
    if not document:
        fail("invalid_option", "give what to change: --set NAME=VALUE or --settings FILE", as_json=as_json, exit_code=2)

    def changed(known: IdentityProvider) -> IdentityProvider:
        # Without its secrets: whether a kept one may go where the settings now say is not decided here.
        client = msgspec.structs.replace(known.introspection_client, client_secret="")
        shown = msgspec.structs.replace(known, introspection_client=client, shared_secret="")
        wanted = msgspec.convert(_without_none(_merged(msgspec.to_builtins(shown), document)), ProviderSettings)
        return identity_providers.with_known_secrets(known, wanted)

    try:
        made = at_the_desk(lambda desk: identity_providers.update(desk, workspace, provider, changed), as_json=as_json)
    except msgspec.ValidationError as error:
        fail("invalid_option", f"the settings do not fit: {error}", as_json=as_json, exit_code=2)
    warn(provider_rules.warnings(made), as_json=as_json)
    print_result(_shown(made), as_json=as_json)


@app.command("enable")
def enable(provider: ProviderId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Take a provider's tokens again."""
    _switch(provider, workspace, enabled=True, as_json=as_json)


@app.command("disable")
def disable(provider: ProviderId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Refuse a provider's tokens and proofs, in every process within two seconds. Who was let in stays signed in."""
    _switch(provider, workspace, enabled=False, as_json=as_json)


@app.command("move")
def move(
    provider: ProviderId,
    workspace: InWorkspace,
    to: Annotated[int, typer.Option(min=1, help="Its place in the order from now on; 1 is first.")],
    as_json: Json = False,
) -> None:
    """Change the order in which providers are tried. Their numbers stay."""
    found = at_the_desk(lambda desk: identity_providers.move(desk, workspace, provider, to), as_json=as_json)
    _print_all(found, as_json=as_json)


@app.command("remove")
def remove(provider: ProviderId, workspace: InWorkspace, as_json: Json = False) -> None:
    """Remove a provider. Its number is never given again; the contacts it proved stay."""
    removed = at_the_desk(lambda desk: identity_providers.remove(desk, workspace, provider), as_json=as_json)
    print_result({"removed": removed.id, "name": removed.name}, as_json=as_json)


@app.command("test")
def try_token(
    workspace: InWorkspace,
    provider: Annotated[int | None, typer.Option(help="This provider only, as providerId does.")] = None,
    id_token: Annotated[str | None, typer.Option(help="An ID token; - for standard input.")] = None,
    access_token: Annotated[str | None, typer.Option(help="An access token; - for standard input.")] = None,
    as_json: Json = False,
) -> None:
    """Try a token: each step, what failed and why, the claims as mapped, the contact. Nothing is written or kept.

    A token given as an argument is seen by everybody on this machine: better `--id-token -`, and paste it.
    """
    if (id_token is None) == (access_token is None):
        fail("invalid_option", "give one of --id-token and --access-token", as_json=as_json, exit_code=2)
    trial = at_the_desk(
        lambda desk: dry_run.try_at_desk(
            desk,
            workspace,
            provider_id=provider,
            access_token=access_token and pasted(access_token),
            id_token=id_token and pasted(id_token),
        ),
        as_json=as_json,
    )
    _print_trial(trial, as_json=as_json)
    if not trial.passed:
        raise typer.Exit(1)


def _print_all(found: tuple[IdentityProvider, ...], *, as_json: bool) -> None:
    columns = ("id", "name", "issuer", "enabled", "accepts", "client_ids", "audiences")
    empty = "No identity provider yet. Make one: vestibule provider add NAME --workspace ID --issuer URL --client-id ID"
    print_list([_shown(provider) for provider in found], columns, as_json=as_json, empty=empty)


def _switch(provider: int, workspace: str, *, enabled: bool, as_json: bool) -> None:
    made = at_the_desk(
        lambda desk: identity_providers.switch(desk, workspace, provider, enabled=enabled), as_json=as_json
    )
    print_result({"id": made.id, "name": made.name, "enabled": made.enabled}, as_json=as_json)


def _print_trial(trial: Trial, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(trial))
        return
    marks = {True: "passed", False: "FAILED", None: "not reached"}
    steps = [{"step": step.name, "": marks[step.passed], "message": step.detail} for step in trial.steps]
    print_list(steps, ("step", "", "message"), as_json=False, empty="")
    if trial.passed:
        print_result(
            {
                "subject": trial.subject,
                "contact": trial.contact_id or "a new one",
                "outcome": trial.outcome,
                "email finds it": trial.email_is_key,
                **trial.profile,
                "notes": trial.notes,
            },
            as_json=False,
        )
    warn(trial.warnings, as_json=False)


def _settings(document: dict[str, Any], given: dict[str, Any], *, as_json: bool) -> ProviderSettings:
    try:
        settings = msgspec.convert({"issuer": "", **_over(document, given)}, ProviderSettings)
    except msgspec.ValidationError as error:
        fail("invalid_option", f"the settings do not fit: {error}", as_json=as_json, exit_code=2)
    if "accepts" in document or given["accepts"]:
        return settings
    return msgspec.structs.replace(settings, accepts=provider_rules.kinds_of(settings))


def _over(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The document with what was given by options in its place; empty is not given."""
    merged = dict(document)
    for name, value in given.items():
        if isinstance(value, dict):
            below = document.get(name, {})
            merged[name] = _over(below if isinstance(below, dict) else {}, value)
        elif value not in (None, "", []):
            merged[name] = value
    return merged


def _assigned(lines: list[str], *, as_json: bool) -> dict[str, Any]:
    """Settings of `NAME=VALUE`: a line of TOML, else VALUE is text; nothing is the default again."""
    found: dict[str, Any] = {}
    for line in lines:
        name, _, text = line.partition("=")
        if name.rpartition(".")[2].strip() in {"client_secret", "shared_secret"}:
            fail(
                "invalid_option",
                "arguments are seen by everybody: --settings - for secrets",
                as_json=as_json,
                exit_code=2,
            )
        try:
            try:
                document: dict[str, Any] = tomllib.loads(line)
            except tomllib.TOMLDecodeError:
                document = tomllib.loads(f"{name} = {msgspec.json.encode(text).decode()}")
        except tomllib.TOMLDecodeError:
            fail("invalid_option", f"not NAME=VALUE: {line}", as_json=as_json, exit_code=2)
        found = _merged(found, document if text else _emptied(document))
    _check_names(found, as_json=as_json)
    return found


def _emptied(document: dict[str, Any]) -> dict[str, Any]:
    return {name: _emptied(value) if isinstance(value, dict) else None for name, value in document.items()}


def _merged(known: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The known settings with those of the document in their place, member by member."""
    merged = dict(known)
    for name, value in document.items():
        below = known.get(name)
        merged[name] = _merged(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return merged


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    """Only what is said: for what is None the default holds."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if value is not None
    }


def _check_names(document: dict[str, Any], *, as_json: bool) -> None:
    unknown = sorted(_unknown(document, ProviderSettings))
    if unknown:
        fail("invalid_option", f"not settings of a provider: {', '.join(unknown)}", as_json=as_json, exit_code=2)


def _unknown(document: dict[str, Any], of: type[msgspec.Struct], under: str = "") -> Iterator[str]:
    types = {known.name: known.type for known in msgspec.structs.fields(of)}
    for name, value in document.items():
        below = types.get(name)
        if below is None:
            yield under + name
        elif isinstance(value, dict) and isinstance(below, type) and issubclass(below, msgspec.Struct):
            yield from _unknown(value, below, f"{under}{name}.")


def _document(path: Path | None, *, as_json: bool) -> dict[str, Any]:
    found = read_document(path, as_json=as_json)
    _check_names(found, as_json=as_json)
    return found


def _shown(provider: IdentityProvider) -> dict[str, Value]:
    """Without its secrets."""
    shown: dict[str, Any] = {"id": provider.id, "workspace_id": provider.workspace_id}
    shown |= {name: getattr(provider, name) for name in provider.__struct_fields__}
    shown["shared_secret"] = bool(provider.shared_secret)
    client = provider.introspection_client
    shown["introspection_client"] = {"client_id": client.client_id, "method": client.method.value}
    shown["endpoints"] = msgspec.structs.asdict(provider.endpoints)
    shown["claims"] = msgspec.structs.asdict(provider.claims)
    shown["warnings"] = provider_rules.warnings(provider)
    return shown
