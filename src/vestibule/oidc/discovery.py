"""Learns a provider's endpoints from its discovery document (OpenID Connect Discovery 1.0); it must not learn from it
what to accept: the algorithms it lists may include `none` (SECURITY.md finding 3)."""

from __future__ import annotations

from typing import Any

from vestibule.errors import UpstreamFailed
from vestibule.model.identity_provider import Endpoints, IdentityProvider
from vestibule.oidc.provider_calls import get_document, life_of
from vestibule.oidc.remembered import Fresh, Pace
from vestibule.outbound.client import Outbound

PURPOSE = "provider discovery"


def discovery_url(issuer: str) -> str:
    """Section 4.1: after the issuer with any path it has, without its trailing slash."""
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


async def discover(outbound: Outbound, provider: IdentityProvider, pace: Pace) -> Fresh[Endpoints]:
    """The provider's endpoints; those that are set by hand count before those found. Raises the Upstream errors."""
    url = discovery_url(provider.issuer)
    document, answer = await get_document(outbound, provider.workspace_id, url, PURPOSE)
    # Section 4.3 and RFC 8414 section 3.3: to the letter, or one provider could speak for another (mix-up).
    if document.get("issuer") != provider.issuer:
        raise UpstreamFailed(detail=f"{PURPOSE}: the document's issuer is another one", step="issuer")
    return Fresh(
        Endpoints(
            jwks_uri=provider.endpoints.jwks_uri or _address(document, "jwks_uri"),
            introspection=provider.endpoints.introspection or _address(document, "introspection_endpoint"),
            userinfo=provider.endpoints.userinfo or _address(document, "userinfo_endpoint"),
        ),
        life_of(answer, pace.life),
    )


def _address(document: dict[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise UpstreamFailed(detail=f"{PURPOSE}: {name} is not text", step="answer")
    return value
