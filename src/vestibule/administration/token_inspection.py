"""Explains a contact token to an operator, check by check; it must not store it, and believes it no more than the
server would."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import InvalidContactToken
from vestibule.tokens.contact_token import ContactTokens
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
    contact = await desk.contacts.find_leading(checked.org_id, checked.sub)
    checks.append(_check("contact", "" if contact is not None else "its contact is gone"))
    left = (checked.exp * 1000 - now_ms()) // 1000 if checked.exp is not None else None
    return Inspection(valid=contact is not None, checks=checks, claims=claims | {"seconds_left": left})


def _check(name: str, reason: str = "") -> dict[str, str | bool]:
    return {"check": name, "passed": not reason, "reason": reason}


def _claims(token: str) -> dict[str, Any]:
    try:
        part = token.split(".")[1]
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, msgspec.DecodeError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
