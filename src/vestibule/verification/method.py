"""What a verification method is; it must not name one."""

from __future__ import annotations

from typing import Protocol, TypeVar

from vestibule.model.claims import Method, VerifiedClaims

Credential_contra = TypeVar("Credential_contra", contravariant=True)


class VerificationMethod(Protocol[Credential_contra]):
    """One way of proving who a visitor is: a credential in, verified claims out, or a NotAuthenticated, NotAllowed or
    InvalidRequest error. Limits, matching, storing and issuing are not its business (`authenticate.py`)."""

    name: Method

    async def verify(self, credential: Credential_contra) -> VerifiedClaims: ...
