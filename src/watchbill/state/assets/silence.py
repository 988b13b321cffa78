"""Is a source alive? Judged from its own history, in words."""

from __future__ import annotations

from collections.abc import Mapping

from watchbill.core.clock import DAY, HOUR, SECOND
from watchbill.core.times import rfc3339
from watchbill.state.assets import histogram
from watchbill.state.assets.models import Source, SourceHour
from watchbill.state.assets.tally import RECORDED_TRANSPORTS
from watchbill.state.assets.values import SourceState, SourceView

_MILLISECOND = 1_000_000
#: Fewer gaps than these are no history yet; until then a day of silence is borne.
_ENOUGH_GAPS = 20
#: What Watchbill itself sends comes when something happens, so its silence says nothing.
_EXPECTED_OF_NOBODY = frozenset({"internal"})


def normal_silence(row: Source) -> int:
    """The longest silence that is normal for a source, in nanoseconds; 0 when nothing is expected of it.

    Six times the gap that 99 of 100 of its gaps stay below, at least an hour and at most a day.
    """
    if row.transport in RECORDED_TRANSPORTS or row.transport in _EXPECTED_OF_NOBODY:
        return 0
    if row.silent_after is not None:
        return row.silent_after
    longest = histogram.quantile(row.gaps, 0.99)
    if longest is None or sum(row.gaps) < _ENOUGH_GAPS:
        return DAY
    return min(max(HOUR, 6 * longest * SECOND), DAY)


def judge(row: Source, hours: Mapping[int, SourceHour], now: int) -> SourceView:
    """A source as people see it at ``now``; ``hours`` are its counts of the last day."""
    bound = normal_silence(row)
    state, reason = _state(row, bound, now)
    end = now - now % HOUR
    latest = max((hour for hour, count in hours.items() if count.least_delay is not None), default=None)
    least = hours[latest].least_delay if latest is not None else None
    p50, p95 = (histogram.quantile(row.delays, share) for share in (0.5, 0.95))
    return SourceView(
        id=f"{row.shard}-{row.number}",
        shard=row.shard,
        number=row.number,
        name=row.name,
        transport=row.transport,
        format=row.format,
        state=state,
        reasons=(reason,),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        last_event_time=row.last_event_time,
        events=row.events,
        quarantined=row.quarantined,
        dropped=row.dropped,
        delay_p50=p50 * _MILLISECOND if p50 is not None else None,
        delay_p95=p95 * _MILLISECOND if p95 is not None else None,
        skew=-least if least is not None else None,
        rate=tuple(hours[hour].events if hour in hours else 0 for hour in range(end - 23 * HOUR, end + 1, HOUR)),
        silent_after=bound,
        silent_after_set=row.silent_after is not None,
        silent_since=row.silent_since,
        last_error=row.last_error,
        last_error_at=row.last_error_at,
    )


def _state(row: Source, bound: int, now: int) -> tuple[SourceState, str]:
    if row.unreadable:
        return SourceState.UNREADABLE, row.unreadable
    if row.transport in RECORDED_TRANSPORTS:
        return SourceState.RECORDED, "played from a recording, so nothing more is expected"
    last = max(row.last_seen, row.watched_since)
    said = (
        f"last record received at {rfc3339(row.last_seen - row.last_seen % SECOND)}"
        if row.last_seen
        else "no record yet"
    )
    if bound and now - last > bound:
        return SourceState.SILENT, f"{said}; longer than {_words(bound)} without one is not normal for it"
    if not bound:
        return SourceState.ALIVE, f"{said}; silence is not judged for it"
    return SourceState.ALIVE, f"{said}; up to {_words(bound)} without one is normal for it"


def _words(length: int) -> str:
    minutes = max(1, round(length / (60 * SECOND)))
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {rest} min" if rest else f"{hours} h"
