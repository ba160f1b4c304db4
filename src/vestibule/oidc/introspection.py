"""Asks a provider about an opaque access token (RFC 7662); it must not be asked for a token that another provider may
have issued: asking hands the token over.

The one thing that shows for whom an opaque token was made: without it, any other application's token of the same
provider would sign its user in here (SECURITY.md finding 1).
"""

from __future__ import annotations

import base64
from urllib.parse import quote_plus, urlencode

from vestibule.errors import UpstreamFailed
from vestibule.model.identity_provider import ClientAuth, ClientCredentials, IdentityProvider
from vestibule.oidc import claim_rules as rule
from vestibule.oidc.claim_rules import Claims, Rules, Setting, audience, text
from vestibule.oidc.provider_calls import post_form, read_answer
from vestibule.oidc.refusal import refuse
from vestibule.outbound.client import Outbound

PURPOSE = "token introspection"


async def introspect(outbound: Outbound, provider: IdentityProvider, url: str, token: str) -> Claims:
    """What the provider says of the token; unchecked. Raises the Upstream errors."""
    form = {"token": token, "token_type_hint": "access_token"}
    headers: dict[str, str] = {}
    client = provider.introspection_client
    if client.method is ClientAuth.BASIC:
        headers["Authorization"] = basic(client)
    else:
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    answer = await post_form(
        outbound, provider.workspace_id, url, PURPOSE, body=urlencode(form).encode(), headers=headers
    )
    if answer.status != 200:
        # A dead token is a 200 with `active: false` (section 2.2): this one is about our own credentials.
        raise UpstreamFailed(detail=f"{PURPOSE}: status {answer.status}", step="introspection")
    return read_answer(answer, PURPOSE)


def basic(client: ClientCredentials) -> str:
    """RFC 6749 section 2.3.1: both parts form-encoded first, as secrets may have colons and more."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def active(claims: Claims, _: Setting) -> None:
    if claims.get("active") is not True:
        raise refuse("active", "the provider says that the token is not active")
    said = [claims.get(name) for name in ("token_type", "token_use", "typ")]
    if any(isinstance(kind, str) and kind.lower().startswith(("refresh", "offline", "id")) for kind in said):
        raise refuse("kind", "it is no access token")


def issuer_if_said(claims: Claims, setting: Setting) -> None:
    if "iss" in claims:
        rule.issuer(claims, setting)


def for_us(claims: Claims, setting: Setting) -> None:
    """Our client asked for it, or it is for an audience of ours."""
    provider = setting.provider
    if set(audience(claims)).intersection((*provider.audiences, *provider.client_ids)):
        return
    if text(claims, "client_id") not in provider.client_ids:
        raise refuse("aud", "neither client_id nor aud is ours")


def subject_if_said(claims: Claims, _: Setting) -> None:
    if "sub" in claims:  # django-oauth-toolkit says none; userinfo must, then
        rule.check_subject(claims["sub"])


RULES: Rules = (
    ("active", active),
    ("iss", issuer_if_said),
    ("aud", for_us),
    ("exp", rule.not_expired),
    ("nbf", rule.not_before),
    ("sub", subject_if_said),
    ("authentication", rule.authentication),
    ("scope", rule.required_scopes),
    ("binding", rule.not_bound),
)
