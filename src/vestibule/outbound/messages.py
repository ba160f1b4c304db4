"""A request on its way out and the answer to it, as values; it must not send or read anything."""

from __future__ import annotations

from dataclasses import dataclass, field

from vestibule.outbound.address_guard import Target
from vestibule.outbound.tls import ClientCertificate


@dataclass(slots=True)
class Call:
    """A request. `headers` are all of its lines; `repeatable` says that it may arrive twice; `began` is
    `clock.elapsed()`; `step` says how far it has come."""

    tenant: str
    method: str
    target: Target
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes | None = field(repr=False)
    connect_timeout: float
    most_bytes: int
    ca_file: str | None
    client_certificate: ClientCertificate | None
    repeatable: bool
    began: float
    ca: str | None = field(default=None, repr=False)
    step: str = "queue"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; header names are in lower case, as often as they came."""

    status: int
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    milliseconds: float

    def header(self, name: str) -> str | None:
        """The value of a header that is there once; None also where it is repeated, and so says nothing clear."""
        values = [value for key, value in self.headers if key == name.lower()]
        return values[0] if len(values) == 1 else None
