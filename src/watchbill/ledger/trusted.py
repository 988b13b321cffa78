"""What an auditor holds (``--anchors DIR``), and what a ledger or bundle shows for it.

The folder's files may be: witnesses' keys (vkeys, one a line), certificates of time stamping authorities (PEM), and
checkpoints that were kept from before or came from somebody else (signed notes, or whole bundles).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import timestamps
from watchbill.ledger.anchors import Anchor
from watchbill.ledger.cosign import Cosigner, UncheckedError, cosignatures
from watchbill.ledger.note import Checkpoint, Verifier, open_note, signature_lines
from watchbill.ledger.report import Report, Seen, ShardFacts

_LONGEST = 1 << 20
_MEND = "it may hold witnesses' keys (one a line), certificates (PEM), checkpoints and bundles; take the rest away"


class Held(NamedTuple):
    """A checkpoint that the auditor has, and from which file."""

    name: str
    note: str


@dataclass(frozen=True, slots=True)
class Trusted:
    """What an auditor trusts or remembers."""

    witnesses: tuple[Cosigner, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()
    heads: tuple[Held, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> Trusted:
        """Read a folder. Raises LedgerError with the file that is none of these things."""
        witnesses: list[Cosigner] = []
        roots: list[x509.Certificate] = []
        heads: list[Held] = []
        if not folder.is_dir():
            raise LedgerError("there is no such folder", place=Place(str(folder)))
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                if zipfile.is_zipfile(path):
                    heads += _heads(path)
                    continue
                with path.open("rb") as file:
                    text = file.read(_LONGEST).decode()
                if "-----BEGIN CERTIFICATE-----" in text:
                    roots += x509.load_pem_x509_certificates(text.encode())
                elif "\n\n\N{EM DASH} " in text:
                    Checkpoint.parse(signature_lines(text)[0])
                    heads.append(Held(path.name, text))
                else:
                    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
                    witnesses += map(Cosigner.from_vkey, lines)
            except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
                raise LedgerError(
                    f"this is nothing to check by: {error}", place=Place(str(path)), mend=_MEND
                ) from error
        return cls(tuple(dict.fromkeys(witnesses)), tuple(roots), tuple(heads))


def _heads(path: Path) -> list[Held]:
    """Return the checkpoints in a bundle. Raises ValueError, KeyError, BadZipFile."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("/checkpoint") and archive.getinfo(name).file_size < _LONGEST:
                note = archive.read(name).decode()
                Checkpoint.parse(signature_lines(note)[0])
                found.append(Held(f"{path.name}/{name}", note))
    if not found:
        raise ValueError("there is no checkpoint in it")
    return found


@dataclass(frozen=True, slots=True)
class Shown:
    """What a ledger or bundle shows of a log: its head, its keys one after the other, and what others said of it.

    ``end`` is the log size that the records shown need. ``root_at`` gives the log's head at another size as far as that
    is proven. ``live``: the log itself is there, and grows; else it is a bundle.
    """

    signed: Checkpoint
    note: str
    keys: list[bytes]
    end: int
    anchors: list[Anchor]
    root_at: Callable[[int], bytes | None]
    live: bool = False


def judge(report: Report, facts: ShardFacts, shown: Shown, trusted: Trusted | None) -> None:
    """Compare what is shown with what others said: what contradicts is a finding, what lacks is unproven."""
    good = [one for one in shown.anchors if _is_of_this_log(one, shown, report)]
    good.append(Anchor(shown.signed, shown.note, {}))
    if trusted is None:
        return
    for witness in trusted.witnesses:
        _judge_witness(report, facts, shown, good, witness)
    if trusted.roots:
        _judge_stamps(report, facts, shown, good, trusted.roots)
    for held in trusted.heads:
        _judge_held(report, facts, shown, held)
    if not (trusted.witnesses or trusted.heads):
        report.open_points.append("no witness's key was given: nobody else was asked for this log's head")


def _is_of_this_log(one: Anchor, shown: Shown, report: Report) -> bool:
    """Tell whether a kept checkpoint is a former head of this very log; one that contradicts it is a finding."""
    place = f"{shown.signed.origin}, a kept checkpoint of {one.checkpoint.size} entries"
    if not _is_signed(one.note, shown):
        report.wrong(place, "it is not signed by a key of this log")
        return False
    if one.checkpoint.size > shown.signed.size:
        report.wrong(place, f"the log has {shown.signed.size} entries now: it was cut back")
        return False
    if shown.root_at(one.checkpoint.size) != one.checkpoint.root:
        report.wrong(place, "it is of another history than the log that is shown")
        return False
    return True


def _is_signed(note: str, shown: Shown) -> bool:
    for key in shown.keys:
        try:
            open_note(note, Verifier(shown.signed.origin, key))
        except ValueError:
            continue
        return True
    return False


def _judge_witness(report: Report, facts: ShardFacts, shown: Shown, good: list[Anchor], witness: Cosigner) -> None:
    best: Seen | None = None
    for one in good:
        try:
            at = cosignatures(one.note, [witness]).get(witness)
        except UncheckedError as error:
            report.unproven.append(f"the cosignature of {witness.name}: {error}")
            return
        except ValueError as error:
            report.wrong(f"{shown.signed.origin}, the checkpoint of {one.checkpoint.size} entries", error)
            continue
        if at is not None and (best is None or one.checkpoint.size >= best.size):
            best = Seen(witness.name, one.checkpoint.size, at * SECOND)
    if best is None:
        report.unproven.append(f"{shown.signed.origin}: {witness.name} cosigned nothing that is shown here")
        return
    facts.witnessed.append(best)
    if best.size < shown.end:
        lacking = (
            f"{shown.signed.origin}: {witness.name} saw the first {best.size} log entries, not those up to {shown.end}"
        )
        (report.open_points if shown.live else report.unproven).append(lacking)


def _judge_stamps(
    report: Report, facts: ShardFacts, shown: Shown, good: list[Anchor], roots: tuple[x509.Certificate, ...]
) -> None:
    refused = []
    for one in good:
        for name, token in one.tokens.items():
            try:
                stamp = timestamps.verify(token, timestamps.imprint(one.note), roots)
            except ValueError as error:
                refused.append(f"{shown.signed.origin}, {one.checkpoint.size} entries, stamped by {name}: {error}")
                continue
            facts.stamped.append(Seen(name, one.checkpoint.size, stamp.at))
    newest = max((one.size for one in facts.stamped), default=-1)
    (report.unproven if newest < 0 else report.open_points).extend(refused)
    if newest < 0:
        report.unproven.append(f"{shown.signed.origin}: no time stamp by the authorities that you trust")
    elif newest < shown.end:
        lacking = f"{shown.signed.origin}: {newest} log entries are time-stamped, not those up to {shown.end}"
        (report.open_points if shown.live else report.unproven).append(lacking)


def _judge_held(report: Report, facts: ShardFacts, shown: Shown, held: Held) -> None:
    """Compare with a checkpoint that the auditor had before, or that came from somebody else."""
    head = Checkpoint.parse(held.note)
    if head.origin != shown.signed.origin:
        return
    if not _is_signed(held.note, shown):
        report.unproven.append(f"{held.name}: it is not signed by a key of {head.origin}, so it proves nothing")
        return
    if head.size > shown.signed.size and shown.live:
        report.wrong(held.name, f"it has {head.size} log entries, the log has {shown.signed.size}: it was cut back")
        return
    root = shown.root_at(head.size)
    if root is None:
        older = (
            "older than your checkpoint" if head.size > shown.signed.size else "without a proof from your checkpoint"
        )
        mend = "take a newer one" if head.size > shown.signed.size else "export it with --since and your checkpoint"
        report.unproven.append(f"{held.name}: the bundle is {older} of {head.size} entries; {mend}")
    elif root != head.root:
        report.wrong(held.name, f"this checkpoint of {head.size} entries is of another history than what is shown here")
    else:
        facts.held.append(Seen(held.name, head.size, 0))
