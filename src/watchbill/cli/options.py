"""Options that commands share, and the way they print."""

from __future__ import annotations

import functools
import getpass
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND, SystemClock
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_range, rfc3339

Command = TypeVar("Command", bound=Callable[..., Any])
CLOCK = SystemClock()
RANGE_HELP = 'A time range: "last 24h", "today", "2026-03", "2026-03-01 to 2026-03-04", "all".'


def _data_dir(ctx: click.Context, param: click.Parameter, value: str | None) -> DataDir:
    return DataDir(value) if value else DataDir.default()


data_option = click.option(
    "--data",
    metavar="DIR",
    callback=_data_dir,
    type=click.Path(file_okay=False),
    help="The installation's folder (default: WATCHBILL_DATA, else ~/.local/share/watchbill).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


class Topic(click.Group):
    """A group that does its ``usual`` command when none is named: ``watchbill alerts --json`` lists alerts.

    With ``takes_words`` that holds also when words follow: ``watchbill events user:root`` searches.
    """

    def __init__(self, *args: Any, usual: str = "list", takes_words: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.usual = usual
        self.takes_words = takes_words

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in {"-h", "--help", *self.commands} and (not first or first.startswith("-") or self.takes_words):
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


def installed(command: Command) -> Command:
    """Add ``--data`` and refuse a folder without an installation; the command gets ``data`` as a DataDir."""

    @data_option
    @functools.wraps(command)
    def opened(*args: Any, **kwargs: Any) -> Any:
        data: DataDir = kwargs["data"]
        if not data.root.is_dir():
            raise NotFoundError(
                f"there is no installation in {data.root}", mend="run watchbill up --data …, or name another"
            )
        return command(*args, **kwargs)

    return opened  # type: ignore[return-value]


def with_state(command: Command) -> Command:
    """Like ``installed``, and open the state of record before the command runs. Needs no running server."""

    @functools.wraps(command)
    def opened(*args: Any, **kwargs: Any) -> Any:
        open_state(kwargs["data"])
        return command(*args, **kwargs)

    return installed(opened)  # type: ignore[return-value]


def open_state(data: DataDir) -> None:
    """Make an installation's state of record ready in this process; one that never ran is made first."""
    from watchbill.state import setup

    setup(data)
    if not data.database.exists():
        from django.conf import settings

        if "sqlite3" in settings.DATABASES["default"]["ENGINE"]:
            from watchbill.core.config import Config
            from watchbill.flows.prepare import prepare

            prepare(data, Config.load(data), CLOCK)


def actor() -> str:
    """Who acts by the command line: whoever may read the installation's folder may do everything in it."""
    return f"cli:{getpass.getuser()}"


def range_option(default: str) -> Callable[[Command], Command]:
    """``--range`` in words; the command gets ``start`` and ``end`` in nanoseconds as ``within``."""

    def read(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
        return parse_range(value, CLOCK.now())

    return click.option(
        "--range", "within", default=default, show_default=True, callback=read, metavar="WORDS",
        help=RANGE_HELP,
    )  # fmt: skip


def print_json(rows: Iterable[object]) -> None:
    """One object a line; times are RFC 3339."""
    import msgspec

    from watchbill.flows.plain import plain

    encoder = msgspec.json.Encoder()
    for row in rows:
        click.echo(encoder.encode(plain(row)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, note: str = "") -> None:
    """A plain table for people; ``empty`` says what belongs there and how it comes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 240  # a file or a pipe has no edge to wrap at
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(safe(cell), style=_STYLES.get(safe(cell), "")) for cell in row))
        count += 1
    if count:
        console.print(table)
        if note:
            console.print(Text(note, style="dim"))
    else:
        console.print(empty, markup=False)


def print_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        lines = safe(value).splitlines() or [""]
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {lines[0]}")
        for line in lines[1:]:
            click.echo(" " * (width + 2) + line)


def ago(ns: int | None) -> str:
    """A time as people say it: "5 min ago"; "" for never."""
    if not ns:
        return ""
    age = CLOCK.now() - ns
    if age < 0:
        return f"in {_length(-age)}"
    return f"{_length(age)} ago"


def moment(ns: int | None) -> str:
    """A time to the second, in UTC; "" for never."""
    return rfc3339(ns - ns % SECOND) if ns else ""


def _length(ns: int) -> str:
    for size, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if ns >= size:
            return f"{ns // size} {name}"
    return f"{ns // SECOND} s"


def safe(cell: object) -> str:
    """Text that cannot steer a terminal: control characters of logged data are shown, not obeyed."""
    text = "" if cell is None else str(cell)
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


_STYLES = {
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "failing": "red", "proven": "green",
    "silent": "red", "alive": "green", "stale": "yellow",
}  # fmt: skip
