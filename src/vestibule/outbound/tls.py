"""Makes the TLS contexts for calls out: TLS 1.2 or newer, certificate and name always verified; it must not connect.

Built without `ssl.create_default_context`, which obeys SSLKEYLOGFILE: the environment shall not decide who can read.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from vestibule.errors import UpstreamFailed

_MOST_CONTEXTS = 64


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What we show to a server that asks who calls (RFC 8446 section 4.4.2): certificate chain and key, both PEM."""

    certificate: str
    key: str = field(repr=False)


_Key = tuple[str | None, int, ClientCertificate | None, str | None]


class TlsContexts:
    """Contexts by what they trust and what they show; `ca_file` is trusted beside the public authorities."""

    def __init__(self, ca_file: str | None = None) -> None:
        self._ca_file = ca_file
        self._contexts: dict[_Key, ssl.SSLContext] = {}
        self._making = asyncio.Lock()

    async def get(
        self, ca_file: str | None, certificate: ClientCertificate | None, ca: str | None = None
    ) -> ssl.SSLContext:
        """`ca_file`, or `ca`, if given, is trusted instead of everything else. Raises UpstreamFailed."""
        try:
            return await self._made((ca_file, _changed(ca_file), certificate, ca))
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise UpstreamFailed(
                detail=f"the CA file or client certificate cannot be used: {type(error).__name__}", step="certificate"
            ) from None

    async def _made(self, key: _Key) -> ssl.SSLContext:
        context = self._contexts.get(key)
        if context is not None:
            return context
        async with self._making:
            context = self._contexts.get(key)
            if context is None:
                # In a thread: reading the authorities takes some 20 ms.
                context = self._contexts[key] = await asyncio.to_thread(self._make, key[0], key[2], key[3])
                if len(self._contexts) > _MOST_CONTEXTS:
                    del self._contexts[next(iter(self._contexts))]
            return context

    def _make(self, ca_file: str | None, certificate: ClientCertificate | None, ca: str | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if ca_file:
            context.load_verify_locations(ca_file)
        elif ca:
            context.load_verify_locations(cadata=ca)
        else:
            import certifi  # noqa: PLC0415 - with the rest of the HTTP client, by the first call

            context.load_verify_locations(certifi.where())
            if self._ca_file:
                context.load_verify_locations(self._ca_file)
        if certificate:
            _load(context, certificate)
        return context


def _changed(ca_file: str | None) -> int:
    """The file's time is part of the key: a renewed authority counts from the next call on."""
    return Path(ca_file).stat().st_mtime_ns if ca_file else 0


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    # Python gives OpenSSL nothing but files; where the system can do that, this one never reaches a disk.
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("certificate"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(f"{certificate.certificate.strip()}\n{certificate.key.strip()}\n".encode("ascii"))
        file.flush()
        # Without a password a key that has one would be asked for on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}" if in_memory else str(file.name), password="")
