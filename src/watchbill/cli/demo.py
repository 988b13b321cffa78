"""``watchbill demo``: a month of a fictional company, then everything is started."""

from __future__ import annotations

import os

import click

from watchbill.cli.options import CLOCK, data_option, open_state
from watchbill.core.clock import HOUR
from watchbill.core.config import Config, write_default
from watchbill.core.paths import DataDir


@click.command()
@data_option
@click.option("--port", type=int, help="The console's port (default 8850, or as configured).")
@click.option("--only-play", is_flag=True, help="Play the month and end; start nothing.")
def demo(data: DataDir, port: int | None, *, only_play: bool) -> None:
    """Play a month in the life of a fictional company of eighty people, then start everything on it.

    Some 200,000 events of 40 assets with eight incidents, made by our own code and marked as a demo. A folder in
    which the month was played already is just started.
    """
    from watchbill.cli.up import supervise

    data.create()
    write_default(data.config)
    if not (data.root / "demo.json").exists():
        _play(data)
    if only_play:
        return
    if port is not None:
        os.environ["WATCHBILL_CONSOLE_PORT"] = str(port)
    os.environ.setdefault("WATCHBILL_COLLECT_DISCOVER", "no")  # the demo company is not this machine
    supervise(data, quiet=True)


def _play(data: DataDir) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    open_state(data)
    from watchbill.flows.demo import EVENTS, play

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("playing a month", total=EVENTS)
        now = CLOCK.now()
        play(data, Config.load(data), now - now % HOUR, progress=lambda count: bar.advance(task, count))
        bar.update(task, total=bar.tasks[0].completed)
