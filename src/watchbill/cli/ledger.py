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

if TYPE_CHECKING:
    from rich.progress import TaskID


@click.group(cls=Topic, usual="status")
def ledger() -> None:
    """State and contents of the ledger."""


@ledger.command()
@with_state
@json_option
def status(data: DataDir, *, as_json: bool) -> None:
    """Say what each shard holds, and when it was last verified."""
    from watchbill.flows import prove
    from watchbill.ledger import Reader, shards

    checked = prove.newest()
    rows = [
        {
            "shard": shard,
            "holds": "what was received" if shard == 0 else "what was done",
            "head": Reader(data.ledger, shard).head(),
            "verified": checked.upto.get(str(shard), 0) if checked and checked.ok else 0,
            "verified_at": checked.at if checked else None,
            "ok": checked.ok if checked else None,
            "first_wrong": f"{checked.place}: {checked.what}" if checked and not checked.ok else "",
        }
        for shard in shards(data.ledger)
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Shard", "Holds", "Records", "Verified", "When", "Wrong"),
        [
            (row["shard"], row["holds"], row["head"], row["verified"], ago(checked.at) if checked else "never", row["first_wrong"])
            for row in rows
        ],
        empty="The ledger is empty. Send something: watchbill replay FILE",
        note="Check it now: watchbill ledger verify",
    )  # fmt: skip


@ledger.command()
@with_state
def verify(data: DataDir) -> None:
    """Verify all of it and put the result on the trail (`watchbill verify` leaves no trace); exit code 1 when damaged."""
    from rich.console import Console
    from rich.progress import Progress

    from watchbill.flows import prove

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        report = prove.verify(
            data, CLOCK, by=actor(), progress=lambda done, total: bar.update(task, completed=done, total=total)
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
