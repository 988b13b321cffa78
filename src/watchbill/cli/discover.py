"""``watchbill discover``: what this machine has to watch."""

from __future__ import annotations

import click

from watchbill.cli.options import data_option, json_option, print_json, print_table
from watchbill.core.paths import DataDir


@click.command()
@data_option
@json_option
def discover(data: DataDir, *, as_json: bool) -> None:
    """Say what this machine has to watch, what cannot be read and how to mend that. Changes nothing."""
    from watchbill.engine.collect import discover as look

    found = look()
    if as_json:
        print_json(one._asdict() for one in found)
        return
    print_table(
        ("State", "What", "Why"),
        [(one.state, one.path, one.reason) for one in found if one.state != "absent"],
        empty="No journal and no log files were found here: send syslog, or name files in watchbill.toml.",
        note=f"not there: {', '.join(one.path for one in found if one.state == 'absent')}",
    )
