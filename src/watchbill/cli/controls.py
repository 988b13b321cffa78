"""``watchbill controls``: the clauses and controls of ISO/IEC 27001 and their state."""

from __future__ import annotations

import click

from watchbill.cli.options import (
    CLOCK,
    Topic,
    actor,
    ago,
    json_option,
    moment,
    print_facts,
    print_json,
    print_table,
    with_state,
)
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration, parse_range
from watchbill.core.values import ControlState
from watchbill.engine.catalog import Catalog
from watchbill.flows.prepare import FRAMEWORK


@click.group(cls=Topic)
def controls() -> None:
    """The controls of ISO/IEC 27001 and their state."""


@controls.command("list")
@click.option("--state", type=click.Choice([one.value for one in ControlState]), multiple=True)
@click.option("--theme", default="", help="clause, organizational, people, physical or technological.")
@click.option("--at", "when", default="", metavar="TIME", help="As it was known at a past moment.")
@with_state
@json_option
def list_controls(data: DataDir, state: tuple[str, ...], theme: str, when: str, *, as_json: bool) -> None:
    """List clauses 4–10 and the 93 controls with their state, and what it is made of."""
    from watchbill.state.controls import queries

    at = parse_range(when, CLOCK.now())[0] if when else None
    found = [
        one for one in queries.controls(at) if (not state or one.state in state) and (not theme or one.theme == theme)
    ]
    if as_json:
        print_json(found)
        return
    summary = queries.summary(at)
    counts = ", ".join(f"{count} {name}" for name, count in summary.states.items())
    print_table(
        ("Id", "State", "Title", "Since", "Owner", "Because"),
        [
            (one.id, one.state if one.applicable else "not applicable", one.title, moment(one.since)[:10], one.owner or "nobody",
             "; ".join(reason.words for reason in one.reasons[:2]))
            for one in found
        ],
        empty="No control is in this state.",
        note=f"of {summary.total} applicable: {counts}",
    )  # fmt: skip


@controls.command()
@click.argument("control_id", metavar="CONTROL")
@click.option("--at", "when", default="", metavar="TIME", help="As it was known at a past moment.")
@with_state
@json_option
def show(data: DataDir, control_id: str, when: str, *, as_json: bool) -> None:
    """Show one control by its number; numbers of 2013 such as A.12.4 are understood."""
    from watchbill.state.controls import queries

    at = parse_range(when, CLOCK.now())[0] if when else None
    framework = Catalog.load("watchbill.content").framework(FRAMEWORK)
    numbers = [control.id for control in framework.find(control_id)] or [control_id]
    for number in numbers:
        view = queries.control(number, at)
        if as_json:
            print_json([view])
            continue
        row = view.row
        print_facts({
            "Control": f"{row.id}  {row.title}", "State": f"{row.state} since {moment(row.since)}",
            "Because": "\n".join(reason.words for reason in row.reasons), "Owner": row.owner or "nobody",
            "Watch": str(view.facts.get("watch", "")), "In 2013": ", ".join(view.facts.get("edition_2013", ())),
            "Checks": "\n".join(f"{one.id}: {one.outcome}, {ago(one.at)}: {one.summary}" for one in view.checks),
            "Attested": "\n".join(
                f"{one.who} until {moment(one.valid_until)}: {one.statement}" for one in view.attestations
            ),
            "Changes": "\n".join(f"{moment(one.at)}  {one.state}" for one in view.changes[:10]),
        })  # fmt: skip
        click.echo()


@controls.command()
@click.argument("control_id", metavar="CONTROL")
@click.argument("statement")
@click.option("--valid-for", default="365d", show_default=True, metavar="DURATION")
@with_state
def attest(data: DataDir, control_id: str, statement: str, valid_for: str) -> None:
    """Vouch for a control: say in STATEMENT what you saw or know, and how."""
    from watchbill.state.controls import actions

    now = CLOCK.now()
    number = actions.attest(control_id, statement, valid_until=now + parse_duration(valid_for), by=actor(), at=now)
    click.echo(f"attestation {number} of {control_id} holds for {valid_for}")
