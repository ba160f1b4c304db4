"""Signs a person in at a provider by the authorization code flow with PKCE (OpenID Connect Core section 3.1, RFC 9700
section 2.1.1); it must not know who the person is here, and keeps neither code nor token."""

from __future__ import annotations

import hmac
from urllib.parse import urlencode

import msgspec

from vestibule.errors import SignInRefused, UpstreamFailed
from vestibule.model.identity_provider import ClientAuth, ClientCredentials, IdentityProvider
from vestibule.model.unshown import Unshown
from vestibule.oidc.discovery import discovery_url
from vestibule.oidc.introspection import basic
from vestibule.oidc.provider_calls import get_document, life_of, post_form, read_answer
from vestibule.oidc.remembered import Fresh, Pace
from vestibule.outbound.client import Outbound

PURPOSE = "staff sign-in"
_LONGEST = 4_096


class SignInEndpoints(msgspec.Struct, frozen=True):
    """What the provider's discovery document says. `names_issuer`: its answers have `iss` (RFC 9207)."""

    authorization: str
    token: str
    names_issuer: bool
    method: ClientAuth


class Started(Unshown, frozen=True):
    """What a browser must bring back, and what goes with its code. `at` is epoch milliseconds."""

    state: str
    nonce: str
    verifier: str
    at: int


class Tokens(Unshown, frozen=True):
    id_token: str
    access_token: str


async def find_endpoints(outbound: Outbound, provider: IdentityProvider, pace: Pace) -> Fresh[SignInEndpoints]:
    """Raises the Upstream errors."""
    document, answer = await get_document(outbound, provider.workspace_id, discovery_url(provider.issuer), PURPOSE)
    if document.get("issuer") != provider.issuer:
        raise UpstreamFailed(detail=f"{PURPOSE}: the document's issuer is another one", step="issuer")
    urls = [document.get(name) for name in ("authorization_endpoint", "token_endpoint")]
    if not all(isinstance(url, str) and url.startswith(("https://", "http://")) for url in urls):
        raise UpstreamFailed(detail=f"{PURPOSE}: the document names no endpoints to sign in at", step="answer")
    # Section 3 of Discovery: who says nothing takes client_secret_basic.
    methods = document.get("token_endpoint_auth_methods_supported", [ClientAuth.BASIC.value])
    basic_is_taken = not isinstance(methods, list) or ClientAuth.BASIC.value in methods
    found = SignInEndpoints(
        authorization=str(urls[0]),
        token=str(urls[1]),
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        method=ClientAuth.BASIC if basic_is_taken else ClientAuth.POST,
    )
    return Fresh(found, life_of(answer, pace.life))


def authorization_url(
    endpoints: SignInEndpoints, client_id: str, redirect: str, started: Started, challenge: str
) -> str:
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "scope": "openid email profile",
        "state": started.state,
        "nonce": started.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoints.authorization}{'&' if '?' in endpoints.authorization else '?'}{urlencode(asked)}"


def check_answer(
    answer: dict[str, str], started: Started, provider: IdentityProvider, endpoints: SignInEndpoints
) -> str:
    """The code, if the answer is this browser's own and of this provider. Raises SignInRefused."""
    if not hmac.compare_digest(answer.get("state", "").encode(), started.state.encode()):
        raise SignInRefused(detail="the state is not that of this browser", step="state")
    issuer = answer.get("iss")
    if issuer is None and endpoints.names_issuer:
        raise SignInRefused(detail="iss is missing, and the provider always sends it", step="iss")
    if issuer is not None and issuer != provider.issuer:
        # RFC 9207: another provider's answer, whose code this one must not see (mix-up).
        raise SignInRefused(detail="iss is another issuer", step="iss")
    if "error" in answer:
        said = answer["error"][:100]
        raise SignInRefused(detail=f"the provider says {said if said.isprintable() else 'no'}", step="provider")
    code = answer.get("code", "")
    if not code or len(code) > _LONGEST or not (code.isascii() and code.isprintable()):
        raise SignInRefused(detail="there is no code, or none that could be one", step="code")
    return code


async def redeem(
    outbound: Outbound,
    provider: IdentityProvider,
    endpoints: SignInEndpoints,
    client: ClientCredentials,
    *,
    code: str,
    verifier: str,
    redirect: str,
) -> Tokens:
    """The tokens for a code, unchecked. Raises SignInRefused, and the Upstream errors."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
    headers: dict[str, str] = {}
    if client.client_secret and endpoints.method is ClientAuth.BASIC:
        headers["Authorization"] = basic(client)
    else:
        form |= {"client_id": client.client_id}
        form |= {"client_secret": client.client_secret} if client.client_secret else {}
    body = urlencode(form).encode()
    answer = await post_form(outbound, provider.workspace_id, endpoints.token, PURPOSE, body=body, headers=headers)
    if answer.status != 200:
        raise SignInRefused(detail=f"the provider does not take the code: status {answer.status}", step="code")
    found = read_answer(answer, PURPOSE)
    id_token, access_token = found.get("id_token"), found.get("access_token")
    if not isinstance(id_token, str):
        raise SignInRefused(detail="the provider gave no ID token", step="code")
    return Tokens(id_token, access_token if isinstance(access_token, str) else "")
