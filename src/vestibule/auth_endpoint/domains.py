"""Says which pages may open a workspace's chat, by the host of their Origin; it must not take an Origin for
proof: what is no browser sends whichever it likes.

The list is typed in, fetched from an API of the customer, or both. The API answers a GET that carries the header token
and the signature with `["a.com", "*.b.com"]`, or that list as `data` of an object whose `status` is true. It is asked
every five minutes; while it fails, the last list serves for a day, and then nobody comes in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import idna

from vestibule.auth_endpoint.calls import CALL_SECONDS, CONNECT_SECONDS, MOST_BYTES, client_certificate
from vestibule.auth_endpoint.question import credentials
from vestibule.errors import (
    AuthUnavailable,
    DomainNotAllowed,
    ProviderUnavailable,
    Upstream,
    UpstreamFailed,
)
from vestibule.ids import new_id
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.oidc.remembered import Fresh, Pace, Remembered
from vestibule.outbound.client import Outbound
from vestibule.outbound.standard_webhooks import signature_headers
from vestibule.strict_json import NotStrict, read_value, unmarked

_DAY = 86_400
_PACE = Pace(life=300, shortest_life=300, longest_life=300, stale=_DAY - 300)
_MOST_LISTS = 1_000
_MOST_DOMAINS = 10_000
# RFC 6454 section 7.1: one serialised origin of a web page. `null`, and what apps' web views send, names no domain.
_ORIGIN = re.compile(rb"https?://(\[[0-9a-fA-F:.]+\]|[^\[\]/?#@:\s]+)(?::\d{1,5})?")


def host_of(origins: Sequence[bytes]) -> str | None:
    """The host of the one Origin header, in lower-case A-labels; None where that is no page's. Raises DomainNotAllowed
    for several headers: of two, it is not known which one the browser set."""
    match = _ORIGIN.fullmatch(origins[0]) if len(origins) == 1 else None
    if match is None:
        raise DomainNotAllowed(detail="the Origin is not that of a page", step="origin")
    return normalised(match[1].decode("latin-1"))


def normalised(domain: str) -> str | None:
    """A domain or address in the one form in which it is compared (UTS 46, RFC 5890); None where it is neither."""
    text = domain.strip().rstrip(".").lower()
    star = "*." if text.startswith("*.") else ""
    text = text.removeprefix("*.").removeprefix("[").removesuffix("]")
    if not star and (address := _address(text)) is not None:
        return address
    try:
        return star + idna.encode(text, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def matches(host: str, domains: Sequence[str]) -> bool:
    """Exact, or below a `*.example.com`, which does not name `example.com` itself."""
    return any(host == domain or (domain.startswith("*.") and host.endswith(domain[1:])) for domain in domains)


class AllowedDomains:
    """One per process; keeps what was fetched."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._lists: dict[tuple[str, AuthEndpointSettings], Remembered[tuple[str, ...]]] = {}

    async def check(self, workspace_id: str, settings: AuthEndpointSettings, origins: Sequence[bytes]) -> None:
        """Whether a request with these Origin headers may come in. Raises DomainNotAllowed, and AuthUnavailable where
        the list cannot be had: never open for want of it."""
        if not settings.restrict_domains:
            return
        if not origins:
            if settings.native_apps:
                return
            raise DomainNotAllowed(detail="no Origin, and apps are not allowed", step="origin")
        host = host_of(origins)
        if host is None:
            raise DomainNotAllowed(detail="the Origin's host is no domain", step="origin")
        if matches(host, settings.domains):
            return
        if settings.domains_url and matches(host, await self._fetched(workspace_id, settings)):
            return
        raise DomainNotAllowed(detail=f"not listed: {host[:253]}", step="origin")

    async def _fetched(self, workspace_id: str, settings: AuthEndpointSettings) -> tuple[str, ...]:
        key = (workspace_id, settings)
        known = self._lists.get(key)
        if known is None:
            if len(self._lists) >= _MOST_LISTS:
                del self._lists[next(iter(self._lists))]
            known = self._lists[key] = Remembered(lambda: self._fetch(workspace_id, settings), _PACE)
        try:
            return await known.get()
        except (Upstream, ProviderUnavailable) as error:
            detail = f"the list of domains: {error.detail}"
            raise AuthUnavailable(detail=detail, step=error.step, retry_after=error.retry_after) from None

    async def _fetch(self, workspace_id: str, settings: AuthEndpointSettings) -> Fresh[tuple[str, ...]]:
        answer = await self._outbound.request(
            "GET",
            settings.domains_url,
            tenant=f"domains:{workspace_id}",
            purpose="allowed_domains",
            headers={
                "accept": "application/json",
                **credentials(settings),
                **signature_headers(settings.secrets, f"msg_{new_id()}", b""),
            },
            connect_timeout=CONNECT_SECONDS,
            timeout=CALL_SECONDS,
            most_bytes=MOST_BYTES,
            client_certificate=client_certificate(settings),
            ca=settings.ca or None,
        )
        if answer.status != 200:
            raise UpstreamFailed(detail=f"answered {answer.status}", step="status")
        return Fresh(read_list(answer.body), _PACE.life)


def read_list(body: bytes) -> tuple[str, ...]:
    """The domains of an answer. What is no domain allows nobody, and spoils nothing else. Raises UpstreamFailed."""
    try:
        value = read_value(unmarked(body))
    except NotStrict as reason:
        raise UpstreamFailed(detail=f"the answer {reason}", step=reason.step) from None
    if isinstance(value, dict) and value.get("status") is True:
        value = value.get("data")
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    if not texts and value != []:
        raise UpstreamFailed(detail="the answer is not a list of domains", step="shape")
    return tuple(domain for text in texts[:_MOST_DOMAINS] if (domain := normalised(text)) is not None)
