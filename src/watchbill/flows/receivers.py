"""Who may send: tokens from the state of record into the file that the receiving process reads, and certificates.

The file is written within the transaction: what is revoked is gone from it before anybody hears that it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.db import transaction

from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.engine.collect.certificates import Authority, Issued, write_private
from watchbill.engine.collect.push.tokens import PushToken, write_tokens
from watchbill.state.receivers import actions, queries


def tokens_path(data: DataDir) -> Path:
    return data.receivers / "tokens.json"


def publish(data: DataDir) -> None:
    """Write the file anew from the state of record, for instance after a restore."""
    with _alone(data):
        _write(data)


def issue_token(data: DataDir, name: str, *, by: str, at: int, form: str = "") -> tuple[int, str]:
    """Make a token; it is good when this returns. Returns its id and the secret, which is kept nowhere."""
    with _alone(data), transaction.atomic():
        issued = actions.issue(name, by=by, at=at, form=form)
        _write(data)
    return issued


def revoke_token(data: DataDir, token_id: int, *, by: str, at: int) -> None:
    """End a token; it opens nothing when this returns."""
    with _alone(data), transaction.atomic():
        actions.revoke(token_id, by=by, at=at)
        _write(data)


def make_server_certificate(data: DataDir, names: Sequence[str], *, by: str, at: int) -> Issued:
    """Make the receivers' certificate for these names and addresses, and the authority if there is none."""
    authority = Authority(data.receivers)
    with _alone(data), transaction.atomic():
        authority.create(at)
        issued = authority.server(names, at)
        detail = {"name": ", ".join(names), "purpose": "server", "fingerprint": issued.fingerprint}
        actions.note_certificate("issue", issued.serial, detail, by=by, at=at)
    return issued


def make_client_certificate(data: DataDir, name: str, folder: Path, *, by: str, at: int) -> tuple[Issued, list[Path]]:
    """Make a sender's certificate and put it, its key and the authority's certificate into a folder."""
    authority = Authority(data.receivers)
    if not authority.exists:
        raise WatchbillError("there is no authority yet", mend="first make one: watchbill receivers cert NAME")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem"]
    taken = next((path for path in paths[:2] if path.exists()), None)
    if taken:
        raise WatchbillError(f"{taken} is there already", mend="move it away, or name another folder with --out")
    with _alone(data), transaction.atomic():
        certificate, key, issued = authority.client(name, at)
        detail = {"name": name, "purpose": "client", "fingerprint": issued.fingerprint}
        actions.note_certificate("issue", issued.serial, detail, by=by, at=at)
        write_private(paths[1], key)
    paths[0].write_bytes(certificate)
    paths[2].write_bytes((data.receivers / "ca.pem").read_bytes())
    return issued, paths


def revoke_certificate(data: DataDir, which: str, *, by: str, at: int) -> list[Issued]:
    """Revoke the certificates of a name, or one by its serial. Open connections of theirs end within seconds."""
    with _alone(data), transaction.atomic():
        revoked = Authority(data.receivers).revoke(which, at)
        for one in revoked:
            actions.note_certificate("revoke", one.serial, {"name": one.name}, by=by, at=at)
    return revoked


def certificates(data: DataDir) -> list[Issued]:
    """What was issued here, oldest first."""
    return Authority(data.receivers).issued()


def _write(data: DataDir) -> None:
    tokens = [PushToken(one.id, one.name, one.digest, one.format) for one in queries.good()]
    try:
        write_tokens(tokens_path(data), tokens)
    except OSError as error:
        raise WatchbillError(f"the tokens cannot be written: {error}", mend="make space; nothing was changed") from None


@contextlib.contextmanager
def _alone(data: DataDir) -> Iterator[None]:
    """One change at a time, whichever process makes it: the last to write the file has seen all the others."""
    data.receivers.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(data.receivers / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
