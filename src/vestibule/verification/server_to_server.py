"""The customer's backend vouches for its signed-in user with its API key; it must not check the key's text, which the
surface has done before it read the body."""

from __future__ import annotations

import msgspec

from vestibule.clock import now_ms
from vestibule.errors import InsufficientScope, InvalidField
from vestibule.identity.email import email_key
from vestibule.identity.phone import phone_key
from vestibule.model.claims import Method, ProfileClaims, VerifiedClaims
from vestibule.model.workspace import ApiKey, Scope


class Vouching(msgspec.Struct, frozen=True):
    """A good API key, and what its holder says of the visitor. `notes`: what the surface left out of it, and why."""

    api_key: ApiKey
    profile: ProfileClaims
    notes: dict[str, str] = {}


class ServerToServer:
    """The proof is the key: who holds it speaks for the workspace, so what it says is verified (DESIGN rule 2.2)."""

    name = Method.SERVER_TO_SERVER

    def admit(self, api_key: ApiKey) -> None:
        """Whether this key may vouch at all: asked before the body is read. Raises InsufficientScope."""
        if Scope.AUTHENTICATE not in api_key.scopes:
            raise InsufficientScope(Scope.AUTHENTICATE)

    async def verify(self, credential: Vouching) -> VerifiedClaims:
        """Raises InsufficientScope, InvalidField."""
        self.admit(credential.api_key)
        profile = credential.profile
        if not isinstance(profile.email, str):
            raise InvalidField("email", "is required")
        return VerifiedClaims(
            workspace_id=credential.api_key.workspace_id,
            method=self.name,
            proven_at=now_ms(),
            profile=profile,
            email_key=email_key(profile.email),
            phone_key=phone_key(profile.phone) if isinstance(profile.phone, str) else None,
            notes=credential.notes,
        )
