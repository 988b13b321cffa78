"""Time stamps of checkpoints by an authority (RFC 3161; CMS as RFC 5652 and RFC 5816 have it there).

A token proves that a checkpoint existed at a time. What is stamped is the SHA-256 of the checkpoint's text (its first
lines up to the empty one, as they are signed), so that signatures which come later change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import new as new_hash
from hashlib import sha256
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from watchbill.ledger import der
from watchbill.ledger.der import Item
from watchbill.ledger.note import signature_lines

_SHA256 = "2.16.840.1.101.3.4.2.1"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    _SHA256: hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
#: Signature algorithms that name their hash themselves.
_BOUND = {
    "1.2.840.113549.1.1.11": _SHA256,
    "1.2.840.113549.1.1.12": "2.16.840.1.101.3.4.2.2",
    "1.2.840.113549.1.1.13": "2.16.840.1.101.3.4.2.3",
    "1.2.840.10045.4.3.2": _SHA256,
    "1.2.840.10045.4.3.3": "2.16.840.1.101.3.4.2.2",
    "1.2.840.10045.4.3.4": "2.16.840.1.101.3.4.2.3",
}
_RSA, _PSS, _EC, _ED25519 = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.10045.2.1", "1.3.101.112"
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE, _SIGNING_CERTIFICATE_2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_DER = Encoding.DER
_LONGEST_CHAIN = 8
LONGEST_TOKEN = 128 << 10

#: What is wrong with a token that cannot even be taken apart.
_MALFORMED = (ValueError, IndexError, UnicodeDecodeError, OverflowError)


class Stamp(NamedTuple):
    """What a token says: the digest, the time (UTC nanoseconds), the nonce if any, its serial number, its policy."""

    digest: bytes
    at: int
    nonce: int | None
    serial: int
    policy: str


def imprint(note: str) -> bytes:
    """Return what is stamped of a signed note: the SHA-256 of its text. Raises ValueError."""
    return sha256(signature_lines(note)[0].encode()).digest()


def request(digest: bytes, nonce: int) -> bytes:
    """Return the request (TimeStampReq) for a SHA-256; the authority is asked for its certificates."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(_SHA256), der.encode(der.NULL))
    message = der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, digest))
    certificates = der.encode(der.BOOLEAN, b"\xff")
    return der.encode(der.SEQUENCE, der.encode_integer(1), message, der.encode_integer(nonce), certificates)


def open_response(response: bytes, digest: bytes, nonce: int) -> bytes:
    """Return the token in an authority's answer, if it is for this request. Raises ValueError."""
    try:
        status, *token = der.parse(response).expect(der.SEQUENCE).items()
        code = status.expect(der.SEQUENCE).items()[0].integer()
        if code not in {0, 1} or len(token) != 1:
            raise ValueError(f"the authority refused with status {code}{_words(status)}")
        said = read(token[0].whole)
    except _MALFORMED as error:
        raise ValueError(f"the answer gives no time stamp: {error}") from error
    if said.digest != digest or said.nonce != nonce:
        raise ValueError("the time stamp is for another request")
    return token[0].whole


def _words(status: Item) -> str:
    """Return what an authority says of its refusal."""
    texts = [
        text.content.decode("utf-8", "replace")
        for item in status.items()[1:]
        if item.tag == der.SEQUENCE
        for text in item.items()
    ]
    return f": {' '.join(texts)[:200]}" if texts else ""


def read(token: bytes) -> Stamp:
    """Read a token without judging its signature. Raises ValueError."""
    return _Token.parse(token).stamp


def verify(token: bytes, digest: bytes, roots: Sequence[x509.Certificate]) -> Stamp:
    """Return what a token says, having checked it: for this digest, signed, by a certificate for time stamps that
    leads to one of the roots and was valid at that time. Raises ValueError.
    """
    if len(token) > LONGEST_TOKEN:
        raise ValueError("this token is too long")
    try:
        parsed = _Token.parse(token)
    except _MALFORMED as error:
        raise ValueError(f"the time stamp cannot be read: {error}") from error
    if parsed.stamp.digest != digest:
        raise ValueError("the time stamp is for another checkpoint")
    try:
        parsed.check_signature()
        _check_chain(parsed.signer, [*parsed.certificates, *roots], roots, parsed.stamp.at)
    except (InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound, TypeError, *_MALFORMED) as error:
        raise ValueError(f"the time stamp is not to be trusted: {type(error).__name__} {error}") from error
    return parsed.stamp


class _Token(NamedTuple):
    """A token taken apart: RFC 5652, section 5, with exactly one signer."""

    stamp: Stamp
    content: bytes
    certificates: list[x509.Certificate]
    signer: x509.Certificate
    attributes: Item
    digest_algorithm: str
    signature_algorithm: Item
    signature: bytes

    @classmethod
    def parse(cls, token: bytes) -> _Token:
        """Raises ValueError and IndexError."""
        kind, body = der.parse(token).expect(der.SEQUENCE).items()
        if kind.oid() != _SIGNED_DATA:
            raise ValueError("this is no signed data")
        (signed,) = body.expect(0xA0).items()
        _, _, wrapped, *rest = signed.expect(der.SEQUENCE).items()
        content_type, inner = wrapped.expect(der.SEQUENCE).items()
        if content_type.oid() != _TST_INFO:
            raise ValueError("this is no time stamp")
        content = inner.expect(0xA0).items()[0].expect(der.OCTET_STRING).content
        certificates = [
            x509.load_der_x509_certificate(one.whole)
            for item in rest if item.tag == 0xA0
            for one in item.items() if one.tag == der.SEQUENCE
        ]  # fmt: skip
        (signer,) = rest[-1].expect(der.SET).items()
        _, who, digest, attributes, algorithm, signature, *_ = signer.expect(der.SEQUENCE).items()
        return cls(
            _stamp(content), content, certificates, _named(who, certificates), attributes.expect(0xA0),
            digest.items()[0].oid(), algorithm, signature.expect(der.OCTET_STRING).content,
        )  # fmt: skip

    def check_signature(self) -> None:
        """Check the signed attributes and the signature over them. Raises ValueError, InvalidSignature."""
        signed: dict[str, Item] = {}
        for attribute in self.attributes.items():
            name, values = attribute.expect(der.SEQUENCE).items()
            if name.oid() in signed:
                raise ValueError("a signed attribute is there twice")
            signed[name.oid()] = values.expect(der.SET).items()[0]
        digest = (
            new_hash(_HASHES[self.digest_algorithm].name, self.content).digest()
            if self.digest_algorithm in _HASHES
            else b""
        )
        if signed.get(_CONTENT_TYPE) is None or signed[_CONTENT_TYPE].oid() != _TST_INFO:
            raise ValueError("the signed attributes name no time stamp")
        if signed.get(_MESSAGE_DIGEST) is None or signed[_MESSAGE_DIGEST].expect(der.OCTET_STRING).content != digest:
            raise ValueError("the signed digest is not that of the time stamp")
        self._check_certificate_named(signed)
        message = bytes([der.SET]) + self.attributes.whole[1:]
        _check(self.signer.public_key(), self.signature, message, self.signature_algorithm, self.digest_algorithm)

    def _check_certificate_named(self, signed: dict[str, Item]) -> None:
        """The signature binds the certificate: RFC 2634 (SHA-1 of it) or RFC 5035 (SHA-256 unless it says another)."""
        raw = self.signer.public_bytes(_DER)
        if (found := signed.get(_SIGNING_CERTIFICATE_2)) is not None:
            first = found.expect(der.SEQUENCE).items()[0].items()[0].items()
            name = first[0].items()[0].oid() if first[0].tag == der.SEQUENCE else _SHA256
            digest = first[0 if first[0].tag == der.OCTET_STRING else 1].expect(der.OCTET_STRING).content
            good = name in _HASHES and digest == new_hash(_HASHES[name].name, raw).digest()
        elif (found := signed.get(_SIGNING_CERTIFICATE)) is not None:
            digest = found.expect(der.SEQUENCE).items()[0].items()[0].items()[0].expect(der.OCTET_STRING).content
            good = digest == new_hash("sha1", raw, usedforsecurity=False).digest()
        else:
            raise ValueError("the signature names no certificate")
        if not good:
            raise ValueError("the signature names another certificate")


def _stamp(content: bytes) -> Stamp:
    """Read a TSTInfo (RFC 3161, section 2.4.2)."""
    version, policy, message, serial, time, *rest = der.parse(content).expect(der.SEQUENCE).items()
    algorithm, digest = message.expect(der.SEQUENCE).items()
    if version.integer() != 1 or algorithm.items()[0].oid() != _SHA256:
        raise ValueError("this time stamp is of a version or hash that is not known")
    nonces = [item.integer() for item in rest if item.tag == der.INTEGER]
    return Stamp(
        digest.expect(der.OCTET_STRING).content, _time(time.expect(der.GENERALIZED_TIME).content.decode("ascii")),
        nonces[0] if nonces else None, serial.integer(), policy.oid(),
    )  # fmt: skip


def _time(text: str) -> int:
    """Return a GeneralizedTime in nanoseconds: UTC, to the second, with a fraction if any."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or len(whole) != 14 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(f"{text!r} is no time of a time stamp")
    at = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))


def _named(who: Item, certificates: Iterable[x509.Certificate]) -> x509.Certificate:
    """Return the certificate of the signer: by issuer and serial number, or by its key's identifier."""
    for one in certificates:
        if who.tag == der.SEQUENCE:
            issuer, serial = who.items()
            if one.issuer.public_bytes() == issuer.whole and one.serial_number == serial.integer():
                return one
        elif who.tag == 0x80:
            known = one.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            if known == who.content:
                return one
    raise ValueError("the signer's certificate is not in the token")


def _check(key: object, signature: bytes, message: bytes, algorithm: Item, digest: str) -> None:
    """Check a signature by the algorithm that the token names. Raises InvalidSignature, ValueError."""
    name = algorithm.items()[0].oid()
    hashed = _BOUND.get(name, digest)
    if hashed not in _HASHES:
        raise ValueError(f"hash {hashed} is not trusted")
    chosen = _HASHES[hashed]
    if isinstance(key, rsa.RSAPublicKey) and name == _PSS:
        key.verify(signature, message, padding.PSS(padding.MGF1(chosen), padding.PSS.AUTO), chosen)
    elif isinstance(key, rsa.RSAPublicKey) and (name == _RSA or name in _BOUND):
        if key.key_size < 2048:
            raise ValueError("the signer's RSA key is too short")
        key.verify(signature, message, padding.PKCS1v15(), chosen)
    elif isinstance(key, ec.EllipticCurvePublicKey) and (name == _EC or name in _BOUND):
        key.verify(signature, message, ec.ECDSA(chosen))
    elif isinstance(key, ed25519.Ed25519PublicKey) and name == _ED25519:
        key.verify(signature, message)
    else:
        raise ValueError(f"signature algorithm {name} is not known")


def _check_chain(
    signer: x509.Certificate, known: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: int
) -> None:
    """Follow issuers from the signer up to a root. Raises ValueError.

    The signer's certificate must be for time stamps and nothing else, and say so critically (RFC 3161, section 2.3).
    """
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    if list(usage.value) != [x509.oid.ExtendedKeyUsageOID.TIME_STAMPING] or not usage.critical:
        raise ValueError("the signer's certificate is not one for time stamps alone")
    moment = datetime.fromtimestamp(at // 1_000_000_000, UTC)
    here, trusted = signer, {root.public_bytes(_DER) for root in roots}
    for depth in range(_LONGEST_CHAIN):
        if not here.not_valid_before_utc <= moment <= here.not_valid_after_utc:
            raise ValueError(f"the certificate {here.subject.rfc4514_string()} was not valid then")
        if here.public_bytes(_DER) in trusted:
            return
        above = next((one for one in known if _issued(one, here, depth)), None)
        if above is None:
            break
        here = above
    raise ValueError("its certificate leads to none of the roots that you gave")


def _issued(issuer: x509.Certificate, subject: x509.Certificate, depth: int) -> bool:
    """Tell whether one certificate, an authority's, signed the other."""
    if issuer.subject != subject.issuer or issuer == subject:
        return False
    try:
        limits = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not limits.ca or (limits.path_length is not None and limits.path_length < depth):
            return False
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.key_cert_sign:
            return False
    except x509.ExtensionNotFound as error:
        if error.oid != x509.oid.ExtensionOID.KEY_USAGE:
            return False
    try:
        subject.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
