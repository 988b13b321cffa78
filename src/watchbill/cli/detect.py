"""``watchbill detect``: files through the rules, without a server."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from watchbill.cli.options import CLOCK, data_option, json_option, range_option
from watchbill.core.errors import ConfigError
from watchbill.core.memory import settle_memory
from watchbill.core.paths import DataDir, cache_folder
from watchbill.core.values import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchbill.engine.detect import RuleSet
    from watchbill.engine.offline import Skipped, Source, Triage
    from watchbill.sdk import Parser

FOUND, NOTHING, UNREADABLE, INTERRUPTED = 1, 0, 2, 130
_LEVELS = [level.value for level in Severity]
_TOLD_PROBLEMS = 10
#: So many sets of rules are kept as they were loaded, each of some megabytes.
_SETS = 4
_PARTIAL = "Interrupted: this is what had been found by then. The rest was not looked at.\n"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR…")
@click.option(
    "--rules",
    "rule_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Sigma rules to add: a file, a folder or a zip. Can be given again.",
)
@click.option("--installed", is_flag=True, help="Add the rules of this machine's installation (watchbill rules add).")
@click.option(
    "--placeholders",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Values for rules with %names% (YAML: name: [value, …]).",
)
@click.option(
    "--format",
    "form",
    default="auto",
    show_default=True,
    metavar="FORMAT",
    help="What the files are: auto, evtx, jsonl, json, csv, xml, lines, or a parser's name (cloudtrail, sshd, …).",
)
@click.option(
    "--min-level",
    "least",
    type=click.Choice(_LEVELS),
    default="low",
    show_default=True,
    help="The least severe rules to show.",
)
@range_option("all")
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="Of times that do not say theirs.")
@click.option(
    "--details",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="How many examples to show of each rule; 0 for the table alone.",
)
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes (default: one a core for big input).")
@data_option
@json_option
def detect(
    data: DataDir, paths: tuple[str, ...], rule_paths: tuple[Path, ...], placeholders: Path | None, form: str,
    least: str, within: tuple[int, int], timezone: str, details: int, workers: int | None, *, installed: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Run detection rules over recorded logs, offline: no server, no database, and no log is stored.

    Takes files and folders (and "-"): EVTX, JSON of any layout, event XML, CSV, text logs; also in .gz, .zst and
    .zip. Watchbill's own rules run; --rules adds others, for instance a checkout of SigmaHQ. Correlations are judged
    over all files together.

    Exit codes: 0 nothing found, 1 something found, 2 something could not be read, 130 interrupted (Ctrl-C: what was
    found by then is told, and that it is not all).
    """
    from watchbill.cli.detect_report import as_object, print_report, told
    from watchbill.engine.catalog import Catalog
    from watchbill.engine.offline import Triage, survey
    from watchbill.engine.offline import workers as worth
    from watchbill.engine.offline.summary import Summary

    catalog = Catalog.load("watchbill.content")
    form, parser = _form(form, catalog.parsers)
    sources, skipped = survey(paths, form)
    ruleset = _rules(catalog.rule_files, rule_paths, placeholders, data if installed else None)
    triage = Triage(
        ruleset, catalog.parsers, CLOCK, least=Severity(least), parser=parser, timezone=timezone, within=within
    )
    summary = Summary(details)
    settle_memory()
    interrupted = False
    with _progress(sources, quiet=as_json and sys.stdout.isatty()) as tell:
        try:
            with closing(triage.run(sources, workers or worth(sources), tell)) as hits:
                for hit in hits:
                    summary.add(hit)
                    if as_json:
                        click.echo(as_object(hit))
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        click.echo(_PARTIAL, err=as_json)
    if not as_json:
        print_report(summary, details)
    troubles = _say_troubles(triage, skipped)
    click.echo(told(triage, sources, ruleset, least), err=as_json)
    code = UNREADABLE if troubles else FOUND if summary.rows else NOTHING
    sys.exit(INTERRUPTED if interrupted else code)


def _form(form: str, parsers: Sequence[Parser]) -> tuple[str, str]:
    """The files' form and the parser that they are said to be for."""
    from watchbill.engine.offline import FORMS

    if form in FORMS:
        return form, ""
    if form in {parser.id for parser in parsers}:
        return "auto", form
    known = ", ".join((*FORMS, *sorted(parser.id for parser in parsers)))
    raise ConfigError(f"the format {form!r} is unknown", mend=f"use one of {known}")


def _rules(own: Sequence[Path], paths: Sequence[Path], placeholders: Path | None, data: DataDir | None) -> RuleSet:
    from watchbill.engine import rulefiles

    with rulefiles.unpacked(paths) as folders:
        files = [*own, *rulefiles.rule_files(folders)]
        if data is not None:
            files += rulefiles.rule_files([data.root / "rules"] if (data.root / "rules").is_dir() else [])
        values = rulefiles.read_placeholders(placeholders) if placeholders else {}
        is_unpacked = folders != [*paths]  # into a folder that has another name each time
        return rulefiles.load(files, values, cache=None if is_unpacked else _remembered(files))


def _remembered(files: Sequence[Path]) -> Path | None:
    """Where the rules of these files are kept as they were loaded, for the next time. Of many sets the oldest go."""
    folder = cache_folder()
    if folder is None:
        return None
    named = b"\0".join(map(os.fsencode, files))
    cache = folder / f"rules-{hashlib.sha256(named).hexdigest()[:16]}"
    with suppress(OSError):
        others = (one for one in folder.glob("rules-*") if one != cache)
        for old in sorted(others, key=lambda one: one.stat().st_mtime, reverse=True)[_SETS - 1 :]:
            old.unlink()
    return cache


@contextmanager
def _progress(sources: Sequence[Source], *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error when somebody looks at it. It has no thread: processes are forked while it shows."""
    if quiet or not sys.stderr.isatty():
        yield lambda _size: None
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    total = sum(source.size for source in sources if not source.packing) if sources else 0
    packed = any(source.packing or source.path == "-" for source in sources)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("reading", total=None if packed else total)
        shown = 0.0

        def tell(size: int) -> None:
            nonlocal shown
            bar.advance(task, size)
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                bar.refresh()

        yield tell


def _say_troubles(triage: Triage, skipped: Sequence[Skipped]) -> int:
    """Name what was not read, on standard error. Returns how much of it was an error."""
    from watchbill.cli.options import safe

    lines = [f"{one.file} at byte {one.place}: {one.reason}" for one in triage.troubles]
    lines += [f"{one.name}: {one.reason}" for one in skipped if one.error]
    for line in lines[:_TOLD_PROBLEMS]:
        click.echo(safe(line), err=True)
    if len(lines) > _TOLD_PROBLEMS:
        click.echo(f"… and {len(lines) - _TOLD_PROBLEMS} more parts that could not be read", err=True)
    passed = [one for one in skipped if not one.error]
    if passed:
        names = ", ".join(one.name for one in passed[:3])
        more = "" if len(passed) < 4 else f" and {len(passed) - 3} more"
        click.echo(safe(f"passed over, no logs: {names}{more}"), err=True)
    return len(lines)
