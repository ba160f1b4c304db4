"""`vestibule auth-endpoint …`; prints, and leaves the rest to `administration`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vestibule.administration import auth_endpoint_trial, auth_endpoints
from vestibule.administration.auth_endpoint_trial import AuthTrial
from vestibule.administration.desk import Desk
from vestibule.cli.opening import (
    ForgetOldSecret,
    InWorkspace,
    Json,
    RotateSecret,
    at_the_desk,
    duration,
    fail,
    pasted,
    read_document,
    read_file,
)
from vestibule.cli.output import print_json, print_list, print_result, warn
from vestibule.clock import SECOND_MS
from vestibule.model.auth_endpoint import ExtraField, Fallback, HeaderForm, IdentityMethod

app = typer.Typer(help="The customer's own server, which says whose a user token is.", no_args_is_help=True)
Texts = list[str] | None


# What `set` takes, one name a setting.
File = Path | None
Url = Annotated[str | None, typer.Option(help="Where to ask, to the letter.")]
HeaderTokenFile = Annotated[File, typer.Option(help="File with the header token; - for standard input.")]
NoHeaderToken = Annotated[bool, typer.Option("--no-header-token", help="Send no header.")]
HeaderName = Annotated[str | None, typer.Option(help="The header that carries the token.")]
Form = Annotated[HeaderForm | None, typer.Option(help="How the token stands in it.")]
Fields = Annotated[
    list[ExtraField] | None, typer.Option(help="What of the page's word to pass on. Repeatable; replaces all.")
]
NoFields = Annotated[bool, typer.Option("--no-fields", help="Pass nothing on but the user token.")]
Identity = Annotated[IdentityMethod | None, typer.Option(help="Which member says who it is.")]
CountryCode = Annotated[str | None, typer.Option(help="Of phone numbers that come without one.")]
RequiredLogin = Annotated[
    bool | None, typer.Option("--required-login/--no-required-login", help="Whether visitors need proof.")
]
FallbackTo = Annotated[Fallback | None, typer.Option(help="Where the endpoint could not tell.")]
Claim = Annotated[
    bool | None,
    typer.Option("--claim-unverified-contacts/--no-claim-unverified-contacts", help="The published reading. Weak."),
]
Certificate = Annotated[File, typer.Option(help="PEM file; shown to the endpoint.")]
CertificateKey = Annotated[File, typer.Option(help="PEM file; the certificate's key.")]
Authority = Annotated[File, typer.Option(help="PEM file; trusted there instead of public authorities.")]
Restrict = Annotated[
    bool | None, typer.Option("--restrict-domains/--no-restrict-domains", help="Whether only listed pages may.")
]
Domains = Annotated[Texts, typer.Option(help="A page's host, or *.example.com. Repeatable; replaces all.")]
NoDomains = Annotated[bool, typer.Option("--no-domains", help="List none.")]
DomainsUrl = Annotated[str | None, typer.Option(help="An API that lists more.")]
NativeApps = Annotated[
    bool | None, typer.Option("--native-apps/--no-native-apps", help="Whether who sends no Origin may.")
]
Cache = Annotated[str | None, typer.Option(help="For how long a yes is remembered: 0s to 300s.")]
SettingsFile = Annotated[
    File, typer.Option("--settings", help="TOML or JSON file with any setting; the options count before it.")
]


@app.command("set")
def set_(
    workspace: InWorkspace,
    url: Url = None,
    header_token_file: HeaderTokenFile = None,
    no_header_token: NoHeaderToken = False,
    header_name: HeaderName = None,
    header_form: Form = None,
    field: Fields = None,
    no_fields: NoFields = False,
    identity_method: Identity = None,
    country_code: CountryCode = None,
    required_login: RequiredLogin = None,
    fallback: FallbackTo = None,
    claim_unverified_contacts: Claim = None,
    client_certificate: Certificate = None,
    client_key: CertificateKey = None,
    ca: Authority = None,
    restrict_domains: Restrict = None,
    domain: Domains = None,
    no_domains: NoDomains = False,
    domains_url: DomainsUrl = None,
    native_apps: NativeApps = None,
    cache: Cache = None,
    rotate_secret: RotateSecret = False,
    forget_old_secret: ForgetOldSecret = False,
    settings_file: SettingsFile = None,
    as_json: Json = False,
) -> None:
    """Set what is given; the rest stays. The signing secret is shown when it is made and never again."""
    given = {
        "url": url,
        "header_token": "" if no_header_token else _read(header_token_file, as_json=as_json),
        "header_name": header_name,
        "header_form": header_form,
        "fields": [] if no_fields else field,
        "identity_method": identity_method,
        "country_code": country_code,
        "required_login": required_login,
        "fallback": fallback,
        "claim_unverified_contacts": claim_unverified_contacts,
        "client_certificate": _read(client_certificate, as_json=as_json),
        "client_key": _read(client_key, as_json=as_json),
        "ca": _read(ca, as_json=as_json),
        "restrict_domains": restrict_domains,
        "domains": [] if no_domains else domain,
        "domains_url": domains_url,
        "native_apps": native_apps,
        "cache_seconds": duration(cache, as_json=as_json) // SECOND_MS if cache is not None else None,
    }
    wanted = read_document(settings_file, as_json=as_json) | {
        name: _plain(value) for name, value in given.items() if value is not None
    }
    _set(workspace, wanted, rotate=rotate_secret, forget=forget_old_secret, as_json=as_json)


def _set(workspace: str, wanted: dict[str, Any], *, rotate: bool, forget: bool, as_json: bool) -> None:
    done = at_the_desk(
        lambda desk: auth_endpoints.change(desk, workspace, wanted, new_signing_secret=rotate, one_secret=forget),
        as_json=as_json,
    )
    shown = auth_endpoints.shown(done.settings)
    if done.secret is not None:
        shown["secret"] = done.secret
    _print(shown, as_json=as_json)


@app.command("show")
def show(workspace: InWorkspace, as_json: Json = False) -> None:
    """Show the settings, without their secrets, and how many contacts each identity method cannot find."""

    async def act(desk: Desk) -> dict[str, Any]:
        settings = await auth_endpoints.read(desk, workspace)
        counts = await auth_endpoints.without_key(desk, workspace)
        return {**auth_endpoints.shown(settings), "contacts_without_key": counts}

    _print(at_the_desk(act, as_json=as_json), as_json=as_json)


@app.command("remove")
def remove(workspace: InWorkspace, as_json: Json = False) -> None:
    """Forget every setting, required login and domains as well. The contacts it proved stay."""
    removed = at_the_desk(lambda desk: auth_endpoints.remove(desk, workspace), as_json=as_json)
    print_result({"removed": auth_endpoints.shown(removed)["url"]}, as_json=as_json)


@app.command("test")
def try_token(
    workspace: InWorkspace,
    user_token: Annotated[str, typer.Option(help="A user token; - for standard input.")],
    page_field: Annotated[
        Texts, typer.Option(help="What the page says, such as user_id=7. Repeatable; sent if ticked.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a user token: the request without its secrets, the answer, each field, the contact. Nothing is written.

    A token given as an argument is seen by everybody on this machine: better `--user-token -`, and paste it.
    """
    token = pasted(user_token)
    fields = dict(_pair(text, as_json=as_json) for text in page_field or ())
    trial = at_the_desk(lambda desk: auth_endpoint_trial.try_at_desk(desk, workspace, token, fields), as_json=as_json)
    _print_trial(trial, as_json=as_json)
    if not trial.passed:
        raise typer.Exit(1)


def _print_trial(trial: AuthTrial, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(trial))
        return
    request = {"POST": trial.request.url, **trial.request.headers, "body": trial.request.body}
    print_result(request, as_json=False)
    attempts: list[dict[str, Any]] = [msgspec.structs.asdict(attempt) for attempt in trial.attempts]
    print_list(attempts, ("status", "milliseconds"), as_json=False, empty="No call was made.")
    result: dict[str, Any] = {"verdict": trial.verdict}
    if trial.error is not None:
        result |= {"error": trial.error, "step": trial.step, "detail": trial.detail}
    else:
        result |= {"contact": trial.contact_id or "a new one", "outcome": trial.outcome}
    print_result({**result, **trial.profile, "keys": trial.keys, "fields": trial.fields}, as_json=False)
    warn(trial.warnings, as_json=False)


def _pair(text: str, *, as_json: bool) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or name not in {field.value for field in ExtraField}:
        fail("invalid_option", f"name one of {', '.join(ExtraField)}, as NAME=VALUE", as_json=as_json, exit_code=2)
    return name, value


def _plain(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, list) else value


def _read(path: Path | None, *, as_json: bool) -> str | None:
    return read_file(path, as_json=as_json).strip() if path is not None else None


def _print(shown: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        warn(shown.pop("warnings"), as_json=False)
    print_result(shown, as_json=as_json)
