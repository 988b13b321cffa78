"""Times as log headers write them: RFC 3164 without a year, and its variants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from watchbill.core.clock import DAY, SECOND
from watchbill.core.times import from_datetime, to_datetime

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_BSD = re.compile(
    r"(?:(\d{4}) )?([A-Z][a-z]{2}) +(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: (\d{4}))?"
)
_ISO = re.compile(r"(\d{4}[-/]\d\d[-/]\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:?\d\d)?")
_MEMO = 4096


def zone(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC when it is empty or unknown."""
    if name in {"", "UTC"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


class Stamps:
    """Reads the times of one source, whose clock runs in ``tz``. Text that is no time gives 0."""

    def __init__(self, tz: tzinfo) -> None:
        self._tz = tz
        self._memo: dict[str, int] = {}
        self._day = -1

    def read(self, text: str, received: int) -> int:
        """Return UTC nanoseconds. A time without a year is of the latest year not after ``received`` + 1 day."""
        day = received // DAY
        if day == self._day:
            found = self._memo.get(text)
            if found is not None:
                return found
        if text[4] in "-/":
            return self._iso(text)
        if day != self._day or len(self._memo) > _MEMO:
            self._memo.clear()
            self._day = day
        # The memo holds for the whole day of receipt, so the bound must be the day's, not the moment's.
        found = self._memo[text] = self._bsd(text, day * DAY)
        return found

    def _bsd(self, text: str, anchor: int) -> int:
        match = _BSD.match(text)
        month = _MONTHS.get(match[2]) if match else None
        if not match or month is None:
            return 0
        spelled = match[1] or match[4] or match[9]
        fraction = int((match[8] or "0").ljust(9, "0"))
        parts = (month, int(match[3]), int(match[5]), int(match[6]), min(int(match[7]), 59))
        latest = anchor + 2 * DAY
        last = int(spelled) if spelled else to_datetime(latest).year
        for year in range(last, last - 9, -1):  # nine years always hold a leap day
            try:
                moment = datetime(year, *parts, tzinfo=self._tz)
            except ValueError:
                if spelled:
                    return 0
                continue
            ns = from_datetime(moment)
            if spelled or ns <= latest:
                return ns + fraction
        return 0

    def _iso(self, text: str) -> int:
        match = _ISO.match(text)
        if not match:
            return 0
        date, clock, fraction, offset = match.groups()
        try:
            moment = datetime.fromisoformat(f"{date.replace('/', '-')}T{clock.replace(':60', ':59')}{offset or ''}")
        except ValueError:
            return 0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._tz)
        delta = moment - _EPOCH
        whole = (delta.days * 86_400 + delta.seconds) * SECOND
        return whole + int(fraction.ljust(9, "0")) if fraction else whole


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
