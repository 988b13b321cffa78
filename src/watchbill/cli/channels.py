"""``watchbill channels``: where notifications go, and what was delivered."""

from __future__ import annotations

import click

from watchbill.cli.options import CLOCK, Topic, actor, ago, json_option, print_json, print_table, with_state
from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.values import Severity
from watchbill.engine.catalog import Catalog
from watchbill.sdk import Notifier

_SEVERITY = click.Choice([one.value for one in Severity])


@click.group(cls=Topic)
def channels() -> None:
    """Where notifications go, and what was delivered."""


@channels.command("kinds")
def kinds() -> None:
    """List the kinds of channels, and what each wants to know."""
    for notifier in Catalog.load("watchbill.content").notifiers:
        click.echo(f"{notifier.id}: {notifier.title}")
        for field in notifier.config:
            kind = " | ".join(field.choices) or field.kind
            wanted = f"default {field.default}" if field.default else "required" if field.required else "optional"
            click.echo(f"  {field.name:14} {field.label} ({kind}; {wanted}) {field.help}".rstrip())


@channels.command("list")
@with_state
@json_option
def list_channels(data: DataDir, *, as_json: bool) -> None:
    """List channels with what they delivered; secrets are not shown."""
    from watchbill.state.alerts import queries

    found = queries.channels()
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Name", "Kind", "From severity", "Enabled", "Sent", "Waiting", "Given up"),
        [
            (
                one.id,
                one.name,
                one.kind,
                one.min_severity,
                "yes" if one.enabled else "no",
                one.sent,
                one.waiting,
                one.gave_up,
            )
            for one in found
        ],
        empty="No channels, so nobody is told. Add one: watchbill channels add email --name watch --set to=…",
    )


@channels.command()
@click.argument("kind")
@click.option("--name", required=True)
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="May be given again; see `kinds`.")
@click.option("--from", "min_severity", type=_SEVERITY, default=Severity.HIGH.value, show_default=True)
@with_state
def add(data: DataDir, kind: str, name: str, settings: tuple[str, ...], min_severity: str) -> None:
    """Add a channel of KIND. Alerts of this severity and worse go there."""
    from watchbill.state.alerts import actions

    notifier = Catalog.load("watchbill.content").notifier(kind)
    number = actions.create_channel(
        kind,
        name,
        _config(notifier, settings),
        secret=[field.name for field in notifier.config if field.kind == "secret"],
        min_severity=Severity(min_severity),
        by=actor(),
        at=CLOCK.now(),
    )
    click.echo(f"channel {number}: {name}. Try it: watchbill channels test {number}")


@channels.command("test")
@click.argument("channel_id", type=int)
@with_state
def send_test(data: DataDir, channel_id: int) -> None:
    """Queue a test message; the worker sends it, `deliveries` says how it went."""
    from watchbill.state.alerts import actions

    click.echo(f"delivery {actions.send_test(channel_id, by=actor(), at=CLOCK.now())} is queued")


@channels.command()
@click.argument("channel_id", type=int)
@with_state
def remove(data: DataDir, channel_id: int) -> None:
    """Take a channel out of use; its deliveries stay readable."""
    from watchbill.state.alerts import actions

    actions.remove_channel(channel_id, by=actor(), at=CLOCK.now())
    click.echo(f"channel {channel_id} is removed")


@channels.command()
@click.option("--limit", default=50, show_default=True)
@with_state
@json_option
def deliveries(data: DataDir, limit: int, *, as_json: bool) -> None:
    """List deliveries, the newest first, each with its proof or its error."""
    from watchbill.state.alerts import queries

    found = queries.deliveries(limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Channel", "Alert", "Reason", "State", "Tries", "Queued", "Proof or error"),
        [
            (one.id, one.channel, one.alert or "test", one.reason, one.state, one.tries, ago(one.queued_at),
             one.error or f"{one.reference} {one.answer}")
            for one in found
        ],
        empty="Nothing was sent yet.",
    )  # fmt: skip


def _config(notifier: Notifier, settings: tuple[str, ...]) -> dict[str, str]:
    given = dict(part.partition("=")[::2] for part in settings)
    known = {field.name: field for field in notifier.config}
    if unknown := given.keys() - known.keys():
        raise WatchbillError(
            f"{notifier.id} has no setting {', '.join(sorted(unknown))}", mend=f"one of: {', '.join(known)}"
        )
    missing = [name for name, field in known.items() if field.required and not given.get(name, field.default)]
    if missing:
        raise WatchbillError(f"{notifier.id} needs {', '.join(missing)}", mend=f"add --set {missing[0]}=…")
    return {name: given.get(name, field.default) for name, field in known.items()}
