"""Signs, for the API that an action calls, whom the call is made for; it must not decide whether it is made.

An assertion is a JWT of its own type for one audience, so that the API need not believe a prompt, and nobody can use
what it was sent anywhere else (RFC 7519, RFC 8725 sections 3.9 and 3.11). The responder is named as the actor
(RFC 8693 section 4.1): it acts for the contact, it is not the contact.

    header   {"alg": "ES256", "kid": …, "typ": "action+jwt"}          checkable with /.well-known/jwks.json
    claims   iss, aud (the action's API), sub (the contact), iat, exp, jti, org_id, contact {id, verified}, method,
             auth_time, conversation, action, act {sub: "responder:<workspace>"}
"""

from __future__ import annotations

import msgspec

from vestibule.clock import SECOND_MS, now_ms
from vestibule.ids import new_id
from vestibule.model.action import Action, OnBehalfOf
from vestibule.model.claims import Method
from vestibule.responder.url_template import parse_template
from vestibule.tokens.compact_jws import sign_compact
from vestibule.tokens.contact_token import ContactOfToken
from vestibule.tokens.signing_keys import SigningKeys

TYPE = "action+jwt"
HEADER = "Vestibule-Assertion"
LIFETIME_SECONDS = 60


class Actor(msgspec.Struct, frozen=True):
    sub: str


class AssertionClaims(msgspec.Struct, frozen=True):
    """The claims of an assertion; times in seconds, as JWT has them."""

    iss: str
    aud: str
    sub: str
    iat: int
    exp: int
    jti: str
    org_id: str
    contact: ContactOfToken
    method: Method
    auth_time: int
    conversation: str
    action: str
    act: Actor


_ENCODER = msgspec.json.Encoder()


class Assertions:
    """Signs assertions of one installation."""

    def __init__(self, keys: SigningKeys, *, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer

    def issue(self, action: Action, contact: OnBehalfOf, conversation_id: str) -> str:
        """An assertion for one call. Raises NoSigningKey."""
        now = now_ms() // SECOND_MS
        claims = AssertionClaims(
            iss=self._issuer,
            aud=audience_of(action),
            sub=contact.contact_id,
            iat=now,
            exp=now + LIFETIME_SECONDS,
            jti=new_id(),
            org_id=action.workspace_id,
            contact=ContactOfToken(contact.contact_id, contact.verified),
            method=contact.method,
            auth_time=contact.auth_time // SECOND_MS,
            conversation=conversation_id,
            action=action.name,
            act=Actor(f"responder:{action.workspace_id}"),
        )
        return sign_compact(self._keys.current(), TYPE, _ENCODER.encode(claims))


def audience_of(action: Action) -> str:
    """Whom an assertion for this action is meant for."""
    return action.audience or parse_template(action.url_template).origin
