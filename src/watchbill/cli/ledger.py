"""``watchbill ledger``: state and contents of the ledger."""

from __future__ import annotations

import sys

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
