"""Refuses a provider's token with the step and reason for log, audit and dry run; it must not quote the token."""

from __future__ import annotations

from vestibule.errors import InvalidProviderToken


def refuse(step: str, detail: str) -> InvalidProviderToken:
    """One public answer for every failure (RFC 6750 section 3.1); the reasons are for the operator alone."""
    return InvalidProviderToken(detail=detail, step=step)
