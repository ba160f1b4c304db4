"""The customer's own server says whose a user token is; it must not take a page's word for anything, nor fall back to
anything weaker (DESIGN rule 2.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from vestibule.auth_endpoint.answers import Answers
from vestibule.auth_endpoint.calls import AuthCalls
from vestibule.auth_endpoint.question import Question
from vestibule.auth_endpoint.reply import Reply
from vestibule.auth_endpoint.user_token import ends_at
from vestibule.clock import HOUR_MS, SECOND_MS
from vestibule.errors import AuthIdentityMissing, InvalidField
from vestibule.identity import profile_rules as rules
from vestibule.identity.email import email_key
from vestibule.identity.phone import calling_code, phone_key
from vestibule.model.auth_endpoint import AuthEndpointSettings, IdentityMethod
from vestibule.model.claims import KeyKind, Method, ProfileClaims, VerifiedClaims

LONGEST_TOKEN_LIFE_MS = HOUR_MS
_LONGEST_ID = 255
_LARGEST_ID = 2**63 - 1
_MOST_LABELS = 20
_LONGEST_LABEL = 128
KEY_KINDS = {
    IdentityMethod.ID: KeyKind.EXTERNAL_ID,
    IdentityMethod.EMAIL: KeyKind.EMAIL,
    IdentityMethod.PHONE_NUMBER: KeyKind.PHONE,
}


class AuthEndpoint:
    """The proof is the customer's word, given over a connection that is checked, to a question that is signed."""

    name = Method.AUTH_ENDPOINT

    def __init__(self, calls: AuthCalls) -> None:
        self.calls = calls
        self._answers = Answers(calls)

    async def verify(self, credential: Question) -> VerifiedClaims:
        """Raises AuthRejected, AuthBadResponse, AuthIdentityMissing, AuthUnavailable, AuthTimeout."""
        return claims_of(credential, await self._answers.get(credential))


def claims_of(question: Question, reply: Reply) -> VerifiedClaims:
    """What a workspace takes from the answer. Only the member that its identity method names finds a contact; what
    cannot be used of the others is left out, with a note (DESIGN rule 2.7). Raises AuthIdentityMissing."""
    settings, data = question.settings, reply.data
    notes: dict[str, str] = {}
    profile = _profile(data, notes)
    phone = phone_of(data, settings, notes) if isinstance(profile.phone, str) else None
    email = email_key(profile.email) if isinstance(profile.email, str) else None
    external_id = _external_id(data.get("id")) if settings.identity_method is IdentityMethod.ID else None
    kind = KEY_KINDS[settings.identity_method]
    if {KeyKind.EXTERNAL_ID: external_id, KeyKind.EMAIL: email, KeyKind.PHONE: phone}[kind] is None:
        name = settings.identity_method.value
        fate = notes.get("phone" if name == "phone_number" else name, "absent, empty or unusable")
        raise AuthIdentityMissing(detail=f"data.{name}: {fate}", step="identity")
    until = reply.at + LONGEST_TOKEN_LIFE_MS
    end = ends_at(question.token)
    return VerifiedClaims(
        workspace_id=question.workspace_id,
        method=Method.AUTH_ENDPOINT,
        proven_at=reply.at,
        profile=profile,
        email_key=email,
        phone_key=phone,
        external_id=external_id,
        notes=notes,
        match_by=kind,
        may_claim=settings.claim_unverified_contacts,
        token_until=until if end is None else int(min(until, end * SECOND_MS)),
    )


def phone_of(data: dict[str, Any], settings: AuthEndpointSettings, notes: dict[str, str]) -> str | None:
    """The number as a key, read with the answer's country code, or without one with the workspace's. A code that is
    none is not replaced: the wrong country's number would be another person's."""
    number, code = data["phone_number"], data.get("country_code")
    if code is None or code == "":
        code = settings.country_code
    text = str(code) if isinstance(code, str | int) and not isinstance(code, bool) else ""
    key = phone_key(number, text)
    if key is None:
        notes["phone"] = "kept for display: not a phone number"
    elif not key.startswith(calling_code(text) or "+"):
        notes["phone"] = "accepted: its own country code differs from country_code"
    return key


def _external_id(value: object) -> str | None:
    """Text, or a whole number as its decimal text; trimmed, in its own letter case."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID:
        return str(value)
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= _LONGEST_ID and text.isprintable() else None


def _profile(data: dict[str, Any], notes: dict[str, str]) -> ProfileClaims:
    """Absent or empty keeps, null clears, everything else overwrites."""
    values: dict[str, Any] = {}
    for name, (member, check) in _CHECKS.items():
        value = data.get(member, UNSET)
        if value is None or value is UNSET or value in ("", []):
            values[name] = None if value is None else UNSET
            continue
        try:
            values[name] = check(value)
        except InvalidField as error:
            values[name] = UNSET
            notes[name] = f"refused: {error.message.partition(': ')[2]}"
    return ProfileClaims(**values)


def _text(name: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise InvalidField(name, "must be text")
    return rules.text(name, value, longest)


def _name(value: object) -> str:
    return _text("name", value, rules.LONGEST_NAME)


def _email(value: object) -> str:
    address = _text("email", value, rules.LONGEST_NAME).strip()
    email_key(address)
    return address


def _phone(value: object) -> str:
    return _text("phone_number", value, rules.LONGEST_PHONE)


def _avatar(value: object) -> str:
    url = _text("avatar", value, rules.LONGEST_URL)
    if not rules.is_web_url(url) or not url.lower().startswith("https:"):
        raise InvalidField("avatar", "must be an https URL")
    return url


def _labels(value: object) -> tuple[str, ...]:
    try:
        given = msgspec.convert(value, str | list[str])
    except msgspec.ValidationError:
        raise InvalidField("label", "must be text, or a list of texts") from None
    labels = [_text("label", label.strip(), _LONGEST_LABEL) for label in ([given] if isinstance(given, str) else given)]
    kept = tuple(dict.fromkeys(label for label in labels if label))
    if len(kept) > _MOST_LABELS:
        raise InvalidField("label", f"must be at most {_MOST_LABELS} texts")
    return kept


_CHECKS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "name": ("name", _name),
    "email": ("email", _email),
    "phone": ("phone_number", _phone),
    "avatar_url": ("avatar", _avatar),
    "labels": ("label", _labels),
}
