"""Second copies of the ledger, kept up to date by a process of their own beside the worker."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event as StopSignal

from watchbill.core.clock import Clock
from watchbill.core.errors import ConfigError, LedgerError, WatchbillError
from watchbill.core.paths import DataDir
from watchbill.flows import stores
from watchbill.ledger import Finding, Report, verify_ledger
from watchbill.ledger.copies import Copier, Store, restore
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.state.copies import actions, queries

log = logging.getLogger(__name__)

#: Seconds between two looks at what is new: how far a copy is behind when all is well.
SECONDS = 10.0


def add(data: DataDir, name: str, kind: str, config: Mapping[str, str], *, by: str, at: int) -> None:
    """Add a place, after it was written to and read from once. Raises ConfigError with what the place answers."""
    known = stores.checked(kind, config)
    if kind == "folder" and Path(known["path"]).resolve().is_relative_to(data.root):
        mend = "name a folder on another disk, or on another machine"
        raise ConfigError("a copy inside of what it is a copy of saves nothing", mend=mend)
    store = stores.open_store(kind, known)
    probe = ".watchbill-probe"
    try:
        store.put(probe, b"watchbill")
        found = store.get(probe)
        store.delete(probe)
    except OSError as error:
        raise ConfigError(
            f"the place cannot be used: {error}", mend="see that it is there, and may be written"
        ) from error
    if found != b"watchbill":
        raise ConfigError("the place does not give back what was put there")
    plain = {key: value for key, value in known.items() if key not in stores.SECRETS and value}
    secret = {key: value for key, value in known.items() if key in stores.SECRETS and value}
    actions.add_copy(name, kind, plain, secret, by=by, at=at)


class Following:
    """Brings all copies up to date again and again, each with what is already known of it."""

    def __init__(self, data: DataDir, clock: Clock) -> None:
        self._data, self._clock = data, clock
        self._copiers: dict[tuple[str, int], Copier] = {}

    def step(self, progress: Callable[[str, int], None] | None = None) -> None:
        """Bring each copy up to date once; what fails is noted, and stops no other."""
        known = queries.copies()
        self._copiers = {key: one for key, one in self._copiers.items() if key in {(c.name, c.added_at) for c in known}}
        for one in known:
            began = self._clock.now()
            try:
                key = one.name, one.added_at
                if key not in self._copiers:
                    self._copiers[key] = Copier(self._data.ledger, self._data.keys, self._open(one.name))
                name = one.name
                copied = self._copiers[key].run(
                    (lambda size, name=name: progress(name, size)) if progress else None  # type: ignore[misc]
                )
                actions.note_copied(one.name, copied.upto, 0, self._clock.now())
            except LedgerError as error:
                log.warning("the copy %s: %s", one.name, error)
                actions.note_failed(one.name, str(error), behind_since=began, at=self._clock.now(), damage=True)
            except (OSError, WatchbillError) as error:
                log.warning("the copy %s: %s", one.name, error)
                self._copiers.pop((one.name, one.added_at), None)
                actions.note_failed(one.name, str(error), behind_since=began, at=self._clock.now())

    def _open(self, name: str) -> Store:
        return stores.open_store(queries.copy(name).kind, queries.whole_config(name))


def follow(data: DataDir, clock: Clock, stop: StopSignal) -> None:
    """Keep the copies up to date until told to stop, or until nobody waits for it any more."""
    from django.db import close_old_connections

    following, parent = Following(data, clock), os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        close_old_connections()
        began = time.monotonic()
        following.step()
        stop.wait(max(0.5, SECONDS - (time.monotonic() - began)))


def verify(
    data: DataDir, clock: Clock, name: str, *, by: str, progress: Callable[[int, int], None] | None = None,
    work: Path | None = None,
) -> Report:  # fmt: skip
    """Fetch a whole copy into a folder of its own and check it as the ledger is checked; ``work`` is where there is room.

    Raises OSError if the place cannot be reached, LedgerError if it holds no copy.
    """
    kind = queries.copy(name).kind
    store = stores.open_store(kind, queries.whole_config(name))
    root = fingerprint(open_root_public(data.keys).key)
    with tempfile.TemporaryDirectory(prefix="watchbill-copy-", dir=work or data.run) as folder:
        restore(store, Path(folder) / "ledger")
        report = verify_ledger(Path(folder) / "ledger", root_fingerprint=root, progress=progress)
    report.findings = [Finding(one.place.replace(f"{folder}/ledger/", ""), one.what) for one in report.findings]
    error = "" if report.ok else f"{report.findings[0].place}: {report.findings[0].what}"
    actions.note_verified(name, events=report.events, error=error, by=by, at=clock.now())
    return report
