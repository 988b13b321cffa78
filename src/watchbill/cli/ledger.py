"""``watchbill ledger``: state and contents of the ledger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchbill.cli.options import (
    CLOCK,
    Topic,
    actor,
    ago,
    installed,
    json_option,
    moment,
    print_json,
    print_table,
    with_state,
)
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_range

if TYPE_CHECKING:
    from watchbill.flows.ledger_state import Vouched

if TYPE_CHECKING:
    from rich.progress import TaskID


@click.group(cls=Topic, usual="status")
def ledger() -> None:
    """State and contents of the ledger."""


@ledger.command()
@with_state
@json_option
def status(data: DataDir, *, as_json: bool) -> None:
    """Say what each shard holds, up to which record it is sealed, signed, witnessed and time-stamped, and verified."""
    from watchbill.flows import prove
    from watchbill.flows.ledger_state import states

    checked = prove.newest()
    found = states()
    rows = [
        {
            "shard": one.number,
            "holds": one.name,
            "head": one.head,
            "sealed_upto": one.sealed_upto,
            "signed_upto": one.signed_upto,
            "log_size": one.log_size,
            "witnessed": one.witnessed,
            "stamped": one.stamped,
            "verified": checked.upto.get(str(one.number), 0) if checked and checked.ok else 0,
            "verified_at": checked.at if checked else None,
            "ok": checked.ok if checked else None,
            "first_wrong": f"{checked.place}: {checked.what}" if checked and not checked.ok else "",
        }
        for one in found
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Shard", "Holds", "Records", "Sealed", "Signed", "Witnessed", "Stamped", "Verified", "When", "Wrong"),
        [
            (row["shard"], row["holds"], row["head"], row["sealed_upto"], row["signed_upto"], _newest(one.witnessed),
             _newest(one.stamped), row["verified"], ago(checked.at) if checked else "never", row["first_wrong"])
            for row, one in zip(rows, found, strict=True)
        ],
        empty="The ledger is empty. Send something: watchbill replay FILE",
        note="Check it now: watchbill ledger verify. Numbers: up to which record.",
    )  # fmt: skip


def _newest(vouched: tuple[Vouched, ...]) -> str:
    return ", ".join(f"{one.upto} by {one.by} ({ago(one.at)})" for one in vouched) or "no"


@ledger.command()
@click.option("--shard", default=0, show_default=True)
@with_state
def checkpoint(data: DataDir, shard: int) -> None:
    """Print a shard's signed head. Keep it elsewhere: `watchbill verify --anchors` compares with it later."""
    from watchbill.flows.ledger_state import checkpoint as newest

    click.echo(newest(shard), nl=False)


@ledger.command()
@click.option(
    "--range", "words", default="", metavar="WORDS", help='Only the records of a period: "last 7d", "2026-03".'
)
@with_state
def verify(data: DataDir, words: str) -> None:
    """Verify all of it and put the result on the trail (`watchbill verify` leaves no trace); exit code 1 when damaged."""
    from rich.console import Console
    from rich.progress import Progress

    from watchbill.flows import prove

    period = parse_range(words, CLOCK.now()) if words else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        report = prove.verify(
            data,
            CLOCK,
            by=actor(),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            period=period,
        )
    for finding in report.findings:
        click.echo(f"{finding.place}: {finding.what}", err=True)
    click.echo(
        f"{report.events:,} sealed records: {'all as they were written' if report.ok else 'NOT as they were written'}"
    )
    sys.exit(0 if report.ok else 1)


@ledger.command()
@click.argument("start", type=int, default=0)
@click.option("--shard", default=0, show_default=True)
@click.option("--limit", default=20, show_default=True)
@installed
@json_option
def records(data: DataDir, start: int, shard: int, limit: int, *, as_json: bool) -> None:
    """Print raw records from position START on."""
    from watchbill.ledger import Reader, shards

    if shard and shard not in shards(data.ledger):
        raise NotFoundError(f"there is no shard {shard}", mend="0 holds what was received, 1 what was done")
    reader = Reader(data.ledger, shard)
    found = reader.read(start, limit)
    rows = [
        {
            "position": one.position, "received": one.received, "sequence": one.sequence,
            "source": reader.source(one.source).name if one.source else "(ledger)",
            "raw": one.raw.decode("utf-8", "backslashreplace"),
        }
        for one in found
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Position", "Received", "Source", "Raw"),
        [
            (row["position"], moment(one.received), row["source"], row["raw"])
            for row, one in zip(rows, found, strict=True)
        ],
        empty=f"Nothing is there: the shard ends at {reader.head()}.",
    )


@ledger.command()
@click.option("--shard", type=int, help="One shard; else all that the ledger has.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, change nothing.")
@installed
@json_option
def repair(data: DataDir, shard: int | None, *, dry_run: bool, as_json: bool) -> None:
    """Go on after damage to what was acknowledged: keep what is proven, set the rest aside, say so in the signed log.

    Keep a copy of the ledger first. Nothing is deleted: damaged files go to the shard's folder "damaged". Stop Watchbill
    before it (a dry run may look at a running one).
    """
    from rich.console import Console
    from rich.progress import Progress

    from watchbill.ledger import shards
    from watchbill.ledger.repair import examine
    from watchbill.ledger.repair import repair as mend

    if shard is not None and shard not in shards(data.ledger):
        raise NotFoundError(f"there is no shard {shard}", mend="0 holds what was received, 1 what was done")
    found = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for number in shards(data.ledger) if shard is None else [shard]:
            task = bar.add_task(f"reading shard {number}", total=None)

            def step(done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done, total=total)

            if dry_run:
                found += examine(data.ledger, data.keys, number, step)
            else:
                found += mend(data.ledger, data.keys, number, CLOCK, step)
    if as_json:
        print_json([one._asdict() for one in found])
        return
    print_table(
        ("Shard", "Volume", "What is wrong", "Sealed records lost", "Unsealed", "Set aside as"),
        [(one.shard, Path(one.place).name, one.what, one.sealed, one.unsealed, one.aside) for one in found],
        empty="Nothing is damaged.",
        note="Nothing was changed. To repair: watchbill ledger repair" if dry_run else "Look at it: watchbill verify",
    )
