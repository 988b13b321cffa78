"""The installation's secret key, and sealing of secrets that must rest in the database (Fernet, AES-128-CBC + HMAC)."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from watchbill.core.errors import WatchbillError


def secret_key(path: Path) -> str:
    """Read the key, or make it once (owner-only). Processes that start side by side end up with the same one.

    Nothing is created for a folder that is not there: then the key lives as long as the process.
    """
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        fresh = secrets.token_urlsafe(64)
    if not path.parent.is_dir():
        return fresh
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return path.read_text("ascii").strip()
    finally:
        draft.unlink()
    return fresh


def seal(text: str) -> str:
    """Encrypt a secret with the installation's key."""
    return _box().encrypt(text.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """Decrypt what ``seal`` made. Raises WatchbillError when the installation's key is another one now."""
    try:
        return _box().decrypt(sealed.encode("ascii")).decode()
    except InvalidToken:
        raise WatchbillError(
            "a stored secret was sealed with another key than keys/django.key",
            mend="restore keys/django.key from the backup, or enter the secret again",
        ) from None


def _box() -> Fernet:
    from django.conf import settings

    digest = hashlib.sha256(b"watchbill sealing\0" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
