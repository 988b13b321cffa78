"""A ledger is made of a second copy, in an installation that has none. Needs no database."""

from __future__ import annotations

from collections.abc import Mapping

from watchbill.core.errors import LedgerError
from watchbill.core.paths import DataDir
from watchbill.flows import stores
from watchbill.ledger import Report, verify_ledger
from watchbill.ledger.copies import FolderStore, restore


def restore_from(kind: str, config: Mapping[str, str], data: DataDir, *, root_fingerprint: str | None) -> Report:
    """Make the ledger of an empty installation from a copy; it takes its place only if all of it verifies.

    Raises LedgerError if there is a ledger already, or the copy does not verify; OSError if the place cannot be reached.
    """
    if data.ledger.exists() and any(data.ledger.iterdir()):
        raise LedgerError("this installation has a ledger", mend="restore into an empty one: --data DIR")
    store = stores.open_store(kind, config)
    aside = data.root / "ledger.restoring"
    restore(store, aside)
    keys = data.keys if (data.keys / "root.pub").exists() else None
    report = verify_ledger(aside, keys=None, root_fingerprint=root_fingerprint)
    stated = store.get("root.pub")
    if keys and (keys / "root.pub").read_bytes() != stated:
        raise LedgerError(
            "the keys of this installation are others than the copy's", mend="put the backup of the keys there"
        )
    if not report.ok:
        first = report.findings[0]
        mend = f"nothing was put in place: look at {aside}, and use another copy"
        raise LedgerError(f"the copy does not verify: {first.place}: {first.what}", mend=mend)
    if data.ledger.exists():
        data.ledger.rmdir()
    aside.rename(data.ledger)
    if keys is None:
        data.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        FolderStore(data.keys).put("root.pub", stated)
    return report
