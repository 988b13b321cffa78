"""What keeps an installation light: small files of the lake are merged, and those that nobody reads any more go."""

from __future__ import annotations

import logging

from watchbill.core.clock import Clock
from watchbill.core.errors import LedgerError
from watchbill.core.paths import DataDir
from watchbill.flows import retention
from watchbill.lake import Lake

log = logging.getLogger(__name__)


def maintain(data: DataDir, clock: Clock) -> None:
    """Compact and clean the lake, pack the ledger, and end deletions that were cut off. Runs beside appends and searches."""
    try:
        for packed in retention.apply(data, clock):
            log.info("ledger: volume %d packed from %d to %d bytes", packed.volume, packed.before, packed.after)
    except LedgerError as error:
        log.warning("ledger: %s", error)
    lake = Lake(data.lake)
    merged = lake.compact()
    gone = lake.vacuum()
    log.info("lake: %d files merged, %d old ones deleted", merged, gone)
