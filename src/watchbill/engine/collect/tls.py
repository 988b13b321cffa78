"""TLS for receivers: who we are, whom we trust, who a peer is. Files are read anew when they change.

TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only, after RFC 9325 and RFC 9662 (which brings the
ciphers of syslog over TLS, RFC 5425, up to date).
"""

from __future__ import annotations

import asyncio.sslproto
import logging
import ssl
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from watchbill.core.clock import SECOND
from watchbill.core.errors import ConfigError, Place

if TYPE_CHECKING:  # reading certificates costs memory that a receiver without TLS need not have
    from cryptography.x509 import Certificate

log = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_MEND = 'make them with "watchbill receivers cert", or name PEM files under [tls] in watchbill.toml'
_SOON = 30 * 86_400
#: asyncio keeps a buffer of 256 KiB for every TLS connection; for thousands of idle peers a TLS record's size has to do.
_BUFFER = 16 << 10


class TlsFiles(NamedTuple):
    """PEM files. ``client_ca`` None: peers need no certificate; ``names`` are patterns, none: every name."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_crl: Path | None = None
    names: tuple[str, ...] = ()


class Identity(NamedTuple):
    """Who a peer is by its certificate. ``fingerprint`` is SHA-256 in hex."""

    name: str
    fingerprint: str
    issuer: bytes
    serial: int

    @classmethod
    def of(cls, der: bytes) -> Self:
        """Read a certificate that was verified: its first DNS name, else its common name. Raises ValueError."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        certificate = x509.load_der_x509_certificate(der)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        return cls(_name(certificate) or fingerprint, fingerprint, certificate.issuer.public_bytes(),
                   certificate.serial_number)  # fmt: skip


def _name(certificate: Certificate) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        found = []
    if not found:
        found = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    name = found[0][:253] if found else ""
    return name if name.isprintable() else ""


class Tls:
    """A TLS context that follows its files. Half-written or wrong files leave the old one in force, and say so."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        #: What is wrong with the files as they are now, or soon will be ("" when nothing is).
        self.trouble = ""
        self._context: ssl.SSLContext | None = None
        self._revoked: frozenset[tuple[bytes, int]] = frozenset()
        self._seen: Sequence[object] = ()
        asyncio.sslproto.SSLProtocol.max_size = _BUFFER

    def context(self) -> ssl.SSLContext:
        """The context for the next connection. Raises ConfigError while there has never been a good one."""
        seen = [_stamp(path) for path in self._paths()]
        if self._context is None or seen != self._seen:
            try:
                self._read()
            except (OSError, ValueError, ConfigError) as error:
                told = error if isinstance(error, ConfigError) else self._refusal(error)
                if self._context is None:
                    raise told from None
                if self.trouble != str(told):
                    log.error("TLS goes on with the certificates as they were: %s", told)  # noqa: TRY400
                self.trouble = str(told)
            self._seen = seen
        if self._context is None:
            raise ConfigError("there is no TLS context", mend=_MEND)
        return self._context

    def is_revoked(self, identity: Identity) -> bool:
        return (identity.issuer, identity.serial) in self._revoked

    def may(self, identity: Identity) -> bool:
        """Whether this name may send."""
        return not self.files.names or any(fnmatchcase(identity.name, pattern) for pattern in self.files.names)

    def _paths(self) -> list[Path]:
        files = self.files
        return [path for path in (files.certificate, files.key, files.client_ca, files.client_crl) if path]

    def _read(self) -> None:
        from cryptography import x509

        files = self.files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_SINGLE_ECDH_USE
        context.load_cert_chain(files.certificate, files.key)
        revoked: set[tuple[bytes, int]] = set()
        if files.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(files.client_ca)
            if files.client_crl and files.client_crl.exists():
                context.load_verify_locations(files.client_crl)
                context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
                revoked = _revoked(files.client_crl)
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        left = certificate.not_valid_after_utc.timestamp() - time.time_ns() / SECOND
        self.trouble = ""
        if left < _SOON:
            when = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            self.trouble = f"the certificate {files.certificate} {'has ended' if left < 0 else 'ends'} on {when}"
            log.warning("%s; renew it with: watchbill receivers cert", self.trouble)
        self._context, self._revoked = context, frozenset(revoked)

    def _refusal(self, error: Exception) -> ConfigError:
        missing = next((path for path in self._paths() if path != self.files.client_crl and not path.exists()), None)
        what = "there is no such file" if missing else f"the certificates cannot be used: {error}"
        return ConfigError(what, place=Place(str(missing or self.files.certificate)), mend=_MEND, retry=True)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _revoked(path: Path) -> set[tuple[bytes, int]]:
    """Read a file of revocation lists. Raises OSError and ValueError."""
    from cryptography import x509

    end = b"-----END X509 CRL-----"
    lists = [x509.load_pem_x509_crl(part + end) for part in path.read_bytes().split(end)[:-1]]
    return {(one.issuer.public_bytes(), entry.serial_number) for one in lists for entry in one}
