"""``watchbill trail``: who did what, when."""

from __future__ import annotations

import json

import click

from watchbill.cli.options import json_option, moment, print_json, print_table, range_option, with_state
from watchbill.core.paths import DataDir


@click.command()
@click.option("--actor", "who", default="", help="Only what this person did.")
@click.option("--action", default="", help='Only this action; one that ends in a dot means a family ("alert.").')
@click.option("--object", "about", default="", metavar="KIND:ID", help="Only what was done to this thing.")
@range_option("last 7 days")
@click.option("--limit", default=100, show_default=True)
@with_state
@json_option
def trail(
    data: DataDir,
    who: str,
    action: str,
    about: str,
    within: tuple[int, int],
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Who did what, when; the newest first. Each entry names its place in the ledger."""
    from watchbill.state.trail import queries
    from watchbill.state.trail.values import TrailFilter

    kind, _, object_id = about.partition(":")
    wanted = TrailFilter(
        actor=who, action=action, kind=kind, object_id=object_id, start=within[0], end=within[1], limit=limit
    )
    found = queries.entries(wanted)
    if as_json:
        print_json(found)
        return
    print_table(
        ("When", "Who", "What", "To what", "Detail", "Ledger"),
        [
            (
                moment(one.at), one.actor, one.action, f"{one.kind} {one.object_id}",
                json.dumps(one.detail, ensure_ascii=False) if one.detail else "",
                f"{one.shard}-{one.position}" if one.position is not None else "waits",
            )
            for one in found
        ],
        empty="Nothing was done in this range.",
    )  # fmt: skip
