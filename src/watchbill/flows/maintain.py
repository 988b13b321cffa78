"""What keeps an installation light: small files of the lake are merged, and those that nobody reads any more go."""

from __future__ import annotations

import logging

from watchbill.core.paths import DataDir
from watchbill.lake import Lake

log = logging.getLogger(__name__)


def maintain(data: DataDir) -> None:
    """Compact and clean the lake. Runs beside appends and searches."""
    lake = Lake(data.lake)
    merged = lake.compact()
    gone = lake.vacuum()
    log.info("lake: %d files merged, %d old ones deleted", merged, gone)
