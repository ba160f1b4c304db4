"""Certificates the outbound client believes and shows."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.fixtures.outbound_peers import CANARY, NAME, OK, calling, resolving, saying, serving
from vestibule.errors import (
    UpstreamFailed,
    UpstreamTimeout,
)
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


@dataclass
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: str

    def server(self, *names: str, expired: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made = self.make(*names, expired=expired, self_signed=self_signed)
        path = self.folder / "server.pem"
        path.write_text(made.certificate + made.key)
        context.load_cert_chain(path)
        return context

    def make(self, *names: str, expired: bool = False, self_signed: bool = False) -> ClientCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names[0])
        certificate = (
            _builder(subject, subject if self_signed else self.certificate.subject, key, expired=expired)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .sign(key if self_signed else self.key, hashes.SHA256())
        )
        return ClientCertificate(_pem(certificate), _key_pem(key, serialization.NoEncryption()))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * day)
        .not_valid_after(now - day if expired else now + day)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("test authority"), _name("test authority"), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "authority.pem"
    file.write_text(_pem(certificate))
    return Authority(folder, key, certificate, str(file))


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
        other.write_text(_pem(authority.certificate))
        os.utime(other, ns=(1, 1))
        assert (await ask(url, ca_file=str(other))).status == 200


async def test_an_authority_may_be_given_as_text(authority: Authority) -> None:
    async with (
        serving(saying(OK), tls=authority.server(NAME)) as server,
        calling(resolve=resolving("127.0.0.1")) as ask,
    ):
        url = server.url(NAME, "https")
        assert (await ask(url, ca=_pem(authority.certificate))).status == 200
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
    locked = _key_pem(key, serialization.BestAvailableEncryption(b"secret"))
    async with calling() as ask:
        for certificate in (
            ClientCertificate("", ""),
            ClientCertificate(good.certificate, locked),
            ClientCertificate(good.certificate, _key_pem(key, serialization.NoEncryption())),
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
