"""Options that commands share, and the way they print."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import click

from watchbill.core.paths import DataDir

P = ParamSpec("P")
R = TypeVar("R")


def _data_dir(ctx: click.Context, param: click.Parameter, value: str | None) -> DataDir:  # noqa: ARG001
    return DataDir(value) if value else DataDir.default()


data_option = click.option(
    "--data",
    metavar="DIR",
    callback=_data_dir,
    type=click.Path(file_okay=False),
    help="The installation's folder (default: WATCHBILL_DATA, else ~/.local/share/watchbill).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


def with_state(command: Callable[P, R]) -> Callable[P, R]:
    """Open the state of record of ``--data`` before the command runs; the command gets ``data`` as a DataDir."""

    @data_option
    @functools.wraps(command)
    def opened(*args: P.args, **kwargs: P.kwargs) -> R:
        from watchbill.state import setup

        data: Any = kwargs["data"]
        if not data.root.exists():
            raise click.ClickException(f"there is no installation in {data.root}. To mend: run watchbill up --data …")
        setup(data)
        return command(*args, **kwargs)

    return opened


def print_json(rows: Iterable[object]) -> None:
    """One object a line; frozen values are written field by field."""
    import msgspec

    encoder = msgspec.json.Encoder()
    for row in rows:
        click.echo(encoder.encode(row))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, note: str = "") -> None:
    """A plain table for people; ``empty`` says what belongs there and how it comes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(_plain(cell), style=_STYLES.get(_plain(cell), "")) for cell in row))
        count += 1
    if count:
        console.print(table)
        if note:
            console.print(Text(note, style="dim"))
    else:
        console.print(empty)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        lines = _plain(value).splitlines() or [""]
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {lines[0]}")
        for line in lines[1:]:
            click.echo(" " * (width + 2) + line)


def _plain(cell: object) -> str:
    """Text that cannot steer a terminal: control characters of logged data are shown, not obeyed."""
    text = "" if cell is None else str(cell)
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


_STYLES = {
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "failing": "red", "proven": "green",
    "silent": "red", "alive": "green", "stale": "yellow",
}  # fmt: skip
