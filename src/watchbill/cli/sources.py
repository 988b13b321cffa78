"""``watchbill sources``: what delivers logs, and how well."""

from __future__ import annotations

import click

from watchbill.cli.options import CLOCK, Topic, actor, ago, json_option, print_json, print_table, with_state
from watchbill.core.clock import SECOND
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration


@click.group(cls=Topic)
def sources() -> None:
    """What delivers logs, and how well."""


@sources.command("list")
@with_state
@json_option
def list_sources(data: DataDir, *, as_json: bool) -> None:
    """List sources with rate, delay, clock skew, parse failures and state."""
    from watchbill.state.assets import queries

    found = queries.sources(now=CLOCK.now())
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Name", "State", "Last seen", "Events", "Last 24 h", "Delay p95", "Clock ahead", "Quarantined", "Dropped", "Why"),
        [
            (
                one.id, one.name, one.state, ago(one.last_seen), f"{one.events:,}", f"{sum(one.rate):,}",
                _seconds(one.delay_p95), _seconds(one.skew), one.quarantined, one.dropped, "; ".join(one.reasons),
            )
            for one in found
        ],
        empty="No sources yet. Send syslog to this machine, or: watchbill replay FILE",
    )  # fmt: skip


@sources.command("silent-after")
@click.argument("source_id")
@click.argument("duration")
@with_state
def silent_after(data: DataDir, source_id: str, duration: str) -> None:
    """Set the longest normal silence of a source: "2h", "never", or "auto" to let its history decide."""
    from watchbill.state.assets import actions

    length = {"never": 0, "auto": None}.get(duration, -1)
    if length == -1:
        length = parse_duration(duration)
    actions.set_silent_after(source_id, length, by=actor(), at=CLOCK.now())
    click.echo(f"source {source_id}: {duration}")


def _seconds(ns: int | None) -> str:
    return "" if ns is None else f"{ns / SECOND:.3g} s"
