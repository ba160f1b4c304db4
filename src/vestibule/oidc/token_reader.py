"""Reads one token by one provider's rules: signature, claims, and what the provider is asked besides; it must not
choose the provider, and never tries a second one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import OpaqueTokenNotSupported
from vestibule.model.identity_provider import IdentityProvider, TokenKind, UserinfoUse
from vestibule.oidc import access_token, id_token, introspection, logout_token
from vestibule.oidc.claim_mapping import PROVABLE, find_claim
from vestibule.oidc.claim_rules import Claims, Rules, Setting, check_subject, moment, not_bound
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.key_set import Key, KeySet
from vestibule.oidc.refusal import refuse
from vestibule.oidc.strict_jws import LONGEST_TOKEN, Jws, check_algorithm, is_signed_by, parse, read_claims
from vestibule.oidc.userinfo import ALONE, check_same_person, check_signed, userinfo
from vestibule.outbound.client import Outbound

# RFC 6750 section 2.1: what can stand in an Authorization header.
_OPAQUE = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
# Told of each step that was passed, with what a dry run may show of it.
Trace = Callable[[str, str], None]


class Reading(msgspec.Struct, frozen=True):
    """What a token proves. Times are epoch seconds; `session` is the provider's own (`sid`). `once` is the token's
    fingerprint, where the provider's tokens are good once."""

    provider: IdentityProvider
    kind: TokenKind
    subject: str
    claims: Claims
    expires_at: float | None
    auth_time: float | None
    session: str | None
    once: str | None


def untraced(_step: str, _detail: str) -> None:
    """For everything but a dry run."""


class TokenReader:
    """One per process."""

    def __init__(self, outbound: Outbound, keys: ProviderKeys, *, clock: Callable[[], int] = now_ms) -> None:
        self._outbound = outbound
        self._keys = keys
        self._clock = clock

    async def read(
        self,
        provider: IdentityProvider,
        kind: TokenKind,
        token: str,
        trace: Trace = untraced,
        *,
        jwt: tuple[Jws, Claims] | None = None,
    ) -> Reading:
        """`jwt` is the same token taken apart, if that is done. Raises InvalidProviderToken, BoundTokenNotSupported,
        OpaqueTokenNotSupported, Upstream, ProviderUnavailable."""
        if kind is TokenKind.OPAQUE_ACCESS_TOKEN:
            claims, subject = await self._read_opaque(provider, token, trace)
        else:
            if jwt is None:
                jws = parse(token)
                jwt = jws, read_claims(jws)
            claims, subject = await self._read_jwt(provider, kind, token, jwt, trace)
        trace("subject", subject)
        session = claims.get("sid")
        return Reading(
            provider=provider,
            kind=kind,
            subject=subject,
            claims=claims,
            expires_at=moment(claims, "exp"),
            auth_time=moment(claims, "auth_time"),
            session=session if isinstance(session, str) and len(session) <= 255 else None,
            once=_once(provider, claims, jwt[0].signed if jwt is not None else token.encode()),
        )

    async def read_logout(self, provider: IdentityProvider, jws: Jws, claims: Claims) -> None:
        """That a token, taken apart, is this provider's word for a sign-out. Raises InvalidProviderToken, Upstream,
        ProviderUnavailable."""
        await self.check(provider, jws)
        _apply(logout_token.RULES, claims, Setting(provider, self._now(), jws.type), untraced)

    async def check(self, provider: IdentityProvider, jws: Jws, trace: Trace = untraced) -> None:
        """That a JWT is signed by its provider, and no more. Raises InvalidProviderToken, Upstream,
        ProviderUnavailable."""
        if trace is not untraced:
            trace("form", f"alg {jws.algorithm}, kid {jws.kid or 'none'}, typ {jws.type or 'none'}")
        check_algorithm(jws, provider.algorithms)
        trace("algorithm", jws.algorithm)
        keys = await self._keys.keys(provider)
        if trace is not untraced:
            trace("keys", "; ".join([f"{len(keys.keys)} usable", *keys.left_out]))
        key, good = _signer(keys, jws)
        if not good:
            # The provider may have turned its keys: to another kid, or, where they have none or one for all, under it.
            newer = await self._keys.newer_keys(provider, keys)
            if newer is not keys:
                key, good = _signer(newer, jws)
        if key is None:
            raise refuse("key", "the provider has no key of this kid for this algorithm")
        trace("key", key.kid or "the only one")
        if not good:
            raise refuse("signature", "the signature is not the key's")
        trace("signature", "")

    def _now(self) -> float:
        return self._clock() / SECOND_MS

    async def _read_jwt(
        self, provider: IdentityProvider, kind: TokenKind, token: str, jwt: tuple[Jws, Claims], trace: Trace
    ) -> tuple[Claims, str]:
        jws, claims = jwt
        await self.check(provider, jws, trace)
        setting = Setting(provider, self._now(), jws.type)
        _apply(id_token.RULES if kind is TokenKind.ID_TOKEN else access_token.RULES, claims, setting, trace)
        subject = _subject(provider, claims)
        if kind is TokenKind.JWT_ACCESS_TOKEN and provider.userinfo is UserinfoUse.ALWAYS:
            claims = _joined(claims, await self._userinfo(provider, token, claims["sub"], trace))
        return claims, subject

    async def _read_opaque(self, provider: IdentityProvider, token: str, trace: Trace) -> tuple[Claims, str]:
        if len(token) > LONGEST_TOKEN or _OPAQUE.fullmatch(token) is None:
            raise refuse("form", "not the form of a bearer token, or too long")
        trace("form", "an opaque token")
        endpoints = await self._keys.endpoints(provider)
        if not provider.introspection_client.client_id or not endpoints.introspection:
            if not provider.allow_userinfo_only:
                raise OpaqueTokenNotSupported(detail="no introspection", step="introspection")
            # By the workspace's own decision: this proves that the token is alive, and not for whom it was made.
            claims = await self._userinfo(provider, token, None, trace)
            _apply(ALONE, claims, Setting(provider, self._now()), trace)
            return claims, _subject(provider, claims)
        answer = await introspection.introspect(self._outbound, provider, endpoints.introspection, token)
        trace("introspection", "")
        _apply(introspection.RULES, answer, Setting(provider, self._now()), trace)
        said = answer.get("sub")
        if said is None or (provider.userinfo is not UserinfoUse.NEVER and endpoints.userinfo):
            found = await self._userinfo(provider, token, said, trace)
            answer = _joined(answer, found)
            if said is None and "sub" in found:
                answer["sub"] = found["sub"]
        return answer, _subject(provider, answer)

    async def _userinfo(self, provider: IdentityProvider, token: str, subject: str | None, trace: Trace) -> Claims:
        url = (await self._keys.endpoints(provider)).userinfo
        if not url:
            raise refuse("userinfo", "the provider has no userinfo, and nothing else names the subject")

        async def read_signed(signed: str) -> Claims:
            jws = parse(signed)
            if jws.algorithm not in provider.algorithms:
                # As userinfo's fault: for the token's own algorithm another provider of the issuer is tried.
                raise refuse("userinfo", "the signed answer's algorithm is not one that this provider may use")
            await self.check(provider, jws)
            claims = read_claims(jws)
            check_signed(claims, Setting(provider, self._now()))
            return claims

        claims = await userinfo(self._outbound, provider, url, token, read_signed=read_signed)
        check_same_person(claims, subject, provider.claims.subject)
        not_bound(claims, Setting(provider, 0))
        trace("userinfo", "")
        return claims


# What a token says of itself stays its own, whatever userinfo says; the person's claims are userinfo's, which is newer.
_OF_THE_TOKEN = frozenset({"iss", "aud", "azp", "exp", "nbf", "iat", "jti", "sub", "client_id", "scope", "scp"}) | {
    "acr",
    "amr",
    "auth_time",
    "sid",
    "active",
}


def _joined(of_token: Claims, of_person: Claims) -> Claims:
    # An address and whether it is proven belong together: never one from here and the other from there.
    for claim in PROVABLE.values():
        proof = f"{claim}_verified"
        if claim in of_person:
            of_token = {name: value for name, value in of_token.items() if name != proof}
        elif of_person.get(proof) is True:  # of whatever address that is; a no counts
            of_person = {name: value for name, value in of_person.items() if name != proof}
    return {**of_token, **{name: value for name, value in of_person.items() if name not in _OF_THE_TOKEN}}


def _apply(rules: Rules, claims: Claims, setting: Setting, trace: Trace) -> None:
    for name, rule in rules:
        rule(claims, setting)
        if trace is not untraced:
            trace(name, "")


def _once(provider: IdentityProvider, claims: Claims, signed: bytes) -> str | None:
    """What is the same for every spelling of a token: `jti`, which no two tokens of an issuer share (RFC 7519 section
    4.1.7), else what was signed; never the signature, of which ECDSA has two for everything."""
    if not provider.single_use:
        return None
    named = claims.get("jti")
    told = b"jti " + named.encode() if isinstance(named, str) and named else b"signed " + signed
    return hashlib.sha256(provider.issuer.encode() + b" " + told).hexdigest()


def _signer(keys: KeySet, jws: Jws) -> tuple[Key | None, bool]:
    """The key that a token names, if the set has it, and whether that has signed it. Raises InvalidProviderToken."""
    key = keys.choose(jws.algorithm, jws.kid)
    return key, key is not None and is_signed_by(jws, key)


def _subject(provider: IdentityProvider, claims: Claims) -> str:
    return check_subject(find_claim(claims, provider.claims.subject))
