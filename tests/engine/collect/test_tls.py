"""Syslog over TLS: who may send, and what happens to those who may not."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import warnings

import orjson
import pytest

from watchbill.core.clock import DAY, SystemClock
from watchbill.core.errors import ConfigError
from watchbill.engine.collect import SyslogTcp, Tls, TlsFiles, listener, streams
from watchbill.engine.collect.certificates import CLIENT_DAYS, Authority

NOW = SystemClock().now()


@pytest.fixture
def authority(tmp_path):
    made = Authority(tmp_path / "keys")
    made.create(NOW)
    made.server(["127.0.0.1", "localhost"], NOW)
    return made


def files(authority, **more):
    folder = authority.folder
    return TlsFiles(
        folder / "server.pem", folder / "server.key", folder / "ca.pem", folder / "revoked.pem", **more
    )  # fmt: skip


def credentials(authority, name, folder, now=NOW):
    """A client's certificate and key as files; returns a context that trusts the server and shows them."""
    certificate, key, _ = authority.client(name, now)
    path = folder / f"{name}-{now}.pem"
    path.write_bytes(certificate + key)
    context = ssl.create_default_context(cafile=authority.folder / "ca.pem")
    context.load_cert_chain(path)
    return context


async def listening(here, authority, **more):
    server = SyslogTcp(here.sink, here.origins, "127.0.0.1", 0, tls=Tls(files(authority, **more)))
    await server.start()
    return server


async def send(server, context, data):
    """Send and say goodbye."""
    _, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="127.0.0.1")
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def send_in_vain(server, context, data):
    """Send, and wait until the server ends it. With TLS 1.3 that comes after the client's part of the handshake."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="127.0.0.1")
        writer.write(data)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        await writer.wait_closed()


def refusals(here):
    notes = map(orjson.loads, here.stored("internal"))
    return [note["detail"]["reason"] for note in notes if note["event"] == "source.refused"]


def test_the_certificate_is_the_source(collecting, authority, tmp_path):
    """What the line says of its host does not decide whose record it is; the certificate does."""

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            context = credentials(authority, "web-01.example.com", tmp_path)
            await send(server, context, b"<13>Mar  4 10:00:00 another-host app: one\n7 <13>two")
            await here.until(lambda: len(here.stored()) == 2)
            facts = here.reader.source(1)
            assert (facts.name, facts.transport) == ("syslog-tls:web-01.example.com", "syslog-tls")
            assert facts.facts["certificate"] == authority.issued()[-1].fingerprint
            await server.stop()

    asyncio.run(story())


def test_a_renewed_certificate_is_the_same_source(collecting, authority, tmp_path):
    """The name stays, so the source stays; the ledger learns the new fingerprint."""

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            for count in (1, 2):
                context = credentials(authority, "web-01", tmp_path, NOW + count)
                await send(server, context, b"<13>line\n")
                await here.until(lambda count=count: len(here.stored()) == count)
            assert len(here.reader.sources()) == 1
            registrations = [record.raw for record in here.reader.read(0, 100) if not record.source]
            assert len(registrations) == 2
            await server.stop()

    asyncio.run(story())


def _old(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _null():
    context = _old(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("NULL:eNULL:@SECLEVEL=0")
    return context


def _without(authority):
    return ssl.create_default_context(cafile=authority.folder / "ca.pem")


def _stranger(authority, tmp_path):
    other = Authority(tmp_path / "other")
    other.create(NOW)
    context = credentials(other, "web-01", tmp_path)
    context.load_verify_locations(authority.folder / "ca.pem")
    return context


def _revoked(authority, tmp_path):
    context = credentials(authority, "stolen", tmp_path)
    authority.revoke("stolen", NOW)
    return context


REFUSED = {
    "TLS 1.0": (lambda *_: _old(ssl.TLSVersion.TLSv1), "protocol"),
    "TLS 1.1": (lambda *_: _old(ssl.TLSVersion.TLSv1_1), "protocol"),
    "null cipher": (lambda *_: _null(), "no shared cipher"),
    "no certificate": (lambda a, _: _without(a), "did not return a certificate"),
    "wrong authority": (_stranger, "certificate refused"),
    "expired": (lambda a, t: credentials(a, "old", t, NOW - (CLIENT_DAYS + 1) * DAY), "expired"),
    "not yet valid": (lambda a, t: credentials(a, "early", t, NOW + 2 * DAY), "not yet valid"),
    "revoked": (_revoked, "revoked"),
    "server certificate": (lambda a, _: _server_as_client(a), "certificate refused"),
}  # fmt: skip


def _server_as_client(authority):
    context = _without(authority)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    return context


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_refused_is_told_of(collecting, authority, tmp_path, case):
    """Nothing of such a peer is stored, and an internal event tells why it was refused."""
    make, reason = REFUSED[case]
    context = make(authority, tmp_path)

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            await send_in_vain(server, context, b"<13>evil\n")
            await here.until(lambda: refusals(here))
            assert reason in refusals(here)[0]
            assert not here.stored()
            note = orjson.loads(here.stored("internal")[0])
            assert note["detail"]["address"] == "127.0.0.1"
            await server.stop()

    asyncio.run(story())


def test_only_names_that_may_send(collecting, authority, tmp_path):
    """Patterns of names narrow down whose certificates are taken."""

    async def story():
        async with collecting() as here:
            server = await listening(here, authority, names=("web-*",))
            await send_in_vain(server, credentials(authority, "db-01", tmp_path), b"<13>db\n")
            await send(server, credentials(authority, "web-01", tmp_path), b"<13>web\n")
            await here.until(lambda: here.stored() == [b"<13>web"])
            assert refusals(here) == ["db-01 is none of the names that may send"]
            await server.stop()

    asyncio.run(story())


def test_a_flood_of_refusals_is_told_in_few_events(collecting, authority, monkeypatch):
    """Beyond a number each minute, refusals are counted and the count is told."""
    monkeypatch.setattr(listener, "TOLD_EACH_MINUTE", 3)

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            context = _without(authority)
            for _ in range(8):
                await send_in_vain(server, context, b"<13>no\n")
            await here.until(lambda: server.listener.refusals.count == 8 and len(refusals(here)) == 3)
            monkeypatch.setattr(listener, "_MINUTE", 0.0)
            server.listener.refusals.flush()
            await here.until(lambda: "5 more" in refusals(here)[-1])
            await server.stop()

    asyncio.run(story())


def test_certificates_change_without_a_restart(collecting, authority, tmp_path, monkeypatch):
    """A new server certificate is shown at once, a revoked peer is sent away, a broken file changes nothing."""
    monkeypatch.setattr(streams, "UNFINISHED_LIMIT", 0.6)

    async def shown(server, context):
        _, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="127.0.0.1")
        serial = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        writer.close()
        return serial

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            sweep = asyncio.create_task(server.run())
            context = credentials(authority, "web-01", tmp_path)
            before = await shown(server, context)
            authority.server(["127.0.0.1"], NOW)
            after = await shown(server, context)
            assert before != after
            reader, writer = await asyncio.open_connection(*server.address, ssl=context, server_hostname="127.0.0.1")
            writer.write(b"<13>before\n")
            await here.until(lambda: here.stored() == [b"<13>before"])
            (authority.folder / "server.pem").write_text("broken")
            assert await shown(server, context) == after
            assert "cannot be used" in server.listener.tls.trouble
            authority.server(["127.0.0.1"], NOW)
            authority.revoke("web-01", NOW)
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
            sweep.cancel()
            await server.stop()

    asyncio.run(story())


def test_a_handshake_that_never_ends(collecting, authority, monkeypatch):
    """A peer that says nothing, or half a hello, is sent away in time; others come in meanwhile."""
    monkeypatch.setattr(listener, "HANDSHAKE_LIMIT", 0.5)

    async def story():
        async with collecting() as here:
            server = await listening(here, authority)
            silent = [await asyncio.open_connection(*server.address) for _ in range(20)]
            for _, writer in silent[:10]:
                writer.write(b"\x16\x03\x01\x02\x00\x01")
            for reader, _ in silent:
                with contextlib.suppress(ConnectionResetError):
                    await asyncio.wait_for(reader.read(), 60)
            await here.until(lambda: len(refusals(here)) == 20)
            assert "not done within" in refusals(here)[0]
            for _, writer in silent:
                writer.close()
            await server.stop()

    asyncio.run(story())


def test_without_certificates_it_does_not_start(tmp_path):
    """The error names the file that is missing and how to make it."""
    with pytest.raises(ConfigError, match="watchbill receivers cert") as caught:
        Tls(TlsFiles(tmp_path / "server.pem", tmp_path / "server.key")).context()
    assert str(tmp_path / "server.pem") in str(caught.value)


def test_keys_are_for_the_owner_alone(authority):
    """Nothing in the folder can be read by others, and a sender's key is not kept."""
    authority.client("web-01", NOW)
    kept = [path for path in authority.folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
    assert sorted(path.name for path in kept if b"PRIVATE" in path.read_bytes()) == ["ca.key", "server.key"]


def test_openssl_agrees(authority, tmp_path):
    """The command line of OpenSSL verifies the chain and the revocation list."""
    import subprocess

    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    certificate, _, _ = authority.client("web-01", NOW)
    path = tmp_path / "web.pem"
    path.write_bytes(certificate)
    folder = authority.folder
    verify = [program, "verify", "-CAfile", folder / "ca.pem", "-CRLfile", folder / "revoked.pem", "-crl_check", "-x509_strict", "-purpose", "sslclient", path]  # fmt: skip
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    authority.revoke("web-01", NOW)
    refused = subprocess.run(verify, capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"revoked" in refused.stderr
