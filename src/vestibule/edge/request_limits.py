"""Counts what visitors ask for, by whatever wire they come: a look for news costs who asks nothing, and us a look into
the database; it must not know what is asked for.

Each worker counts for itself, which touches no database: a limit that cost as much as what it refuses would be none.
"""

from __future__ import annotations

from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Request
from vestibule.runtime import Runtime
from vestibule.tokens.contact_token import ContactClaims


def count_visitor(runtime: Runtime, request: Request, claims: ContactClaims) -> None:
    """By contact. Who has proven nothing is counted by device, as whoever merely says the same e-mail has the same
    contact and must not use up another's, and by address, as they can be somebody new each time. Raises RateLimited."""
    verified, limit = claims.contact.verified, runtime.settings.rate_limit_requests
    if limit:
        who = claims.sub if verified else claims.jti
        runtime.rate_limiter.take_here(claims.org_id, f"requests:{who}", limit)
    if not verified:
        count_stranger(runtime, request)


def count_stranger(runtime: Runtime, request: Request) -> None:
    """Who shows no token, or none that is good, or one that proves nothing: by address, whatever workspace they ask
    about. A verified contact's calls do not count there, nor are they refused for their neighbours. Raises
    RateLimited."""
    settings = runtime.settings
    if settings.rate_limit_address_requests:
        address = address_bucket(client_address(request, settings.trusted_proxies))
        runtime.rate_limiter.take_here("", f"requests_from:{address}", settings.rate_limit_address_requests)
