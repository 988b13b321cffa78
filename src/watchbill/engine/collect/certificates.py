"""A certificate authority for a small shop: one CA, the receivers' certificate, one certificate for each sender.

Everything lies in one folder, keys readable by the owner alone: ca.pem and ca.key, server.pem and server.key,
revoked.pem (the CA's revocation list), and issued/SERIAL.pem for what was issued. A sender's key is kept nowhere: it
is handed over once. Who has an authority already names its files under [tls] in watchbill.toml instead.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from watchbill.core.clock import SECOND
from watchbill.core.errors import ConfigError, ConflictError, NotFoundError, Place
from watchbill.engine.collect.positions import replace

_CA_DAYS = 3650
SERVER_DAYS = 397
CLIENT_DAYS = 397
#: Clocks of senders may be behind by so much.
_EARLIER = timedelta(hours=1)
_LONGEST_NAME = 64


class Issued(NamedTuple):
    """A certificate that was issued. Times in UTC nanoseconds; ``fingerprint`` is SHA-256 in hex."""

    name: str
    purpose: str
    serial: str
    fingerprint: str
    expires_at: int
    revoked_at: int | None


class Authority:
    """The certificates in one folder. ``now`` is UTC nanoseconds everywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exists(self) -> bool:
        return (self.folder / "ca.pem").exists()

    def create(self, now: int) -> None:
        """Make the CA and its empty revocation list, unless there is one."""
        if self.exists:
            return
        (self.folder / "issued").mkdir(mode=0o700, parents=True, exist_ok=True)
        key = generate_private_key(SECP256R1())
        name = _named(f"Watchbill receivers {x509.random_serial_number() >> 128:08x}"[:40])
        certificate = (
            _builder(name, name, key, now, _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._write("ca.key", _private(key))
        self._write_list(certificate, key, [], now)
        self._write("ca.pem", certificate.public_bytes(Encoding.PEM))  # last: now it exists

    def server(self, names: Sequence[str], now: int) -> Issued:
        """Make the receivers' own certificate (anew) for these host names and addresses."""
        pem, key, issued = self._issue(names, "server", now, SERVER_DAYS)
        self._write("server.key", key)
        self._write("server.pem", pem)
        return issued

    def client(self, name: str, now: int) -> tuple[bytes, bytes, Issued]:
        """Make a sender's certificate and key (both PEM); the key is not kept."""
        return self._issue([name], "client", now, CLIENT_DAYS)

    def issued(self) -> list[Issued]:
        """What was issued, oldest first."""
        revoked = {entry.serial_number: entry.revocation_date_utc for entry in self._list()} if self.exists else {}
        found = []
        for path in (self.folder / "issued").glob("*.pem"):
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            at = revoked.get(certificate.serial_number)
            found.append((certificate.not_valid_before_utc, _described(certificate, at)))
        return [one for _, one in sorted(found)]

    def revoke(self, which: str, now: int) -> list[Issued]:
        """Revoke all certificates of a name, or one by its serial. Raises NotFoundError, ConflictError."""
        found = [one for one in self.issued() if which in {one.name, one.serial}]
        if not found:
            raise NotFoundError(f"no certificate {which!r} was issued here", mend="see: watchbill receivers list")
        fresh = [one for one in found if one.revoked_at is None]
        if not fresh:
            raise ConflictError(f"{which} is revoked already")
        certificate, key = self._authority()
        entries = list(self._list())
        entries += [
            x509.RevokedCertificateBuilder(serial_number=int(one.serial, 16), revocation_date=_time(now)).build()
            for one in fresh
        ]
        self._write_list(certificate, key, entries, now)
        return fresh

    def _authority(self) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
            key = load_pem_private_key((self.folder / "ca.key").read_bytes(), password=None)
        except (OSError, ValueError) as error:
            mend = "put ca.key back from its safe place, or name your own authority's files under [tls]"
            raise ConfigError(
                f"the authority cannot be read: {error}", place=Place(str(self.folder)), mend=mend
            ) from None
        return certificate, cast("EllipticCurvePrivateKey", key)

    def _issue(self, names: Sequence[str], purpose: str, now: int, days: int) -> tuple[bytes, bytes, Issued]:
        for name in names:
            if not (name.isprintable() and 0 < len(name) <= 253) or "/" in name or " " in name:
                raise ConfigError(f"{name!r} is no name of a host", mend="such as web-01.example.com")
        authority, authority_key = self._authority()
        key = generate_private_key(SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if purpose == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            _builder(_named(names[0][:_LONGEST_NAME]), authority.subject, key, now, days)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        pem = certificate.public_bytes(Encoding.PEM)
        self._write(f"issued/{certificate.serial_number:x}.pem", pem)
        return pem, _private(key), _described(certificate, None)

    def _list(self) -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl((self.folder / "revoked.pem").read_bytes())

    def _write_list(
        self, certificate: x509.Certificate, key: EllipticCurvePrivateKey,
        entries: Sequence[x509.RevokedCertificate], now: int,
    ) -> None:  # fmt: skip
        """Write the list. It is read here alone and renewed with every revocation, so it holds as long as the CA."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(certificate.subject).last_update(_time(now))
        builder = builder.next_update(certificate.not_valid_after_utc)
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        self._write("revoked.pem", builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def _write(self, name: str, content: bytes) -> None:
        replace(self.folder / name, content, durable=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that the owner alone can read. Raises ConflictError when there is one already."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConflictError(f"{path} is there already", mend="move it away, or name another folder") from None
    with os.fdopen(fd, "wb") as handle:
        handle.write(content)


def _time(now: int) -> datetime:
    return datetime.fromtimestamp(now // SECOND, UTC)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: int, days: int
) -> x509.CertificateBuilder:  # fmt: skip
    begin = _time(now)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _EARLIER)
        .not_valid_after(begin + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _private(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _described(certificate: x509.Certificate, revoked: datetime | None) -> Issued:
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return Issued(
        str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
        "server" if ExtendedKeyUsageOID.SERVER_AUTH in usage else "client",
        f"{certificate.serial_number:x}",
        certificate.fingerprint(hashes.SHA256()).hex(),
        round(certificate.not_valid_after_utc.timestamp()) * SECOND,
        round(revoked.timestamp()) * SECOND if revoked else None,
    )
