"""``watchbill export`` and ``watchbill prove``: evidence for a period, and one record with its proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from watchbill.cli.options import CLOCK, RANGE_HELP, actor, with_state
from watchbill.core.errors import ConflictError, NotFoundError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_period, rfc3339

since_option = click.option(
    "--since", "since", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True, metavar="CHECKPOINT",
    help="A checkpoint that the auditor has: prove that it is extended. May be given several times.",
)  # fmt: skip


@click.command()
@click.option("--range", "words", default="last 24h", show_default=True, metavar="WORDS", help=RANGE_HELP)
@click.option("--from", "start", default="", metavar="TIME", help="The beginning, instead of --range.")
@click.option("--to", "end", default="", metavar="TIME", help="The end, instead of --range (default: now).")
@click.option(
    "--controls", default="", metavar="IDS", help="Add the state of these controls for reading: A.8.15,A.8.16."
)
@since_option
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--verifier", is_flag=True, help="Write the verifier beside it, as one file of Python.")
@with_state
def export(
    data: DataDir, words: str, start: str, end: str, controls: str, since: tuple[Path, ...], out: Path, *,
    force: bool, verifier: bool,
) -> None:  # fmt: skip
    """Write a bundle with all records received in a range, and their proofs.

    `watchbill verify FILE` checks it on another machine, offline.
    """
    from watchbill.flows.export import checkpoint_of
    from watchbill.flows.export import export as write

    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", mend="choose another name, or add --force")
    within = parse_period(words, start, end, CLOCK.now())
    named = [one.strip() for one in controls.split(",") if one.strip()]
    held = [checkpoint_of(path) for path in since]
    progress = _progress if sys.stderr.isatty() else None
    made = write(data, out, *within, CLOCK, by=actor(), named=named, held=held, progress=progress)
    click.echo(json.dumps(made | {"start": rfc3339(made["start"]), "end": rfc3339(made["end"])}))
    if verifier:
        beside = out.with_name("watchbill-verify.py")
        write_verifier(beside)
        click.echo(f"The verifier: {beside}. Auditors compare it with the one that they have from elsewhere.", err=True)
    click.echo(f"Check it anywhere: watchbill verify {out}", err=True)


def _progress(done: int, total: int) -> None:
    said = f"{done >> 20} of {total >> 20} MiB read" if total else "searching the log …"
    print(f"\r{said}", end="\n" if total and done >= total else "", file=sys.stderr, flush=True)


def write_verifier(out: Path) -> None:
    """Write the verifier as one file."""
    from watchbill.ledger.standalone import source

    out.write_text(source(), "utf-8")


@click.command()
@click.argument("event")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file to write (default: print it)."
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@since_option
@with_state
def prove(data: DataDir, event: str, out: Path | None, since: tuple[Path, ...], *, force: bool) -> None:
    """Write one record with its proof. EVENT is its id, shard-position, as `watchbill events` shows it.

    `watchbill verify FILE.json` checks it on another machine, offline.
    """
    from watchbill.flows.export import checkpoint_of
    from watchbill.flows.export import prove as make

    shard, dash, position = event.partition("-")
    if not (dash and shard.isdecimal() and position.isdecimal() and len(event) < 30):
        raise NotFoundError(f"{event!r} is no event's id", mend="write it as shard-position: 0-1234")
    if out and out.exists() and not force:
        raise ConflictError(f"{out} is there already", mend="choose another name, or add --force")
    body = make(data, int(shard), int(position), CLOCK, by=actor(), held=[checkpoint_of(path) for path in since])
    if out is None:
        sys.stdout.write(body.decode())
        return
    out.write_bytes(body)
    click.echo(f"Check it anywhere: watchbill verify {out}", err=True)
