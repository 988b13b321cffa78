"""``watchbill retention``: how long records are kept, what is held, and what was deleted."""

from __future__ import annotations

import click

from watchbill.cli.options import (
    CLOCK,
    Topic,
    actor,
    json_option,
    moment,
    print_json,
    print_table,
    range_option,
    with_state,
)
from watchbill.core.errors import QueryError
from watchbill.core.paths import DataDir

_FOR_EVER = 1 << 62


@click.group(cls=Topic, usual="show")
def retention() -> None:
    """How long records are kept, what is held, and what was deleted."""


@retention.command()
@with_state
@json_option
def show(data: DataDir, *, as_json: bool) -> None:
    """Show the policies and the holds that stand. Without a policy, records are kept for ever."""
    from watchbill.state.retention import queries

    policies, holds = queries.policies(), queries.holds(standing=True)
    if as_json:
        print_json([*policies, *holds])
        return
    print_table(
        ("Policy", "Keeps", "Source", "Transport", "Format", "Set by", "When"),
        [(p.name, _days(p.days), p.source, p.transport, p.format, p.by, moment(p.set_at)) for p in policies],
        empty="No policy: everything is kept for ever. Example: watchbill retention set web --days 365 --source 'web-*'",
    )
    if holds:
        click.echo()
    print_table(
        ("Hold", "Source", "Received from", "To", "Reason", "Placed by", "When"),
        [(h.id, h.source, moment(h.start), moment(h.end), h.reason, h.placed_by, moment(h.placed_at)) for h in holds],
        empty="No legal hold stands.",
    )


@retention.command("set")
@click.argument("name")
@click.option("--days", type=int, required=True, help="How long to keep; 0: for ever.")
@click.option("--source", default="*", show_default=True, help="Name of the sources; * stands for anything.")
@click.option("--transport", default="*", show_default=True, help="syslog-tcp, file, journald …")
@click.option("--format", "form", default="*", show_default=True, help="What the receiver knows of the format.")
@with_state
def set_policy(data: DataDir, name: str, days: int, source: str, transport: str, form: str) -> None:
    """Make or change a policy. Where several fit a source, the one that keeps longest counts."""
    from watchbill.state.retention import actions

    actions.set_policy(name, days, source=source, transport=transport, form=form, by=actor(), at=CLOCK.now())
    click.echo(f"{name}: {_days(days)}. See what would go now: watchbill retention run --dry-run")


@retention.command()
@click.argument("name")
@with_state
def remove(data: DataDir, name: str) -> None:
    """Remove a policy; what only it let go is kept for ever."""
    from watchbill.state.retention import actions

    actions.remove_policy(name, by=actor(), at=CLOCK.now())
    click.echo(f"{name} is removed")


@retention.command()
@click.option("--source", default="*", show_default=True, help="Name of the sources; * stands for anything.")
@range_option("all")
@click.option("--reason", required=True, help="The case, for whoever reads it next year.")
@with_state
def hold(data: DataDir, source: str, within: tuple[int, int], reason: str) -> None:
    """Keep records from being deleted, whatever the policies say, until the hold is released."""
    from watchbill.state.retention import actions

    start, end = within
    made = actions.place_hold(
        reason, source=source, start=max(start, 0), end=end if end < _FOR_EVER else None, by=actor(), at=CLOCK.now()
    )
    click.echo(f"{made} stands. Release it: watchbill retention release {made}")


@retention.command()
@click.argument("hold_id")
@with_state
def release(data: DataDir, hold_id: str) -> None:
    """Release a hold: the policies decide again."""
    from watchbill.state.retention import actions

    actions.release_hold(hold_id, by=actor(), at=CLOCK.now())
    click.echo(f"{hold_id} is released")


@retention.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and how much that is; delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_state
@json_option
def run(data: DataDir, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete now what the policies let go (the worker does it once a day). A signed entry in the log says so first."""
    from watchbill.flows import retention as flow

    going = flow.plan(data, CLOCK.now())
    if as_json and dry_run:
        print_json({key: getattr(one, key) for key in one.__struct_fields__ if key != "parts"} for one in going)
        return
    if not as_json:
        print_table(
            ("Policy", "Keeps", "Sources", "Records", "On disk, about", "Received from", "To"),
            [
                (g.policy, _days(g.days), ", ".join(g.sources), f"{g.records:,}", _size(g.size), moment(g.start), moment(g.end))
                for g in going
            ],
            empty="Nothing is due.",
        )  # fmt: skip
    if dry_run or not going:
        return
    if not yes and not click.confirm("Delete these records? They cannot be brought back"):
        raise QueryError("nothing was deleted", mend="answer y, or say --yes")
    done = flow.run(data, CLOCK, by=actor())
    if as_json:
        print_json({key: getattr(one, key) for key in one.__struct_fields__ if key != "parts"} for one in done)
    else:
        click.echo(f"deleted {sum(one.records for one in done):,} records")


@retention.command()
@with_state
@json_option
def deletions(data: DataDir, *, as_json: bool) -> None:
    """List everything that was ever deleted, as the ledger's signed log tells it."""
    from watchbill.flows import retention as flow

    found = flow.deletions(data)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Entry", "When", "Kind", "Why", "Kept", "Sources", "Records"),
        [(g.entry, moment(g.at), g.kind, g.why, _days(g.days) if g.days else "", ", ".join(g.sources), f"{g.records:,}") for g in found],
        empty="Nothing was ever deleted.",
    )  # fmt: skip


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"


def _size(size: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 10_000:
            return f"{size} {unit}"
        size //= 1000
    return f"{size} TB"
