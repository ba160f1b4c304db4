"""Tells which address a request comes from, believing only configured proxies; it must not limit anybody."""

from __future__ import annotations

import functools
import hashlib
import ipaddress

from vestibule.edge.http import Request
from vestibule.settings import Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: Request, trusted: tuple[Network, ...]) -> str:
    """The nearest address that is not a trusted proxy's, walking X-Forwarded-For from its end: what stands further left
    was written by strangers (ASVS 4.1.3)."""
    peer = parsed(request.peer) if trusted else None
    if peer is None or not _within(peer, trusted):
        return request.peer
    hops = [hop for value in request.headers(b"x-forwarded-for") for hop in value.decode("latin-1").split(",")]
    nearest = peer
    for hop in reversed(hops):
        address = parsed(hop.strip())
        if address is None:
            break
        nearest = address
        if not _within(address, trusted):
            break
    return str(nearest)


@functools.lru_cache(maxsize=4_096)
def address_bucket(address: str) -> str:
    """What a limit per address is counted under: not the address itself, which is personal data, and for IPv6 the /64,
    which is one subscriber's."""
    found = parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        address = str(ipaddress.ip_network((found, 64), strict=False))
    return hashlib.sha256(address.encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=4_096)
def truncated(address: str) -> str:
    """The network that an address lies in, as the audit keeps it: /24 of IPv4, /48 of IPv6. Empty for what is none."""
    found = parsed(address)
    if found is None:
        return ""
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def parsed(text: str) -> _Address | None:
    """None where it is none, as of a socket that has none. An IPv4 address that is written as IPv6 is the IPv4 one."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _within(address: _Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
