"""Asks a provider whom an access token speaks of (OpenID Connect Core section 5.3); it must not be taken for a proof of
whom the token was made for, as it answers for every client's tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vestibule.errors import UpstreamFailed
from vestibule.model.identity_provider import IdentityProvider
from vestibule.oidc.claim_rules import (
    Claims,
    Rules,
    Setting,
    audience,
    authentication,
    check_subject,
    not_expired,
    required_scopes,
)
from vestibule.oidc.provider_calls import read_answer, tenant_of
from vestibule.oidc.refusal import refuse
from vestibule.outbound.client import Outbound

PURPOSE = "userinfo"
ReadSigned = Callable[[str], Awaitable[Claims]]
# Where nothing else was asked about the token: what the provider's settings require is seldom told here, and what is
# not told is not there.
ALONE: Rules = (("authentication", authentication), ("scope", required_scopes))


async def userinfo(
    outbound: Outbound, provider: IdentityProvider, url: str, token: str, *, read_signed: ReadSigned
) -> Claims:
    """The claims about the token's person; `read_signed` checks the signature of an answer that is a JWT. Raises
    InvalidProviderToken, and the Upstream errors."""
    answer = await outbound.request(
        "GET",
        url,
        tenant=tenant_of(provider.workspace_id),
        purpose=PURPOSE,
        headers={"Accept": "application/json", "Authorization": f"Bearer {token}"},
    )
    if answer.status in {401, 403}:  # 403: JupyterHub
        raise refuse("userinfo", f"userinfo refuses the token with {answer.status}")
    if answer.status != 200:
        raise UpstreamFailed(detail=f"{PURPOSE}: status {answer.status}", step="status")
    media_type = (answer.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/jwt":
        return read_answer(answer, PURPOSE)
    try:
        signed = answer.body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise UpstreamFailed(detail=f"{PURPOSE}: the answer is no JWT", step="answer") from None
    return await read_signed(signed)


def check_signed(claims: Claims, setting: Setting) -> None:
    """What a signed answer says of itself must fit; LemonLDAP's says nothing, and came over the same TLS."""
    if "iss" in claims and claims["iss"] != setting.provider.issuer:
        raise refuse("userinfo", "the signed answer's iss is another issuer")
    whom = audience(claims)
    if whom and not set(setting.provider.client_ids).intersection(whom):
        raise refuse("userinfo", "the signed answer's aud has none of the client ids")
    not_expired(claims, setting)


def check_same_person(claims: Claims, subject: str | None, subject_claim: str) -> str:
    """Section 5.3.2: the answer counts for the token's own subject only. Without one to compare with, the answer's
    subject is the person's."""
    found = check_subject(claims.get("sub", claims.get(subject_claim)))
    if subject is not None and found != subject:
        raise refuse("userinfo", "userinfo's sub is another person than the token's")
    return found
