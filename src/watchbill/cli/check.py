"""``watchbill check``: run the checks of controls now."""

from __future__ import annotations

import sys

import click

from watchbill.cli.options import CLOCK, ago, json_option, print_json, print_table, with_state
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.sdk import Outcome


@click.command()
@with_state
@json_option
def check(data: DataDir, *, as_json: bool) -> None:
    """Run all checks now and refresh every control's state; exit code 1 when one failed."""
    from watchbill.flows import content
    from watchbill.flows.assess import assess
    from watchbill.state.controls import queries

    catalog = content.installed(data, Config.load(data))
    assess(data, catalog, content.rules(catalog), CLOCK, force=True)
    found = queries.checks()
    if as_json:
        print_json(found)
    else:
        print_table(
            ("Check", "Outcome", "Controls", "What was found", "When"),
            [(one.id, one.outcome, " ".join(one.controls), one.summary, ago(one.at)) for one in found],
            empty="There are no checks.",
        )
    sys.exit(1 if any(one.outcome is Outcome.FAILED for one in found) else 0)
