"""``watchbill erasures``: records erased for a person's sake, by two people."""

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
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir

#: The values of state.retention.values.ErasureReason; a test holds them equal.
REASONS = ("data subject", "unlawful", "secret logged", "court order")


@click.group(cls=Topic)
def erasures() -> None:
    """Records erased for a person's sake: one proposes, another approves."""


@erasures.command("list")
@with_state
@json_option
def list_erasures(data: DataDir, *, as_json: bool) -> None:
    """List erasures, the newest first."""
    from watchbill.state.retention import queries

    found = queries.erasures()
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "State", "Reason", "Records", "Proposed by", "When", "Decided by", "Done"),
        [
            (e.id, e.state, e.reason, f"{e.records:,}", e.proposed_by, moment(e.proposed_at), e.decided_by, moment(e.done_at))
            for e in found
        ],
        empty="Nobody has asked for an erasure. Example: watchbill erasures propose 'user:anna' --range 2026-03 --reason 'data subject'",
    )  # fmt: skip


@erasures.command()
@click.argument("query", nargs=-1, required=True)
@range_option("all")
@click.option("--reason", type=click.Choice(REASONS), required=True, help="Its class stands in the ledger for ever.")
@click.option("--note", default="", help="For who decides; forgotten when it is done. Not in the ledger.")
@click.option("--dry-run", is_flag=True, help="Say how many records would be erased; propose nothing.")
@with_state
def propose(
    data: DataDir, query: tuple[str, ...], within: tuple[int, int], reason: str, note: str, *, dry_run: bool
) -> None:
    """Propose to erase the records that a search finds. Look at them first: watchbill events QUERY."""
    from watchbill.flows import retention as flow
    from watchbill.lake import Lake
    from watchbill.state.retention import actions
    from watchbill.state.retention.values import ErasureReason

    words = " ".join(query)
    lake = Lake(data.lake)
    try:
        found = flow.find(lake, words, *within)
    finally:
        lake.close()
    if found.elsewhere:
        click.echo(f"{found.elsewhere:,} more tell of what was done in Watchbill: those are kept", err=True)
    if dry_run or not found.records:
        if not found.records:
            raise NotFoundError(
                "nothing that could be erased was found", mend="see what the search finds: watchbill events"
            )
        click.echo(f"{found.records:,} records would be erased")
        return
    made = actions.propose_erasure(
        found.ranges, reason=ErasureReason(reason), query=words, note=note, by=actor(), at=CLOCK.now()
    )
    click.echo(f"{made}: {found.records:,} records. Somebody else approves it: watchbill erasures approve {made}")


@erasures.command()
@click.argument("erasure_id")
@with_state
def approve(data: DataDir, erasure_id: str) -> None:
    """Approve what somebody else proposed, and erase it now. It cannot be brought back."""
    from watchbill.flows import retention as flow
    from watchbill.state.retention import actions, queries

    actions.decide_erasure(erasure_id, approve=True, by=actor(), at=CLOCK.now())
    flow.apply(data, CLOCK)
    state = queries.erasure(erasure_id).state
    click.echo(f"{erasure_id} is {state}" + ("" if state == "done" else ": the rest is done within minutes"))


@erasures.command()
@click.argument("erasure_id")
@with_state
def reject(data: DataDir, erasure_id: str) -> None:
    """Reject a proposal, or withdraw one's own."""
    from watchbill.state.retention import actions

    actions.decide_erasure(erasure_id, approve=False, by=actor(), at=CLOCK.now())
    click.echo(f"{erasure_id} is rejected")
