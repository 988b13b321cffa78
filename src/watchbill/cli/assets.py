"""``watchbill assets``: the inventory."""

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
from watchbill.core.values import Criticality

_CRITICALITY = click.Choice([one.value for one in Criticality])


@click.group(cls=Topic)
def assets() -> None:
    """The inventory: criticality, owner, expected sources."""


@assets.command("list")
@click.argument("text", nargs=-1)
@click.option("--criticality", type=_CRITICALITY, multiple=True)
@click.option("--limit", default=200, show_default=True)
@with_state
@json_option
def list_assets(
    data: DataDir, text: tuple[str, ...], criticality: tuple[str, ...], limit: int, *, as_json: bool
) -> None:
    """List assets whose name, alias or owner holds each word of TEXT."""
    from watchbill.state.assets import queries
    from watchbill.state.assets.values import AssetFilter

    wanted = AssetFilter(text=" ".join(text), criticality=tuple(Criticality(one) for one in criticality), size=limit)
    page = queries.assets(wanted, now=CLOCK.now())
    if as_json:
        print_json(page.items)
        return
    print_table(
        ("Name", "Criticality", "Reviewed", "Owner", "Sources seen", "Missing", "Last seen", "Events"),
        [
            (
                one.name, one.criticality, "yes" if one.reviewed else "no", one.owner or "nobody",
                ", ".join(sorted({seen.parser for seen in one.seen_sources})), ", ".join(one.missing), ago(one.last_seen),
                f"{one.events:,}",
            )
            for one in page.items
        ],
        empty="No assets. A host becomes one when its first event arrives; or: watchbill assets add NAME",
        note=f"{len(page.items)} of {page.total}",
    )  # fmt: skip


@assets.command()
@click.argument("name")
@with_state
@json_option
def show(data: DataDir, name: str, *, as_json: bool) -> None:
    """Show one asset by its name or alias."""
    from watchbill.state.assets import queries

    one = queries.asset(name, now=CLOCK.now())
    if as_json:
        print_json([one])
        return
    print_facts({
        "Name": one.name, "Also called": ", ".join(one.aliases), "Criticality": one.criticality,
        "Reviewed": "yes" if one.reviewed else "no", "Owner": one.owner or "nobody",
        "Expected sources": ", ".join(one.expected_sources), "Missing": ", ".join(one.missing),
        "Seen sources": "\n".join(f"{seen.source} ({seen.parser}), {ago(seen.last_seen)}" for seen in one.seen_sources),
        "First seen": moment(one.first_seen), "Last seen": moment(one.last_seen), "Events": f"{one.events:,}",
    })  # fmt: skip


@assets.command()
@click.argument("name")
@click.option("--criticality", type=_CRITICALITY, default=Criticality.MEDIUM.value, show_default=True)
@click.option("--owner", default="")
@with_state
def add(data: DataDir, name: str, criticality: str, owner: str) -> None:
    """Name an asset before it sends anything."""
    from watchbill.state.assets import actions

    actions.add_asset(name, by=actor(), at=CLOCK.now(), criticality=Criticality(criticality), owner=owner)
    click.echo(f"{name} is in the inventory")


@assets.command("set")
@click.argument("names", nargs=-1, required=True)
@click.option("--criticality", type=_CRITICALITY)
@click.option("--owner")
@click.option(
    "--expect",
    multiple=True,
    metavar="SOURCE",
    help="A source (or parser id) that has to send for it; may be given again.",
)
@click.option("--alias", multiple=True, help="Another name that it goes by.")
@with_state
def set_asset(
    data: DataDir, names: tuple[str, ...], criticality: str | None, owner: str | None, expect: tuple[str, ...],
    alias: tuple[str, ...],
) -> None:  # fmt: skip
    """Say how much the assets NAMES matter, whose they are, and what must send for them."""
    from django.db import transaction

    from watchbill.state.assets import actions

    at, by = CLOCK.now(), actor()
    with transaction.atomic():
        if criticality:
            actions.set_criticality(names, Criticality(criticality), by=by, at=at)
        if owner is not None:
            actions.set_owner(names, owner, by=by, at=at)
        for name in names:
            if expect:
                actions.set_expected_sources(name, expect, by=by, at=at)
            for other in alias:
                actions.add_alias(name, other, by=by, at=at)
    click.echo(f"changed: {', '.join(names)}")
