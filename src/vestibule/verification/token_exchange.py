"""A token of the customer's identity provider proves who its holder is there (Puzzel's exchange, RFC 8693); it must not
store the token, send it to two providers, or fall back to anything weaker."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidField, InvalidProviderToken, InvalidRequest, VestibuleError
from vestibule.identity import profile_rules as rules
from vestibule.identity.email import email_key
from vestibule.model.claims import CustomData, CustomValue, Method, ProfileClaims, ProviderSubject, VerifiedClaims
from vestibule.model.identity_provider import IdentityProvider
from vestibule.oidc.claim_mapping import MASKED, PROVABLE, Mapped, map_claims
from vestibule.oidc.provider_choice import NOT_MINE, Candidate, choose
from vestibule.oidc.time_limit import deadline, until
from vestibule.oidc.token_reader import Reading, TokenReader, Trace, untraced

_LONGEST_LANGUAGE = 64


class ProviderToken(msgspec.Struct, frozen=True):
    """What a visitor presents, and the providers of the workspace that it is presented to; exactly one of the tokens.
    `provider_id` None: whoever issued it."""

    workspace_id: str
    providers: tuple[IdentityProvider, ...]
    provider_id: int | None = None
    access_token: str | None = None
    id_token: str | None = None

    def __repr__(self) -> str:
        return f"ProviderToken({self.workspace_id!r})"


class TokenExchange:
    """The proof is the provider's: its signature, or its answer when it is asked about the token."""

    name = Method.TOKEN_EXCHANGE

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader

    async def verify(self, credential: ProviderToken) -> VerifiedClaims:
        """Raises InvalidRequest (of which ProviderRequired and OpaqueTokenNotSupported), InvalidProviderToken,
        NotFound, Upstream, ProviderUnavailable."""
        return claims_of(credential.workspace_id, await self.read(credential))

    async def read(self, credential: ProviderToken, trace: Trace = untraced) -> Reading:
        """The token as its provider's rules read it. `trace` is told of every step that was passed."""
        is_id_token = credential.id_token is not None
        token = credential.id_token if credential.id_token is not None else credential.access_token
        if token is None or (is_id_token and credential.access_token is not None):
            raise InvalidRequest("Send exactly one of accessToken and idToken.", step="form")
        candidates = choose(
            credential.providers, provider_id=credential.provider_id, token=token, is_id_token=is_id_token
        )
        latest = deadline()
        for candidate in candidates[:-1]:
            try:
                return await self._read(candidate, token, trace, latest)
            except InvalidProviderToken as error:
                if error.step not in NOT_MINE:
                    raise
        return await self._read(candidates[-1], token, trace, latest)

    async def _read(self, candidate: Candidate, token: str, trace: Trace, latest: float) -> Reading:
        provider = candidate.provider
        if trace is not untraced:
            trace("provider", f"{provider.id} {provider.name}: {candidate.kind.value}")
        try:
            async with until(latest):
                return await self._reader.read(provider, candidate.kind, token, trace, jwt=candidate.jwt)
        except VestibuleError as error:
            error.provider_id = str(provider.id)
            raise


def claims_of(workspace_id: str, reading: Reading) -> VerifiedClaims:
    """What a workspace takes from a reading. A value that cannot be used is left out, with a note (DESIGN rule 2.7);
    an e-mail finds somebody only where the workspace has said so, and the provider that it is proven (rule 2.2)."""
    provider = reading.provider
    mapped = map_claims(provider, reading.claims)
    notes: dict[str, str] = {}
    profile = _profile(mapped, notes)
    proven = profile.email if provider.link_by_email and "email" in mapped.proven else None
    return VerifiedClaims(
        workspace_id=workspace_id,
        method=Method.TOKEN_EXCHANGE,
        proven_at=now_ms(),
        profile=profile,
        email_key=email_key(proven) if isinstance(proven, str) else None,
        notes=notes,
        unproven=frozenset(PROVABLE) - mapped.proven,
        # Each is a claim of its own, and a person's tokens differ in those that they have: by their kind, and by the
        # scope, which is the browser's to choose.
        no_custom=frozenset(name for name, value in (mapped.custom or {}).items() if value is None),
        subject=ProviderSubject(
            issuer=provider.issuer,
            subject=reading.subject,
            provider_id=provider.id,
            auth_time=_milliseconds(reading.auth_time),
            expires_at=_milliseconds(reading.expires_at),
            session=reading.session,
            once=reading.once,
        ),
    )


def _profile(mapped: Mapped, notes: dict[str, str]) -> ProfileClaims:
    values: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        value = mapped.values[name]
        if value is UNSET or value is None or value == MASKED:
            values[name] = value
            continue
        try:
            values[name] = check(_text(name, value))
        except InvalidField as error:
            values[name] = UNSET
            notes[name] = f"refused: {error.message.partition(': ')[2]}"
    return ProfileClaims(**values, custom_data=_custom(mapped.custom, notes))


def _custom(found: dict[str, Any] | None, notes: dict[str, str]) -> CustomData | Any:
    if not found:
        return UNSET
    kept: CustomData = {}
    for name, value in found.items():
        if value is None:
            continue
        # Lists of texts are common (groups, roles); custom data is flat.
        flat = ", ".join(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value
        try:
            kept |= rules.custom_data("custom_data", {name: _scalar(name, flat)})
        except InvalidField as error:
            notes[f"custom_data.{name}"] = f"refused: {error.message.partition(': ')[2]}"
    return kept if kept or None in found.values() else UNSET


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidField(name, "must be text")
    return value


def _scalar(name: str, value: object) -> CustomValue:
    if not isinstance(value, str | int | float | bool):
        raise InvalidField(name, "must be text, a number or a boolean")
    return value


def _name(value: str) -> str:
    return rules.text("name", value, rules.LONGEST_NAME)


def _email(value: str) -> str:
    email_key(value)
    return value


def _phone(value: str) -> str:
    return rules.text("phone", value, rules.LONGEST_PHONE)


def _avatar(value: str) -> str:
    if not rules.is_web_url(value):
        raise InvalidField("avatar_url", "must be an http or https URL")
    return rules.text("avatar_url", value, rules.LONGEST_URL)


def _language(value: str) -> str:
    return rules.text("language", value, _LONGEST_LANGUAGE)


_CHECKS = {"name": _name, "email": _email, "phone": _phone, "avatar_url": _avatar, "language": _language}


def _milliseconds(seconds: float | None) -> int | None:
    return int(seconds * SECOND_MS) if seconds is not None else None
