"""``watchbill suppressions``: what is expected, until when and why."""

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
from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.core.values import Severity


@click.group(cls=Topic)
def suppressions() -> None:
    """What is expected, until when and why: such alerts are counted, and nobody is told."""


@suppressions.command("list")
@click.option("--state", type=click.Choice(["active", "expired", "ended"]))
@with_state
@json_option
def list_suppressions(data: DataDir, state: str | None, *, as_json: bool) -> None:
    """List suppressions, the newest first."""
    from watchbill.state.alerts import queries
    from watchbill.state.alerts.values import SuppressionState

    found = queries.suppressions(CLOCK.now(), state=SuppressionState(state) if state else None)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "State", "Rule", "Conditions", "Ends", "Events", "Last", "By", "Reason"),
        [
            (
                one.id,
                one.state,
                one.rule or "every rule",
                " and ".join(f"{kind}={pattern}" for kind, pattern in one.conditions),
                moment(one.ended_at or one.expires_at),
                one.events,
                ago(one.last_hit),
                one.created_by,
                one.reason,
            )
            for one in found
        ],
        empty="Nothing is suppressed. Example: watchbill suppressions add RULE --if src_ip=192.0.2.0/24 --for 30d --reason …",
    )


@suppressions.command()
@click.argument("suppression_id")
@with_state
@json_option
def show(data: DataDir, suppression_id: str, *, as_json: bool) -> None:
    """Show one, with the alerts that it bears on."""
    from watchbill.state.alerts import queries

    one = queries.suppression(suppression_id, CLOCK.now())
    if as_json:
        print_json([one])
        return
    print_facts(
        {
            "id": one.id,
            "state": one.state,
            "rule": one.rule or "every rule",
            "conditions": "\n".join(f"{kind} = {pattern}" for kind, pattern in one.conditions),
            "up to severity": one.up_to,
            "reason": one.reason,
            "made": f"{moment(one.created_at)} by {one.created_by}",
            "ends": moment(one.expires_at),
            "ended": f"{moment(one.ended_at)} by {one.ended_by}" if one.ended_at else "",
            "covered": f"{one.events} events in {one.detections} detections",
            "alerts": " ".join(one.alerts),
        }
    )


@suppressions.command()
@click.argument("rule", default="")
@click.option(
    "--if",
    "conditions",
    multiple=True,
    metavar="KIND=PATTERN",
    help="What must be involved: host, user, src_ip (also a network), process …; * stands for anything. All must hold.",
)
@click.option("--for", "length", default="30d", show_default=True, metavar="DURATION", help="At most 366d.")
@click.option("--reason", required=True, help="Why this is expected.")
@click.option(
    "--up-to",
    type=click.Choice([one.value for one in Severity]),
    default=Severity.HIGH.value,
    show_default=True,
    help="Alerts more severe than this are never suppressed.",
)
@with_state
def add(data: DataDir, rule: str, conditions: tuple[str, ...], length: str, reason: str, up_to: str) -> None:
    """Declare that what RULE finds is expected (all rules, if none is named)."""
    from watchbill.state.alerts import actions

    now = CLOCK.now()
    made = actions.suppress(
        rule,
        [_condition(one) for one in conditions],
        reason=reason,
        expires_at=now + parse_duration(length),
        by=actor(),
        at=now,
        up_to=Severity(up_to),
    )
    click.echo(f"{made} holds for {length}. End it before: watchbill suppressions end {made}")


@suppressions.command()
@click.argument("suppression_id")
@click.option("--quietly", is_flag=True, help="Leave the alerts that it covered suppressed.")
@with_state
def end(data: DataDir, suppression_id: str, *, quietly: bool) -> None:
    """End one before its time; alerts that nothing else covers are opened, and people are told."""
    from watchbill.state.alerts import actions

    shown = actions.end_suppression(suppression_id, by=actor(), at=CLOCK.now(), reopen=not quietly)
    click.echo(f"{suppression_id} is over; {len(shown)} alerts are open again")


def _condition(text: str) -> tuple[str, str]:
    kind, sign, pattern = text.partition("=")
    if not sign:
        raise WatchbillError(f"the condition {text!r} has no pattern", mend="write --if src_ip=192.0.2.0/24")
    return kind, pattern
