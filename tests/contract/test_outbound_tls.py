"""Certificates the outbound client believes and shows."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fixtures.authority import Authority, key_pem, pem
from tests.fixtures.outbound_peers import CANARY, NAME, OK, calling, resolving, saying, serving
from vestibule.errors import UpstreamFailed, UpstreamTimeout
from vestibule.outbound.client import ClientCertificate
from vestibule.outbound.tls import TlsContexts


async def test_works_on_uvloop_with_tls_and_kept_connections(authority: Authority) -> None:
    async def story() -> tuple[int, int]:
        async with (
            serving(saying(OK, keep=True), tls=authority.server(NAME)) as server,
            calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
        ):
            url = server.url(NAME, "https")
            statuses = {(await ask(url)).status for _ in range(3)}
            assert statuses == {200}
            with pytest.raises(UpstreamFailed):
                await ask(server.url("other.example", "https"))
            async with serving(saying(*(bytes([byte]) for byte in OK), delay=0.02)) as slow:
                with pytest.raises(UpstreamTimeout):
                    await ask(slow.url(), timeout=0.2)
            return server.connections, server.requests

    def run() -> tuple[int, int]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(story())

    # A connection whose handshake failed never becomes one for the server.
    assert await asyncio.to_thread(run) == (1, 3)


@pytest.mark.parametrize("host", [NAME, "127.0.0.1", "[::1]", "bücher.example"])
async def test_verifies_the_certificate_for_name_or_address(authority: Authority, host: str) -> None:
    context = authority.server(NAME, "127.0.0.1", "::1", "xn--bcher-kva.example")
    shown: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: shown.append(name)
    address = "::1" if host == "[::1]" else "127.0.0.1"
    async with (
        serving(saying(OK), host=address, tls=context) as server,
        calling(ca_file=authority.file, resolve=resolving(address)) as ask,
    ):
        assert (await ask(server.url(host, "https"))).status == 200
    assert shown == [{NAME: NAME, "bücher.example": "xn--bcher-kva.example"}.get(host)]


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (["other.example"], {}),  # BEH-23
        (["127.0.0.1"], {}),
        ([NAME], {"self_signed": True}),  # BEH-25
        ([NAME], {"expired": True}),
    ],
    ids=["another name", "its address only", "self-signed", "expired"],
)
async def test_refuses_a_certificate(authority: Authority, names: list[str], how: dict[str, bool]) -> None:
    async with (
        serving(saying(OK), tls=authority.server(*names, **how)) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        with pytest.raises(UpstreamFailed) as failed:
            await ask(server.url(NAME, "https"), headers={"Authorization": CANARY})
        assert (failed.value.step, server.requests) == ("tls", 0)
        assert "certificate" in failed.value.detail


async def test_an_authority_nobody_named_is_not_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    log = authority.folder / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    async with (
        serving(saying(OK), tls=authority.server(NAME)) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        with pytest.raises(UpstreamFailed):
            await ask(server.url(NAME, "https"))
        assert (await ask(server.url(NAME, "https"), ca_file=authority.file)).status == 200
        assert (server.requests, log.exists()) == (1, False)


async def test_an_authority_for_one_call_replaces_the_others(authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(authority.make(NAME, self_signed=True).certificate)
    async with (
        serving(saying(OK, keep=True), tls=authority.server(NAME)) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url)).status == 200
        # Not over the connection that is kept, either: it was made under other terms.
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca_file=str(other))
        assert failed.value.step == "tls"
        other.write_text(pem(authority.certificate))
        os.utime(other, ns=(1, 1))
        assert (await ask(url, ca_file=str(other))).status == 200


async def test_an_authority_may_be_given_as_text(authority: Authority) -> None:
    async with (
        serving(saying(OK), tls=authority.server(NAME)) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url, ca=pem(authority.certificate))).status == 200
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca=authority.make(NAME, self_signed=True).certificate)
        assert failed.value.step == "tls"
        with pytest.raises(UpstreamFailed) as failed:
            await ask(url, ca="-----BEGIN CERTIFICATE-----\nnone")
        assert failed.value.step == "certificate"


async def test_shows_a_client_certificate_where_one_is_given(authority: Authority) -> None:
    context = authority.server(NAME)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    certificate = authority.make("client.example")
    assert "PRIVATE" not in repr(certificate)
    async with (
        serving(saying(OK, keep=True), tls=context) as server,
        calling(ca_file=authority.file, resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url, client_certificate=certificate)).status == 200
        with pytest.raises(UpstreamFailed):
            await ask(url)
        assert server.requests == 1


async def test_a_client_certificate_that_cannot_be_used_is_a_failure(authority: Authority) -> None:
    good = authority.make("client.example")
    key = ec.generate_private_key(ec.SECP256R1())
    locked = key_pem(key, serialization.BestAvailableEncryption(b"secret"))
    async with calling() as ask:
        for certificate in (
            ClientCertificate("", ""),
            ClientCertificate(good.certificate, locked),
            ClientCertificate(good.certificate, key_pem(key, serialization.NoEncryption())),
            ClientCertificate(good.certificate, "é"),
        ):
            with pytest.raises(UpstreamFailed) as failed:
                await ask("https://127.0.0.1:1/", client_certificate=certificate)
            assert failed.value.step == "certificate"
        with pytest.raises(UpstreamFailed):
            await ask("https://127.0.0.1:1/", ca_file="/nowhere.pem")


async def test_tls_is_1_2_at_least_and_always_verified() -> None:
    context = await TlsContexts().get(None, None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
