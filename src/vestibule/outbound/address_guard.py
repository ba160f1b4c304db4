"""Decides which URLs and which addresses may be called; it must not resolve names or connect.

One strict parser for every URL somebody configures, because two that differ are how a guard is walked around
(SECURITY.md 2.4). The ranges are written out: what Python's `is_global` says changes with its version.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from vestibule.errors import UpstreamForbidden
from vestibule.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL = 2048
_PORTS = {"http": 80, "https": 443}

# re.ASCII: without it IGNORECASE takes U+017F for an s.
_URL = re.compile(r"(https?)://([^/?]*)([/?].*)?", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([1-9][0-9]{0,4}))?")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
# RFC 3986 section 3.3 and 3.4, and the brackets that query parameters such as filter[id] are written with.
_PATH = re.compile(r"(?:[!$&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_NAME = 253
# The last label of every spelling that some resolver reads as an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# Names for this machine or its network: one label, or below a name of RFC 6761, 6762, 7686, 8375, 9476, ICANN's
# .internal, and of custom.
_LOCAL_NAME = re.compile(
    r"[^.]*|.*\.(?:alt|corp|home|home\.arpa|internal|intranet|invalid|lan|local|localdomain|localhost|onion|private|svc"
    r"|test)"
)

# IANA's special-purpose registry (RFC 6890 and its updates), multicast (RFC 5771), and one address that is public by
# its number only.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; 0.0.0.0 connects to this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598); Alibaba's metadata is 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services
        "169.254.0.0/16",  # link-local, and with 169.254.169.254 the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata is 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

# All that IANA has given out for unicast. What lies outside is not public: loopback, mapped and compatible IPv4,
# translated IPv4, discard, unique local (with fd00:ec2::254), link-local, site-local, multicast, local-use NAT64.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address, and is no longer in use (RFC 7526)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# Where a network has only IPv6, its resolver answers with this prefix for every server that has only IPv4 (RFC 6052,
# RFC 6147): as public as the IPv4 address inside.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `host` is a name in A-labels or an address without brackets, `address` set for the latter."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)  # with the query; either may hold a secret
    address: Address | None = None

    @property
    def authority(self) -> str:
        """What the Host header says (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What may be logged of a URL."""
        return f"{self.scheme}://{self.authority}"


def parse_url(url: str, allowed_private: tuple[Network, ...] = ()) -> Target:
    """The URL's parts, after every check that needs no resolver. Raises UpstreamForbidden, which never quotes it.

    With `allowed_private` http is let through, too; what it may reach is for `check_addresses` to say.
    """
    if len(url) > LONGEST_URL:
        raise _forbidden(f"the URL is longer than {LONGEST_URL} characters")
    if _CONTROL.search(url):
        raise _forbidden("the URL has a space, a control character or a backslash")
    if "#" in url:
        raise _forbidden("the URL has a fragment")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _forbidden("the URL does not start with https://")
    scheme = parts[1].lower()
    if scheme != "https" and not allowed_private:
        raise _forbidden("the URL is not https")
    host_text, port = _split_authority(parts[2], _PORTS[scheme])
    path = parts[3] or "/"
    if not _PATH.fullmatch(path):
        raise _forbidden("the URL's path or query has a character that must be percent-encoded")
    host, address = _parse_host(host_text, allow_local=bool(allowed_private))
    target = Target(scheme, host, port, path if path.startswith("/") else f"/{path}", address)
    if address is not None:
        check_addresses(target, (address,), allowed_private)
    return target


def server_of(url: str, allowed_private: tuple[Network, ...] = ()) -> str | None:
    """Whose a URL is, for comparing two: what a secret was meant for. None for one that may not be called anyway."""
    try:
        return parse_url(url, allowed_private).origin
    except UpstreamForbidden:
        return None


def check_addresses(target: Target, addresses: Iterable[Address], allowed_private: tuple[Network, ...] = ()) -> None:
    """Refuses a target if any of its addresses may not be called: which one is connected to is up to chance, and a
    name with public and other addresses is how the choice is forced. Raises UpstreamForbidden."""
    for address in addresses:
        if any(address in network for network in allowed_private):
            continue
        # Neither message says which address it was: whoever configures names could map our network with it.
        if target.scheme != "https":
            raise _forbidden("http is for allowed private networks only", step="address")
        if not is_public(address):
            raise _forbidden("the host has an address that is not public", step="address")


def is_public(address: Address) -> bool:
    """Whether the Internet at large can be meant by this address, in itself and in what it carries."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise _forbidden("the URL has a user name or password")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _forbidden("the URL's host and port cannot be read")
    port = int(parts[2] or default_port)
    if port > 65535:
        raise _forbidden("the URL's port is larger than 65535")
    return parts[1], port


def _parse_host(text: str, *, allow_local: bool) -> tuple[str, Address | None]:
    try:
        if text.startswith("["):
            # A zone index is refused by its percent sign: it names a network interface of this machine.
            if "%" in text:
                raise _forbidden("the URL's host has a zone index")
            address: Address = ipaddress.IPv6Address(text[1:-1])
            return str(address), address
        labels = [_parse_label(label) for label in text.split(".")]
        if _NUMBER.fullmatch(labels[-1]):
            # Four decimal numbers without leading zeros and nothing else, or it is no address at all.
            address = ipaddress.IPv4Address(".".join(labels))
            return str(address), address
    except ipaddress.AddressValueError:
        raise _forbidden("the URL's host is not a plain spelling of an address") from None
    name = ".".join(labels)
    if len(name) > _LONGEST_NAME:
        raise _forbidden("the URL's host is too long")
    if not allow_local and _LOCAL_NAME.fullmatch(name):
        raise _forbidden("the URL's host is a name for a local network")
    return name, None


def _parse_label(label: str) -> str:
    if label.isascii():
        label = label.lower()
    if not label.isascii() or label.startswith("xn--"):
        # Imported late: its tables cost 400 KiB, and such names are rare.
        import idna  # noqa: PLC0415

        try:
            # IDNA 2008 without any mapping (RFC 5891 section 5): what is not already in its final form is refused.
            label = idna.alabel(label).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise _forbidden("the URL's host is not a valid internationalised name") from None
    elif not _LABEL.fullmatch(label):
        raise _forbidden("the URL's host is not a valid name")
    return label


def _forbidden(detail: str, step: str = "url") -> UpstreamForbidden:
    return UpstreamForbidden(detail=detail, step=step)
