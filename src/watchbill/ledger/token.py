"""The log's key in a hardware token, by PKCS #11. Wants the extra ``pkcs11`` (python-pkcs11); verifying never does.

keys/log.token says where the key is: ``module`` (the library's path), ``token`` and ``key`` (their labels) and
``pin_file`` (a file that the owner alone can read). The key is Ed25519 (CKM_EDDSA) and never leaves the token.
"""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchbill.core.errors import LedgerError, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS = {"module", "token", "key", "pin_file"}
_ED25519 = "1.3.101.112"
_PUBLIC_SIZE = 32


class TokenKey:
    """An Ed25519 key in a token. Signing opens the session again if the token was away. Thread-safe."""

    def __init__(self, place: dict[str, str], name: str) -> None:
        self._place, self._name = place, name
        self._lock = threading.Lock()
        self._session: Any = None
        self._public = self._read_public()

    def public_key(self) -> Ed25519PublicKey:
        return self._public

    def sign(self, data: bytes, /) -> bytes:
        """Sign in the token. Raises LedgerError (``retry``) if it cannot."""
        import pkcs11

        with self._lock:
            for again in (True, False):
                try:
                    key = self._open().get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=self._place["key"])
                    return bytes(key.sign(data, mechanism=pkcs11.Mechanism.EDDSA))
                except pkcs11.PKCS11Error as error:
                    self._close()
                    if not again:
                        raise self._trouble(error) from error
        raise AssertionError

    def _read_public(self) -> Ed25519PublicKey:
        import pkcs11

        try:
            key = self._open().get_key(pkcs11.ObjectClass.PUBLIC_KEY, label=self._place["key"])
            point = bytes(key[pkcs11.Attribute.EC_POINT])
        except pkcs11.PKCS11Error as error:
            raise self._trouble(error) from error
        if len(point) not in {
            _PUBLIC_SIZE,
            _PUBLIC_SIZE + 2,
        }:  # raw, or as the DER OCTET STRING that the standard wants
            raise LedgerError("the key in the token is no Ed25519 key", place=Place(self._name))
        return Ed25519PublicKey.from_public_bytes(point[-_PUBLIC_SIZE:])

    def _open(self) -> Any:
        if self._session is None:
            self._session = _session(self._place, self._name)
        return self._session

    def _close(self) -> None:
        import pkcs11

        if self._session is not None:
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._session.close()
            self._session = None

    def _trouble(self, error: Exception) -> LedgerError:
        what = f"the hardware token does not answer: {type(error).__name__} {error}".rstrip()
        mend = "plug it in, and check the labels and the PIN file; nothing is lost, signing is tried again"
        return LedgerError(what, place=Place(self._name), mend=mend, retry=True)


def open_key(path: Path) -> TokenKey:
    """Open the key that a file names. Raises LedgerError."""
    try:
        place = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LedgerError(f"it cannot be read: {error}", place=Place(str(path))) from error
    if (
        not isinstance(place, dict)
        or set(place) != _FIELDS
        or not all(isinstance(item, str) for item in place.values())
    ):
        raise LedgerError(
            "it names no key in a token", place=Place(str(path)), mend=f"give it {', '.join(sorted(_FIELDS))}"
        )
    return TokenKey(place, str(path))


def generate(place: dict[str, str]) -> None:
    """Make a new key in the token, by the labels of ``place``. Raises LedgerError; also when one has the label already."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    session = _session(place, place["module"], writing=True)
    try:
        if any(_found(session, place["key"])):
            raise LedgerError(f"the token has a key {place['key']!r} already", mend="give the new one another label")
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS,
            {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(_ED25519)},
            local=True,
        )
        parameters.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label=place["key"])
    except pkcs11.PKCS11Error as error:
        raise LedgerError(f"the token makes no Ed25519 key: {type(error).__name__} {error}") from error
    finally:
        session.close()


def _found(session: Any, label: str) -> Iterator[Any]:
    import pkcs11

    yield from session.get_objects({pkcs11.Attribute.LABEL: label})


def _session(place: dict[str, str], name: str, *, writing: bool = False) -> Any:
    try:
        import pkcs11
    except ImportError as error:
        mend = 'install the extra: pip install "watchbill[pkcs11]"'
        raise LedgerError("hardware keys want the package python-pkcs11", place=Place(name), mend=mend) from error
    pin_file = Path(place["pin_file"])
    try:
        if pin_file.stat().st_mode & 0o077:
            raise LedgerError("the PIN can be read by others", place=Place(str(pin_file)), mend=f"chmod 600 {pin_file}")
        pin = pin_file.read_text().strip()
        found = pkcs11.lib(place["module"]).get_token(token_label=place["token"])
        try:
            return found.open(user_pin=pin, rw=writing)
        except pkcs11.exceptions.UserAlreadyLoggedIn:  # by this process, for another shard: sessions share that
            return found.open(rw=writing)
    except OSError as error:
        raise LedgerError(f"the PIN cannot be read: {error.strerror}", place=Place(str(pin_file))) from error
    except (pkcs11.PKCS11Error, RuntimeError) as error:
        what = f"the hardware token cannot be opened: {type(error).__name__} {error}".rstrip()
        mend = "plug it in, and check the module's path, the labels and the PIN file"
        raise LedgerError(what, place=Place(name), mend=mend, retry=True) from error
