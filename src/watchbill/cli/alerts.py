"""``watchbill alerts``: list, show and act on alerts."""

from __future__ import annotations

import sys

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
    range_option,
    safe,
    with_state,
)
from watchbill.core.paths import DataDir
from watchbill.core.values import AlertStatus, Disposition, Severity

_ids = click.argument("ids", nargs=-1, required=True, metavar="ALERT…")
_comment = click.option("--comment", "-m", default="", help="Goes into the alert's history.")


@click.group(cls=Topic)
def alerts() -> None:
    """List, show and act on alerts."""


@alerts.command("list")
@click.argument("text", nargs=-1)
@click.option("--status", type=click.Choice([one.value for one in AlertStatus]), multiple=True)
@click.option("--severity", type=click.Choice([one.value for one in Severity]), multiple=True)
@click.option("--rule", multiple=True)
@click.option("--host", multiple=True)
@click.option("--user", default="")
@click.option("--src-ip", default="")
@click.option("--control", default="", help="Only alerts whose rule supports this control, for instance A.8.5.")
@click.option("--assignee", default="", help='An e-mail address, or "-" for nobody.')
@range_option("all")
@click.option("--sort", type=click.Choice(["severity", "newest", "oldest"]), default="severity", show_default=True)
@click.option("--limit", default=100, show_default=True)
@with_state
@json_option
def list_alerts(
    data: DataDir,
    text: tuple[str, ...],
    status: tuple[str, ...],
    severity: tuple[str, ...],
    rule: tuple[str, ...],
    host: tuple[str, ...],
    user: str,
    src_ip: str,
    control: str,
    assignee: str,
    within: tuple[int, int],
    sort: str,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """List alerts; the worst first. TEXT: words of a title, or the begin of a user, address, host or id."""
    from watchbill.state.alerts import queries
    from watchbill.state.alerts.values import AlertFilter, AlertRow, Sort

    found: list[AlertRow] = []
    cursor, total, exact = "", 0, True
    while len(found) < limit:
        page = queries.alerts(
            AlertFilter(
                text=" ".join(text),
                status=tuple(AlertStatus(one) for one in status),
                severity=tuple(Severity(one) for one in severity),
                rule=rule,
                host=host,
                user=user,
                src_ip=src_ip,
                control=control,
                assignee=assignee,
                start=within[0] or None,
                end=within[1],
                sort=Sort(sort),
                cursor=cursor,
                size=min(limit - len(found), 200),
            )
        )
        found += page.items
        if not cursor:
            total, exact = page.total, page.exact
        cursor = page.next
        if not cursor:
            break
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Severity", "Status", "Title", "Host", "What", "Events", "Last", "Assignee"),
        [
            (
                one.id, one.severity, one.status, one.title, one.host,
                ", ".join(value for name, value in one.group if name != "device.hostname"), f"{one.events:,}",
                ago(one.last), one.assignee,
            )
            for one in found
        ],
        empty="No alerts here. To see one: watchbill demo",
        note=f"{len(found)} of {'' if exact else 'at least '}{total}",
    )  # fmt: skip


@alerts.command()
@click.argument("alert_id", metavar="ALERT")
@with_state
@json_option
def show(data: DataDir, alert_id: str, *, as_json: bool) -> None:
    """Show all of one alert: what happened, why we think so, the events, what was done."""
    from watchbill.state.alerts import queries

    view = queries.alert(alert_id)
    if as_json:
        print_json([view])
        return
    row = view.row
    print_facts({
        "Alert": f"{row.id}  {row.title}", "Severity": f"{row.severity} (asset {row.host}: {row.criticality})",
        "Status": f"{row.status}{f' ({row.disposition})' if row.disposition else ''}", "Assignee": row.assignee or "nobody",
        "Why": "\n".join(view.why), "Who and what": "\n".join(f"{name}: {', '.join(vals)}" for name, vals in row.entities.items()),
        "Controls": " ".join(row.controls), "From": moment(row.first), "To": moment(row.last), "Events": f"{row.events:,}",
        "Evidence": "\n".join(f"{moment(ref.time)}  {ref.shard}-{ref.position}  {safe(ref.message)}" for ref in view.evidence),
        "Sent": "\n".join(f"{one.channel}: {one.state}, {one.tries} tries {one.reference or one.error}" for one in view.deliveries),
        "History": "\n".join(f"{moment(one.at)}  {one.who}  {one.what} {one.after} {one.comment}" for one in view.history),
    })  # fmt: skip


@alerts.command()
@_ids
@_comment
@with_state
def acknowledge(data: DataDir, ids: tuple[str, ...], comment: str) -> None:
    """Say that somebody has seen them. `unacknowledge` undoes it."""
    from watchbill.state.alerts import actions

    done = actions.acknowledge_many(ids, by=actor(), at=CLOCK.now(), comment=comment)
    _say(done.done, done.refused, "acknowledged")


@alerts.command()
@_ids
@_comment
@with_state
def unacknowledge(data: DataDir, ids: tuple[str, ...], comment: str) -> None:
    """Undo an acknowledgement."""
    from watchbill.state.alerts import actions

    for one in ids:
        actions.unacknowledge(one, by=actor(), at=CLOCK.now(), comment=comment)
    _say(ids, (), "open again")


@alerts.command()
@_ids
@_comment
@with_state
def investigate(data: DataDir, ids: tuple[str, ...], comment: str) -> None:
    """Say that somebody works on them."""
    from watchbill.state.alerts import actions

    for one in ids:
        actions.investigate(one, by=actor(), at=CLOCK.now(), comment=comment)
    _say(ids, (), "under investigation")


@alerts.command()
@_ids
@click.option("--as", "disposition", type=click.Choice([one.value for one in Disposition]), required=True)
@_comment
@with_state
def resolve(data: DataDir, ids: tuple[str, ...], disposition: str, comment: str) -> None:
    """Close them and say what they were. A false positive wants a comment. `reopen` undoes it."""
    from watchbill.state.alerts import actions

    done = actions.resolve_many(ids, Disposition(disposition), by=actor(), at=CLOCK.now(), comment=comment)
    _say(done.done, done.refused, f"resolved as {disposition}")


@alerts.command()
@_ids
@_comment
@with_state
def reopen(data: DataDir, ids: tuple[str, ...], comment: str) -> None:
    """Open resolved alerts again."""
    from watchbill.state.alerts import actions

    for one in ids:
        actions.reopen(one, by=actor(), at=CLOCK.now(), comment=comment)
    _say(ids, (), "open again")


@alerts.command()
@click.argument("alert_id", metavar="ALERT")
@click.argument("email")
@with_state
def assign(data: DataDir, alert_id: str, email: str) -> None:
    """Give an alert to EMAIL ("-": to nobody)."""
    from watchbill.state.alerts import actions

    actions.assign(alert_id, "" if email == "-" else email, by=actor(), at=CLOCK.now())
    click.echo(f"{alert_id}: {email}")


@alerts.command("comment")
@click.argument("alert_id", metavar="ALERT")
@click.argument("text")
@with_state
def add_comment(data: DataDir, alert_id: str, text: str) -> None:
    """Add words to an alert's history."""
    from watchbill.state.alerts import actions

    actions.comment(alert_id, text, by=actor(), at=CLOCK.now())


def _say(done: tuple[str, ...], refused: tuple[tuple[str, str], ...], what: str) -> None:
    if done:
        click.echo(f"{what}: {', '.join(done)}")
    for name, reason in refused:
        click.echo(f"{name}: {reason}", err=True)
    sys.exit(2 if refused else 0)
