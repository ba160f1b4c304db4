"""What the settings of an auth endpoint may be, every problem at once; it must not store or ask anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from vestibule.auth_endpoint.domains import normalised
from vestibule.auth_endpoint.reply import LONGEST_LIFE
from vestibule.errors import InvalidField, UpstreamForbidden
from vestibule.identity.phone import region_of
from vestibule.model.auth_endpoint import AuthEndpointSettings, Fallback, HeaderForm
from vestibule.outbound.address_guard import parse_url, server_of
from vestibule.outbound.standard_webhooks import secret_bytes
from vestibule.settings import Network

_LONGEST_HEADER_TOKEN = 4096
_MOST_DOMAINS = 1000
_LONGEST_PEM = 65_536
_HEADER_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")  # RFC 9110 section 5.1
# Ours to send, or the connection's: a header token in their place would break the request or be taken for a signature.
_TAKEN = re.compile(
    r"accept|accept-encoding|connection|content-.*|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade"
    r"|user-agent|webhook-.*",
    re.IGNORECASE,
)
# RFC 9110 section 11.2: what stands first in an Authorization header is a scheme, and a scheme is a token.
_SCHEME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")


def problems(settings: AuthEndpointSettings, private_hosts: tuple[Network, ...] = ()) -> list[str]:
    """What is wrong with the settings, one sentence each; none of them repeats a secret."""
    return [*_addresses(settings, private_hosts), *_header(settings), *_secrets(settings), *_others(settings)]


def warnings(settings: AuthEndpointSettings) -> list[str]:
    """What is allowed and worth knowing."""
    found = []
    token, form = settings.header_token, settings.header_form
    if "bearer" in token.lower() and form is not HeaderForm.TOKEN:
        found.append("header_token has the word Bearer in it, which header_form adds once more")
    first = form is HeaderForm.TOKEN_BEARER and settings.header_name.lower() == "authorization"
    if first and _SCHEME.fullmatch(token) is None:
        found.append(
            "header_token stands where HTTP expects the name of a scheme and has characters, such as / = or :, that no"
            " scheme has: proxies may drop the header. Prefer header_form 'Bearer {token}'"
        )
    if settings.url and not token:
        found.append("header_token is empty: no header is sent, and only the signature tells your server who asks")
    if settings.required_login and settings.fallback is Fallback.GUEST:
        found.append("fallback guest has no effect while required_login is on")
    if settings.required_login and not settings.url:
        found.append("required_login without a url: only visitors of other verified methods get in")
    if settings.restrict_domains and not (settings.domains or settings.domains_url):
        found.append("restrict_domains with no domains: no page may open the chat")
    if settings.claim_unverified_contacts:
        found.append(
            "claim_unverified_contacts: whoever typed an e-mail before its owner came has written into what becomes the"
            " owner's contact"
        )
    return found


def leads_elsewhere(
    known: AuthEndpointSettings, changed: AuthEndpointSettings, private_hosts: tuple[Network, ...] = ()
) -> bool:
    """Whether a server would be called that was not known before; both URLs are sent the header token."""
    before = {server_of(url, private_hosts) for url in (known.url, known.domains_url) if url}
    after = {server_of(url, private_hosts) for url in (changed.url, changed.domains_url) if url}
    return bool(before) and not after <= before


def normalised_domains(domains: tuple[str, ...]) -> tuple[str, ...]:
    """In the form in which they are compared. Raises InvalidField."""
    found = []
    for domain in domains:
        text = normalised(domain)
        if text is None or len(text) > 255:
            raise InvalidField("domains", "must be host names such as example.com or *.example.com, without https://")
        found.append(text)
    return tuple(dict.fromkeys(found))


def _addresses(settings: AuthEndpointSettings, private_hosts: tuple[Network, ...]) -> Iterator[str]:
    for name in ("url", "domains_url"):
        value = getattr(settings, name)
        if not value:
            continue
        try:
            parse_url(value, private_hosts)
        except UpstreamForbidden as error:
            yield f"{name}: may not be called: {error.detail}"


def _header(settings: AuthEndpointSettings) -> Iterator[str]:
    token, name = settings.header_token, settings.header_name
    # A line break would begin another header, or another request.
    if token and _HEADER_TOKEN.fullmatch(token) is None:
        yield "header_token: must be of printable ASCII characters, with no space around it"
    if len(token) > _LONGEST_HEADER_TOKEN:
        yield f"header_token: must be at most {_LONGEST_HEADER_TOKEN} characters"
    if _HEADER_NAME.fullmatch(name) is None or _TAKEN.fullmatch(name) is not None:
        yield "header_name: must be the name of a header that is not used otherwise"


def _secrets(settings: AuthEndpointSettings) -> Iterator[str]:
    for secret in settings.secrets:
        try:
            secret_bytes(secret)
        except ValueError as error:
            yield f"secrets: {error}"
    if not 1 <= len(settings.secrets) <= 2:
        yield "secrets: must be one, or two while they are changed"
    if bool(settings.client_certificate) != bool(settings.client_key):
        yield "client_certificate: needs its client_key, and the other way round"
    certificates = {name: _certificates(getattr(settings, name)) for name in ("client_certificate", "ca")}
    for name, found in certificates.items():
        if getattr(settings, name) and not found:
            yield f"{name}: must be certificates in PEM, of at most {_LONGEST_PEM} characters"
    if settings.client_key:
        key = _public_key(settings.client_key)
        shown = certificates["client_certificate"]
        if key is None:
            yield "client_key: must be a private key in PEM, without a password"
        elif shown and shown[0].public_key() != key:
            yield "client_key: is not that of the first certificate of client_certificate"


def _certificates(text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode()) if len(text) <= _LONGEST_PEM else []
    except ValueError:
        return []


def _public_key(text: str) -> object:
    try:
        return serialization.load_pem_private_key(text.encode(), password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _others(settings: AuthEndpointSettings) -> Iterator[str]:
    if settings.country_code and region_of(settings.country_code) is None:
        yield "country_code: must be a calling code such as +84, or a region such as VN"
    if not 0 <= settings.cache_seconds <= LONGEST_LIFE:
        yield f"cache_seconds: must be from 0 to {LONGEST_LIFE}"
    if len(settings.domains) > _MOST_DOMAINS:
        yield f"domains: must be at most {_MOST_DOMAINS}; let domains_url tell them"
    if len(set(settings.fields)) != len(settings.fields):
        yield "fields: names one twice"
