"""Where notifications go, and whether they arrived."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.errors import WatchbillError
from watchbill.core.values import Severity
from watchbill.flows import installation
from watchbill.sdk import Field as Setting
from watchbill.sdk import Notifier
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.values import ChannelView, DeliveryState, DeliveryView

topic = Topic("channels")

_Config = Annotated[dict[fields.Word, fields.Word], Field(max_length=100)]


class ChannelKind(msgspec.Struct, frozen=True):
    """A kind of channel, and what it wants to know."""

    id: str
    title: str
    config: tuple[Setting, ...]


class NewChannel(fields.Body):
    kind: fields.Word
    name: Annotated[fields.Word, Field(min_length=1, max_length=80)]
    config: _Config
    min_severity: Severity = Severity.HIGH
    enabled: bool = True


class ChannelChange(fields.Body):
    """What is not given stays as it is; so does a secret that is empty or "…" or left out of `config`."""

    name: Annotated[fields.Word, Field(min_length=1, max_length=80)] | None = None
    config: _Config | None = None
    min_severity: Severity | None = None
    enabled: bool | None = None


class Queued(msgspec.Struct, frozen=True):
    """The delivery that was queued; the worker sends it within seconds."""

    delivery: int


@topic.get("/channels", needs="channels.read")
def list_channels(request: Request) -> tuple[ChannelView, ...]:
    """List channels with what they delivered; secrets are not shown."""
    return queries.channels()


@topic.get("/channels/kinds", needs="channels.read")
def list_channel_kinds(request: Request) -> tuple[ChannelKind, ...]:
    """List the kinds of channels, and what each wants to know."""
    return tuple(ChannelKind(one.id, one.title, one.config) for one in installation.catalog().notifiers)


@topic.post("/channels", needs="channels.write")
def add_channel(request: Request, body: NewChannel) -> ChannelView:
    """Add a channel; alerts of its severity and worse go there."""
    notifier = installation.catalog().notifier(body.kind)
    number = actions.create_channel(
        body.kind, body.name, _config(notifier, body.config, {}), secret=_secrets(notifier),
        min_severity=body.min_severity, by=request.auth.email, at=now(), enabled=body.enabled,
    )  # fmt: skip
    return queries.channel(number)


@topic.get("/channels/{channel_id}", needs="channels.read")
def show_channel(request: Request, channel_id: fields.Number) -> ChannelView:
    """Show one channel; secrets are not shown."""
    return queries.channel(channel_id)


@topic.patch("/channels/{channel_id}", needs="channels.write")
def change_channel(request: Request, channel_id: fields.Number, body: ChannelChange) -> ChannelView:
    """Change a channel."""
    before = queries.channel(channel_id)
    notifier = installation.catalog().notifier(before.kind)
    config = None if body.config is None else _config(notifier, before.config | body.config, before.config)
    actions.change_channel(
        channel_id, by=request.auth.email, at=now(), name=body.name, config=config, secret=_secrets(notifier),
        min_severity=body.min_severity, enabled=body.enabled,
    )  # fmt: skip
    return queries.channel(channel_id)


@topic.delete("/channels/{channel_id}", needs="channels.write")
def remove_channel(request: Request, channel_id: fields.Number) -> None:
    """Take a channel out of use; its deliveries stay readable."""
    actions.remove_channel(channel_id, by=request.auth.email, at=now())


@topic.post("/channels/{channel_id}/test", needs="channels.write")
def test_channel(request: Request, channel_id: fields.Number) -> Queued:
    """Queue a test message."""
    return Queued(actions.send_test(channel_id, by=request.auth.email, at=now()))


@topic.get("/deliveries", needs="channels.read")
def list_deliveries(
    request: Request, channel: fields.Number | None = None, state: DeliveryState | None = None,
    limit: fields.Limit = 50,
) -> tuple[DeliveryView, ...]:  # fmt: skip
    """List deliveries, the newest first, each with its proof or its error."""
    return queries.deliveries(channel=channel, state=state, limit=limit)


@topic.post("/deliveries/{delivery_id}/retry", needs="channels.write")
def retry_delivery(request: Request, delivery_id: fields.Number) -> None:
    """Try a delivery again that failed or was given up."""
    actions.retry_delivery(delivery_id, by=request.auth.email, at=now())


def _secrets(notifier: Notifier) -> list[str]:
    return [one.name for one in notifier.config if one.kind == "secret"]


def _config(notifier: Notifier, given: dict[str, str], held: dict[str, str]) -> dict[str, str]:
    """The settings of a channel, whole and of the right kinds. Raises WatchbillError, never with a value in it."""
    known = {one.name: one for one in notifier.config}
    if unknown := sorted(given.keys() - known.keys()):
        raise WatchbillError(f"{notifier.id} has no setting {unknown[0]}", mend=f"one of: {', '.join(known)}")
    found = {name: given.get(name, one.default) for name, one in known.items()}
    for name, one in known.items():
        if one.required and not found[name] and not held.get(name):
            raise WatchbillError(f"{notifier.id} needs the setting {name}", mend=f"give {name}: {one.label}")
        if found[name] and not _fits(one, found[name]):
            wanted = ", ".join(one.choices) or one.kind
            raise WatchbillError(f"the setting {name} is not as it must be", mend=f"give {name} as {wanted}")
    return found


def _fits(setting: Setting, value: str) -> bool:
    match setting.kind:
        case "number":
            return value.isascii() and value.isdigit()
        case "url":
            return value.startswith(("https://", "http://"))
        case "email":
            return "@" in value
        case "choice":
            return value in setting.choices
        case "flag":
            return value in {"true", "false"}
    return True
