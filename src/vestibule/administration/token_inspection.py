"""Explains a contact token to an operator, check by check; it must not store it, and believes it no more than the
server would."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import SECOND_MS, now_ms
from vestibule.errors import InvalidContactToken
from vestibule.model.claims import Method
from vestibule.storage import token_endings
from vestibule.storage.token_endings import EVERYWHERE, NO_SESSION
from vestibule.tokens.contact_token import ContactClaims, ContactTokens
from vestibule.tokens.signing_keys import SigningKeys


class Inspection(msgspec.Struct, frozen=True):
    """`claims` are what the token says, also where the checks failed."""

    valid: bool
    checks: list[dict[str, str | bool]]
    claims: dict[str, Any]


async def inspect(desk: Desk, token: str) -> Inspection:
    """Raises StorageUnavailable."""
    settings = desk.settings
    keys = SigningKeys(desk.store, desk.sealer, token_lifetime_ms=settings.contact_token_lifetime)
    await keys.refresh()
    tokens = ContactTokens(
        keys,
        issuer=settings.public_url,
        former=settings.former_public_urls,
        lifetime_ms=settings.contact_token_lifetime,
    )
    claims = _claims(token)
    try:
        checked = await tokens.check(token)
    except InvalidContactToken as error:
        return Inspection(valid=False, checks=[_check(error.step, error.detail)], claims=claims)
    checks = [_check(name) for name in ("form", "header", "signature", "claims", "exp")]
    left = (checked.exp * SECOND_MS - now_ms()) // SECOND_MS if checked.exp is not None else None
    ended = await _is_ended(desk, checked)
    checks.append(_check("ended", "it was ended before its time" if ended else ""))
    if not ended:
        checks.append(_check("contact", "" if await _has_contact(desk, checked) else "its contact is gone"))
    valid = all(check["passed"] for check in checks)
    return Inspection(valid=valid, checks=checks, claims=claims | {"seconds_left": left})


async def _is_ended(desk: Desk, claims: ContactClaims) -> bool:
    """What `TokenEndings.check` refuses, by the endings of this contact alone: nobody waits here for all that there
    are."""
    kinds = {"", EVERYWHERE}
    if claims.method is Method.TOKEN_EXCHANGE and claims.sid is None:
        kinds.add(NO_SESSION)
    endings = await token_endings.of_contact(desk.store, claims.org_id, claims.sub)
    if token_endings.ends(endings, claims.jti, claims.iat * SECOND_MS, kinds):
        return True
    return claims.sid is not None and await token_endings.is_session_over(desk.store, claims.org_id, claims.sid)


async def _has_contact(desk: Desk, claims: ContactClaims) -> bool:
    """Of a visitor who has proven nothing none is stored before they write: their token is good without."""
    return not claims.contact.verified or await desk.contacts.find_leading(claims.org_id, claims.sub) is not None


def _check(name: str, reason: str = "") -> dict[str, str | bool]:
    return {"check": name, "passed": not reason, "reason": reason}


def _claims(token: str) -> dict[str, Any]:
    try:
        part = token.split(".")[1]
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, msgspec.DecodeError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
