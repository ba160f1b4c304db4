"""Reads what the process is told about itself: flags, VESTIBULE_*, vestibule.toml, defaults, in this order; it must not
create anything.

Every problem is reported at once, none of them repeats a value (it might be a secret), and no secret has a default.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vestibule.sealing import parse_secret_key
from vestibule.times import read_span

PREFIX = "VESTIBULE_"
CONFIG_FILE = "vestibule.toml"
_MOST_WAITS = 20
_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InvalidSettings(Exception):
    """Everything that is wrong, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("must be text")
    return value.strip()


def _whole(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        problem = f"must be a whole number from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError(problem)
        # Not int() alone, which reads other scripts' digits and 1_000 as well.
        if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,10}", value.strip()):
            raise ValueError(problem)
        number = int(value)
        if not low <= number <= high:
            raise ValueError(problem)
        return number

    return parse


def _duration(low: str, high: str) -> Callable[[object], int]:
    def parse(value: object) -> int:
        milliseconds = read_span(str(value).strip())
        if milliseconds is None or not _span(low) <= milliseconds <= _span(high):
            raise ValueError(f"must be a duration from {low} to {high}, such as 90s, 15m or 24h")
        return milliseconds

    return parse


def _span(text: str) -> int:
    """Of a bound of ours."""
    found = read_span(text)
    if found is None:
        raise ValueError(text)
    return found


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).strip().lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _database_url(value: object) -> str:
    url = _text(value)
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    if not url.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME")
    return url


def _valkey_url(value: object) -> str:
    url = _text(value)
    if url and not url.startswith(("valkey://", "valkeys://", "redis://", "rediss://")):
        raise ValueError("must be valkey://USER:PASSWORD@HOST:PORT/NUMBER, or valkeys:// for TLS")
    return url


def _web_url(value: object) -> str:
    url = _text(value).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be an http or https URL without user, query or fragment")
    return url


def _issuer(value: object) -> str:
    # As it is: issuers are compared to the letter, and a last slash is one.
    url = _text(value)
    if url:
        _web_url(url)
    return url


def _web_url_or_none(value: object) -> str:
    return _web_url(value) if _text(value) else ""


def _web_urls(value: object) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [part for part in _text(value).split(",") if part.strip()]
    return tuple(_web_url(str(entry).strip()) for entry in entries)


def _networks(value: object) -> tuple[Network, ...]:
    entries = value if isinstance(value, list) else [part for part in _text(value).split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(str(entry).strip()) for entry in entries)
    except ValueError:
        raise ValueError("must be addresses or CIDR networks, separated by commas") from None


def _waits(value: object) -> tuple[int, ...]:
    entries = value if isinstance(value, list) else [part for part in _text(value).split(",") if part.strip()]
    if len(entries) > _MOST_WAITS:
        raise ValueError(f"must be at most {_MOST_WAITS} durations")
    return tuple(_duration("100ms", "7d")(entry) for entry in entries)


def _secret_keys(value: object) -> tuple[bytes, ...]:
    entries = value if isinstance(value, list) else _text(value).split(",")
    return tuple(parse_secret_key(str(entry)) for entry in entries if str(entry).strip())


def _bearer(value: object) -> str:
    token = _text(value)
    if not re.fullmatch(r"([A-Za-z0-9._~+/-]{1,4000}=*)?", token):
        raise ValueError("must be at most 4000 letters, digits and - . _ ~ + /, and = only at the end: a bearer token")
    return token


def _level(value: object) -> str:
    level = _text(value).lower()
    if level not in {"debug", "info", "warning", "error"}:
        raise ValueError("must be debug, info, warning or error")
    return level


def _setting(parse: Callable[[object], Any], default: object, about: str, *, secret: bool = False) -> Any:
    """One setting; `default` is written as in a file, and parsed like a given value."""
    metadata = {"parse": parse, "default": default, "about": about, "secret": secret}
    return field(default=parse(default) if default is not None else None, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a process. Durations are milliseconds."""

    database_url: str = _setting(_database_url, "sqlite:///vestibule.db", "Where everything is kept.", secret=True)
    database_connections: int = _setting(_whole(1, 200), "8", "PostgreSQL connections per worker, at the most.")
    database_timeout: int = _setting(_duration("100ms", "60s"), "5s", "After this a database call answers 503.")
    valkey_url: str = _setting(_valkey_url, "", "Valkey or Redis, for rate limits and live events.", secret=True)
    auto_migrate: bool = _setting(_boolean, "true", "Bring the schema up to date on start.")
    secret_keys: tuple[bytes, ...] = _setting(
        _secret_keys, "", "Keys that seal values at rest, comma-separated: the first seals, all open.", secret=True
    )
    secret_key_file: str = _setting(
        _text, "", "Where the secret key lies without secret_keys; made on first start. Default: beside the database."
    )
    host: str = _setting(_text, "127.0.0.1", "Address to listen on.")
    port: int = _setting(_whole(0, 65535), "8000", "Port to listen on.")
    workers: int = _setting(_whole(1, 256), "1", "Server processes.")
    public_url: str = _setting(
        _web_url, "http://127.0.0.1:8000", "How the outside reaches this service; the issuer of its tokens."
    )
    former_public_urls: tuple[str, ...] = _setting(
        _web_urls, "", "What public_url was before: tokens of then stay good, most of all those of unverified visitors."
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        _networks, "", "Proxies whose X-Forwarded-For is believed, as addresses or CIDR."
    )
    contact_token_lifetime: int = _setting(
        _duration("1m", "30d"), "24h", "How long a verified contact's token is good."
    )
    user_info_id_lifetime: int = _setting(
        _duration("30s", "10m"), "5m", "How long a userInfoId waits to be claimed; never longer than its token."
    )
    visitor_token_lifetime: int = _setting(
        _duration("1m", "1d"), "1h", "How long a visitor session's access token is good."
    )
    visitor_session_lifetime: int = _setting(
        _duration("1m", "365d"), "30d", "A visitor session ends when it was not refreshed for this long."
    )
    visitor_session_longest: int = _setting(
        _duration("1m", "3650d"), "90d", "A visitor session ends after this, however often it was refreshed."
    )
    signing_key_lead: int = _setting(
        _duration("0s", "30d"), "24h", "How long a new signing key is published before it signs."
    )
    rate_limit_standard: int = _setting(
        _whole(1, 1_000_000_000), "100", "Requests a minute per API key, standard endpoints."
    )
    rate_limit_streaming: int = _setting(
        _whole(1, 1_000_000_000), "1000", "Requests a minute per API key, streaming endpoints."
    )
    rate_limit_admin: int = _setting(_whole(1, 1_000_000_000), "600", "Requests a minute per admin key.")
    rate_limit_bad_keys: int = _setting(
        _whole(1, 1_000_000_000), "10", "Wrong API keys a minute per client address, before 401 becomes 429."
    )
    unverified_retention: int = _setting(
        _duration("1m", "3650d"), "90d", "An unverified contact is purged when nothing was written for this long."
    )
    conversation_retention: int = _setting(
        _duration("0s", "3650d"), "0s", "How long a closed conversation is kept; 0s: as long as its contact."
    )
    purge_interval: int = _setting(_duration("1s", "1d"), "5m", "How often what is kept too long is purged.")
    audit_retention: int = _setting(
        _duration("1s", "3650d"), "400d", "How long the audit and the counts of authentications are kept."
    )
    private_hosts: tuple[Network, ...] = _setting(
        _networks, "", "Private networks that outbound calls may reach, as CIDR; none by default."
    )
    ca_file: str = _setting(_text, "", "Further certificate authorities for outbound calls, a PEM file.")
    files_directory: str = _setting(_text, "vestibule-files", "Where uploaded files lie.")
    s3_bucket: str = _setting(_text, "", "A bucket for uploaded files, instead of files_directory.")
    s3_endpoint: str = _setting(_web_url_or_none, "", "Where the bucket is; empty: with AWS, in s3_region.")
    s3_region: str = _setting(_text, "us-east-1", "The bucket's region.")
    s3_access_key_id: str = _setting(_text, "", "Empty: AWS's own variables, or the machine's role.")
    s3_secret_access_key: str = _setting(_text, "", "Goes with s3_access_key_id.", secret=True)
    s3_timeout: int = _setting(_duration("100ms", "5m"), "10s", "Time for the bucket to answer, or to go on.")
    max_file_bytes: int = _setting(_whole(1024, 104_857_600), "5242880", "Largest uploaded file.")
    max_contact_file_bytes: int = _setting(_whole(1024, 8_589_934_592), "209715200", "All files of a contact together.")
    file_link_lifetime: int = _setting(
        _duration("0s", "3650d"), "0s", "How long a link to a file is good; 0s: as long as the file."
    )
    rate_limit_uploads: int = _setting(
        _whole(1, 1_000_000_000), "60", "Uploaded files a minute per client address and workspace."
    )
    rate_limit_new_visitors: int = _setting(
        _whole(1, 1_000_000_000), "600", "New unverified visitors a minute per client address and workspace."
    )
    rate_limit_sign_outs: int = _setting(
        _whole(1, 1_000_000_000), "60", "Sign-outs of unproven visitors a minute per client address and workspace."
    )
    rate_limit_messages: int = _setting(
        _whole(1, 1_000_000_000), "60", "Messages and forms a minute that a contact may send."
    )
    rate_limit_address_messages: int = _setting(
        _whole(1, 1_000_000_000), "600", "Likewise per client address and workspace."
    )
    rate_limit_requests: int = _setting(
        _whole(0, 1_000_000_000), "1200", "Requests a minute of a contact, in each worker; 0: any number."
    )
    rate_limit_address_requests: int = _setting(
        _whole(0, 1_000_000_000), "60000", "Likewise per client address, of those who prove nothing."
    )
    rate_limit_exchange_address: int = _setting(
        _whole(1, 1_000_000_000), "120", "Token exchanges a minute per client address."
    )
    rate_limit_exchange_workspace: int = _setting(
        _whole(1, 1_000_000_000), "6000", "Token exchanges a minute per workspace."
    )
    rate_limit_exchange_contact: int = _setting(
        _whole(1, 1_000_000_000), "30", "Token exchanges a minute per proven contact."
    )
    rate_limit_user_tokens: int = _setting(
        _whole(1, 1_000_000_000), "60", "User tokens a minute per client address and workspace."
    )
    max_body_bytes: int = _setting(_whole(1024, 16_777_216), "65536", "Largest request body.")
    max_header_bytes: int = _setting(_whole(1024, 1_048_576), "32768", "Largest request line and headers together.")
    header_timeout: int = _setting(_duration("100ms", "5m"), "10s", "Time for the request line and headers to arrive.")
    body_timeout: int = _setting(_duration("100ms", "5m"), "15s", "Time for the body to arrive.")
    answer_timeout: int = _setting(_duration("100ms", "5m"), "30s", "Time for a client to take more of an answer.")
    shutdown_timeout: int = _setting(_duration("0s", "5m"), "10s", "Time for requests under way when told to stop.")
    max_sockets: int = _setting(
        _whole(1, 1_000_000), "512", "Open WebSockets per client address and process; the mobile app opens many."
    )
    socket_ping_interval: int = _setting(
        _duration("1s", "5m"), "25s", "How often a WebSocket is asked for a sign of life; it has as long again."
    )
    rate_limit_socket_events: int = _setting(
        _whole(1, 1_000_000), "600", "What a WebSocket may send a minute, a tenth of it at once, before it is closed."
    )
    log_level: str = _setting(_level, "info", "debug, info, warning or error.")
    metrics_token: str = _setting(
        _bearer, "", "What a scraper of /metrics sends as bearer; empty: scrapers on this machine only.", secret=True
    )
    webhook_timeout: int = _setting(_duration("100ms", "60s"), "15s", "Time for a webhook endpoint to answer.")
    webhook_retries: tuple[int, ...] = _setting(
        _waits, "5s,30s,2m,10m,1h,6h", "Waits after each failed delivery; after the last the event is a dead letter."
    )
    first_run_link: bool = _setting(
        _boolean, "true", "While nobody is staff, print a link on start at which the first one comes in, once."
    )
    staff_oidc_issuer: str = _setting(
        _issuer, "", "Identity provider at which staff sign in, to the letter; empty: passwords only."
    )
    staff_oidc_client_id: str = _setting(_text, "", "Our client id there.")
    staff_oidc_client_secret: str = _setting(_text, "", "Its secret, if it has one.", secret=True)
    staff_oidc_client_secret_file: str = _setting(_text, "", "A file that holds the secret, instead.")
    staff_oidc_name: str = _setting(_text, "your identity provider", "What the button on the sign-in page calls it.")
    staff_oidc_only: bool = _setting(_boolean, "false", "No passwords: staff sign in there only.")
    instance: str = _setting(_text, "", "A name that /healthz shows, to tell processes apart.")


_DEFAULTS = Settings()


def read_settings(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, directory: Path | None = None
) -> Settings:
    """The settings in force. `flags` may hold None for "not given". Raises InvalidSettings."""
    environ = os.environ if environ is None else environ
    flags = flags or {}
    problems: list[str] = []
    in_file = _read_file(environ, directory or Path.cwd(), problems)
    values: dict[str, Any] = {}
    for entry in fields(Settings):
        variable = PREFIX + entry.name.upper()
        given = next(
            (
                (where, value)
                for where, value in (
                    (f"--{entry.name.replace('_', '-')}", flags.get(entry.name)),
                    (variable, environ.get(variable)),
                    (f"{CONFIG_FILE}: {entry.name}", in_file.pop(entry.name, None)),
                )
                if value is not None
            ),
            None,
        )
        if given is None:
            continue
        try:
            values[entry.name] = entry.metadata["parse"](given[1])
        except (TypeError, ValueError) as error:
            problems.append(f"{given[0]} {error}")
    problems += [f"{CONFIG_FILE}: {name} is not a setting" for name in in_file]
    if "public_url" not in values and values.get("port") != 0:
        values["public_url"] = _own_address(values)
    made = Settings(**values) if not problems else Settings()
    problems += _together(made)
    if problems:
        raise InvalidSettings(problems)
    return made


def _own_address(values: Mapping[str, Any]) -> str:
    """Where the service is found by whoever has told no other address: what it listens on."""
    host, port = (values.get(name, getattr(_DEFAULTS, name)) for name in ("host", "port"))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def _together(settings: Settings) -> list[str]:
    """What does not go together."""
    problems = []
    if bool(settings.staff_oidc_issuer) != bool(settings.staff_oidc_client_id):
        problems.append("staff_oidc_issuer and staff_oidc_client_id: give both, or neither")
    if settings.staff_oidc_only and not settings.staff_oidc_issuer:
        problems.append("staff_oidc_only: nobody could sign in without staff_oidc_issuer")
    if settings.staff_oidc_client_secret and settings.staff_oidc_client_secret_file:
        problems.append("staff_oidc_client_secret and staff_oidc_client_secret_file: give one of them")
    return problems


def _read_file(environ: Mapping[str, str], directory: Path, problems: list[str]) -> dict[str, object]:
    named = environ.get(PREFIX + "CONFIG")
    path = Path(named) if named else directory / CONFIG_FILE
    if not named and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path} cannot be read: {error}")
        return {}


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables that look like settings and are none: mistyped, or of another release. Worth a warning, no more."""
    known = {PREFIX + entry.name.upper() for entry in fields(Settings)} | {PREFIX + "CONFIG"}
    return sorted(name for name in environ or os.environ if name.startswith(PREFIX) and name not in known)
