"""``watchbill replay``: recorded logs through the same door as live ones."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import click

from watchbill.cli.options import CLOCK, data_option, open_state
from watchbill.core.config import Config
from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir

_SLOWEST_SECONDS = 600


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--as", "source", default="", metavar="SOURCE", help="The source's name, or a format (see --format).")
@click.option("--format", "form", default="", metavar="PARSER", help="What the records are; else it is recognised.")
@click.option("--speed", default="max", show_default=True, help='Times real time ("1", "60"), or "max".')
@click.option("--wait", is_flag=True, help="Return when all of it has been judged and can be searched.")
@data_option
def replay(data: DataDir, files: tuple[str, ...], source: str, form: str, speed: str, *, wait: bool) -> None:
    """Send recorded logs (files, folders, also .gz and .zst, "-" for standard input) through the same door as live ones.

    A running server takes them in; without one they go straight into the ledger, and --wait judges them here.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from watchbill.engine.catalog import Catalog
    from watchbill.flows.replay import replay as send

    open_state(data.create())
    if not form and source in {parser.id for parser in Catalog.load("watchbill.content").parsers}:
        form = source  # "--as sshd" names the format and the source at once
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sending", total=None)
        done = send(
            data, files, CLOCK, source=source, form=form, speed=_speed(speed),
            progress=lambda read, total: bar.update(task, completed=read, total=total or None),
        )  # fmt: skip
        if wait:
            task = bar.add_task("judging", total=None)
            _judge(data, done.shard, done.head)
    for problem in done.problems:
        click.echo(f"{problem.file}: {problem.reason}", err=True)
    click.echo(
        f"{done.records:,} records ({done.bytes:,} bytes) are in the ledger{' and judged' if wait else ''}", err=True
    )
    sys.exit(2 if done.problems else 0)


def _speed(words: str) -> float:
    if words == "max":
        return 0.0
    try:
        speed = float(words.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e9:
        raise WatchbillError(f"{words!r} is no speed", mend='write a number such as 1 or 60, or "max"')
    return speed


def _judge(data: DataDir, shard: int, head: int) -> None:
    """Wait for the running engine; where none runs, be the engine until all is judged and at rest."""
    from watchbill.flows.ingest import only_engine, open_ingest
    from watchbill.lake import Lake
    from watchbill.state.readers import queries as readers

    deadline = time.monotonic() + _SLOWEST_SECONDS
    lake = Lake(data.lake)
    while min(lake.position(shard), readers.position("detect", shard)) < head:
        with only_engine(data) as lock:
            if lock:
                with closing(open_ingest(data, Config.load(data), CLOCK)) as ingest:
                    ingest.drain()
                continue
        if time.monotonic() > deadline:
            raise WatchbillError(
                "the engine has not judged it within ten minutes",
                mend=f"look at {data.logs / 'engine.log'}",
                retry=True,
            )
        time.sleep(0.2)
