"""``watchbill export``: a bundle of evidence for a period."""

from __future__ import annotations

import json
from pathlib import Path

import click

from watchbill.cli.options import CLOCK, actor, range_option, with_state
from watchbill.core.errors import ConflictError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339


@click.command()
@range_option("last 24h")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@with_state
def export(data: DataDir, within: tuple[int, int], out: Path, *, force: bool) -> None:
    """Write a bundle with all records received in a range, and their proofs.

    `watchbill verify FILE` checks it on another machine, offline.
    """
    from watchbill.flows.export import export as write

    if out.exists() and not force:
        raise ConflictError(f"{out} is there already", mend="choose another name, or add --force")
    made = write(data, out, *within, CLOCK, by=actor())
    click.echo(json.dumps(made | {"start": rfc3339(made["start"]), "end": rfc3339(made["end"])}))
    click.echo(f"Check it anywhere: watchbill verify {out}", err=True)
