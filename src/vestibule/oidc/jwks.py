"""Keeps every provider's endpoints and keys, as fresh as its headers ask and its availability allows; it must not
check a token.

Per workspace and provider, though two workspaces may name the same issuer: one tenant's slow or hostile provider is
nobody else's business.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from vestibule.clock import elapsed
from vestibule.errors import UpstreamFailed
from vestibule.model.identity_provider import Endpoints, IdentityProvider
from vestibule.oidc.discovery import discover
from vestibule.oidc.key_set import KeySet, UnusableKeySet, read_key_set, shared_key
from vestibule.oidc.provider_calls import get_document, life_of
from vestibule.oidc.remembered import Clock, Fresh, Pace, Remembered
from vestibule.outbound.client import Outbound

PURPOSE = "provider keys"
_MOST_PROVIDERS = 2_000


class _Known(msgspec.Struct, frozen=True, eq=False):
    endpoints: Remembered[Endpoints]
    keys: Remembered[KeySet]


class ProviderKeys:
    """One per process."""

    def __init__(self, outbound: Outbound, pace: Pace | None = None, clock: Clock = elapsed) -> None:
        self._outbound = outbound
        self._pace = pace or Pace()
        self._clock = clock
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()

    async def endpoints(self, provider: IdentityProvider) -> Endpoints:
        """Raises Upstream, ProviderUnavailable."""
        return await self._of(provider).endpoints.get() if provider.discovery else provider.endpoints

    async def keys(self, provider: IdentityProvider) -> KeySet:
        """Raises Upstream, ProviderUnavailable."""
        if provider.uses_shared_secret:
            return _shared(provider)
        return await self._of(provider).keys.get()

    async def newer_keys(self, provider: IdentityProvider, seen: KeySet) -> KeySet:
        """For a token that no key of `seen` has signed: the provider may have turned its keys. At most one call per
        provider in `Pace.cool_down`, whoever asks. Raises Upstream, ProviderUnavailable."""
        if provider.uses_shared_secret:
            return seen
        return await self._of(provider).keys.get_newer(seen)

    def _of(self, provider: IdentityProvider) -> _Known:
        # By what decides where the keys come from: changed settings start afresh.
        name = (provider.workspace_id, provider.id, provider.issuer, provider.discovery, provider.endpoints)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known(
                Remembered(lambda: discover(self._outbound, provider, self._pace), self._pace, self._clock),
                Remembered(lambda: self._fetch(provider), self._pace, self._clock),
            )
            if len(self._known) > _MOST_PROVIDERS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(name)
        return known

    async def _fetch(self, provider: IdentityProvider) -> Fresh[KeySet]:
        url = (await self.endpoints(provider)).jwks_uri
        if not url:
            raise UpstreamFailed(detail=f"{PURPOSE}: the provider names no address for its keys", step="answer")
        document, answer = await get_document(self._outbound, provider.workspace_id, url, PURPOSE)
        try:
            return Fresh(read_key_set(document), life_of(answer, self._pace.life))
        except UnusableKeySet as reason:
            raise UpstreamFailed(detail=f"{PURPOSE}: {reason}", step="key_set") from None


def _shared(provider: IdentityProvider) -> KeySet:
    try:
        return KeySet((shared_key(provider.shared_secret.encode()),))
    except UnusableKeySet as reason:
        # Saving checks it; what is stored otherwise is refused, not repaired.
        raise UpstreamFailed(detail=f"{PURPOSE}: {reason}", step="key_set") from None
