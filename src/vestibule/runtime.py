"""What a request may use, as one frozen value; it must not make anything."""

from __future__ import annotations

from dataclasses import dataclass

from vestibule.audit.log import AuditLog
from vestibule.auth_endpoint.domains import AllowedDomains
from vestibule.identity.resolution import Resolver
from vestibule.limits import RateLimiter
from vestibule.live import Live
from vestibule.outbound.client import Outbound
from vestibule.sealing import Sealer
from vestibule.settings import Settings
from vestibule.storage.contacts import Contacts
from vestibule.storage.file_store import FileStore
from vestibule.storage.installation import UnverifiedSecret
from vestibule.storage.store import Store
from vestibule.tenancy import Tenancy
from vestibule.tokens.api_keys import ApiKeys
from vestibule.tokens.contact_token import ContactTokens
from vestibule.tokens.endings import TokenEndings
from vestibule.tokens.pending_identity import PendingIdentities
from vestibule.tokens.signing_keys import SigningKeys
from vestibule.tokens.visitor_session import VisitorSessions
from vestibule.verification.auth_endpoint import AuthEndpoint
from vestibule.verification.provider_sign_out import ProviderSignOut
from vestibule.verification.token_exchange import TokenExchange


@dataclass(frozen=True, slots=True)
class Runtime:
    """Made once per process by `app.py`."""

    settings: Settings
    store: Store
    tenancy: Tenancy
    api_keys: ApiKeys
    signing_keys: SigningKeys
    contact_tokens: ContactTokens
    contacts: Contacts
    resolver: Resolver
    rate_limiter: RateLimiter
    token_endings: TokenEndings
    sealer: Sealer
    live: Live
    outbound: Outbound
    unverified_secret: UnverifiedSecret
    files: FileStore
    token_exchange: TokenExchange
    pending_identities: PendingIdentities
    visitor_sessions: VisitorSessions
    audit: AuditLog
    auth_endpoint: AuthEndpoint
    allowed_domains: AllowedDomains
    provider_sign_out: ProviderSignOut
