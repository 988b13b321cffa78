"""Everything that changes assets and sources. What the system counts leaves no trail; what people say does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import transaction

from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import Criticality
from watchbill.state.assets import queries
from watchbill.state.assets.models import Alias, Asset, Source, SourceHour
from watchbill.state.assets.observation import observe_hosts, observe_sources
from watchbill.state.assets.values import HostBatch, SilenceChange, SourceBatch, SourceState
from watchbill.state.trail.actions import record, record_many
from watchbill.state.trail.values import SYSTEM, Act


@transaction.atomic
def observe(sources: Iterable[SourceBatch], hosts: Iterable[HostBatch], at: int) -> tuple[str, ...]:
    """Add a batch's statistics (made by ``tally.tally``); returns the names of assets that were not known before.

    A host that nobody has judged becomes an asset of medium criticality, not reviewed. Not idempotent: call it in
    the transaction that stores the reader's position.
    """
    observe_sources(list(sources), at)
    new = observe_hosts(list(hosts))
    record_many(Act(SYSTEM, "asset.discover", "asset", name, {}, at) for name in new)
    return tuple(new)


@transaction.atomic
def add_asset(
    name: str, *, by: str, at: int, criticality: Criticality = Criticality.MEDIUM, owner: str = "",
    expected_sources: Sequence[str] = (),
) -> int:  # fmt: skip
    """Name an asset before it sends anything. Raises ConflictError if the name is taken."""
    name = _free_name(name)
    row = Asset.objects.create(
        name=name, criticality=criticality, owner=owner.strip(), expected_sources=sorted(set(expected_sources)),
        reviewed=True,
    )  # fmt: skip
    detail = {"criticality": criticality.value, "owner": row.owner, "expected_sources": row.expected_sources}
    record(by, "asset.create", "asset", name, detail, at)
    return row.pk


@transaction.atomic
def set_criticality(names: Sequence[str], criticality: Criticality, *, by: str, at: int) -> None:
    """Say how much assets matter; they count as reviewed from then on. Raises NotFoundError."""
    for name in names:
        asset = _asset(name)
        before, asset.criticality, asset.reviewed = asset.criticality, criticality, True
        asset.save(update_fields=["criticality", "reviewed"])
        record(by, "asset.criticality", "asset", asset.name, {"from": before, "to": criticality.value}, at)


@transaction.atomic
def set_owner(names: Sequence[str], owner: str, *, by: str, at: int) -> None:
    for name in names:
        asset = _asset(name)
        before, asset.owner = asset.owner, owner.strip()
        asset.save(update_fields=["owner"])
        record(by, "asset.owner", "asset", asset.name, {"from": before, "to": asset.owner}, at)


@transaction.atomic
def set_reviewed(names: Sequence[str], *, by: str, at: int) -> None:
    """Say that assets are as they should be in the inventory."""
    for name in names:
        asset = _asset(name)
        asset.reviewed = True
        asset.save(update_fields=["reviewed"])
        record(by, "asset.review", "asset", asset.name, {"criticality": asset.criticality}, at)


@transaction.atomic
def set_expected_sources(name: str, sources: Sequence[str], *, by: str, at: int) -> None:
    """Name the sources (or parser ids) that have to send for this asset."""
    asset = _asset(name)
    before, asset.expected_sources = asset.expected_sources, sorted({source.strip() for source in sources} - {""})
    asset.save(update_fields=["expected_sources"])
    detail = {"from": before, "to": asset.expected_sources}
    record(by, "asset.expected_sources", "asset", asset.name, detail, at)


@transaction.atomic
def rename(name: str, new: str, *, by: str, at: int) -> None:
    """Give an asset another name; the old one stays as an alias, so that its events still find it."""
    asset = _asset(name)
    before = asset.name
    if new.strip().lower() == before:
        return
    Alias.objects.filter(asset=asset, name=new.strip().lower()).delete()
    asset.name = _free_name(new)
    asset.save(update_fields=["name"])
    Alias.objects.create(name=before, asset=asset)
    record(by, "asset.rename", "asset", asset.name, {"from": before, "to": asset.name}, at)


@transaction.atomic
def add_alias(name: str, alias: str, *, by: str, at: int) -> None:
    """Say that events under another name are this asset's. An unreviewed asset of that name is taken over."""
    asset, alias = _asset(name), alias.strip().lower()
    twin = Asset.objects.filter(name=alias).first()
    if twin and (twin.reviewed or twin.pk == asset.pk):
        raise ConflictError(f"{alias} is an asset of its own", mend="rename or retire that asset first")
    if twin:
        asset.events += twin.events
        asset.first_seen = min(filter(None, (asset.first_seen, twin.first_seen)), default=None)
        asset.last_seen = max(filter(None, (asset.last_seen, twin.last_seen)), default=None)
        asset.save(update_fields=["events", "first_seen", "last_seen"])
        twin.delete()
    if Alias.objects.filter(name=alias).exists():
        raise ConflictError(f"{alias} is another asset's alias already", mend="take it away there first")
    Alias.objects.create(name=alias, asset=asset)
    record(by, "asset.alias", "asset", asset.name, {"alias": alias, "merged": twin is not None}, at)


@transaction.atomic
def remove_alias(name: str, alias: str, *, by: str, at: int) -> None:
    asset = _asset(name)
    gone, _ = Alias.objects.filter(asset=asset, name=alias.strip().lower()).delete()
    if not gone:
        raise NotFoundError(f"{alias} is no alias of {asset.name}")
    record(by, "asset.alias_removed", "asset", asset.name, {"alias": alias.strip().lower()}, at)


@transaction.atomic
def set_silent_after(source: str, length: int | None, *, by: str, at: int) -> None:
    """Set the longest normal silence of a source: nanoseconds, 0 to expect nothing, None to let its history decide."""
    if length is not None and length < 0:
        raise WatchbillError("a silence cannot be shorter than nothing", mend="give a duration such as 2h")
    row = _source(source)
    before, row.silent_after = row.silent_after, length
    row.save(update_fields=["silent_after"])
    record(by, "source.silent_after", "source", source, {"name": row.name, "from": before, "to": length}, at)


@transaction.atomic
def note_unreadable(shard: int, number: int, name: str, transport: str, reason: str, at: int) -> None:
    """Remember that a source cannot be read, and why; ``reason`` = "" says that it can again."""
    row, created = Source.objects.select_for_update().get_or_create(
        shard=shard,
        number=number,
        defaults={"name": name, "transport": transport, "first_seen": at, "last_seen": 0, "watched_since": at},
    )
    if row.unreadable == reason and not created:
        return
    row.unreadable = reason[:500]
    if reason:
        row.last_error, row.last_error_at = reason[:500], at
    row.save(update_fields=["unreadable", "last_error", "last_error_at"])
    action = "source.unreadable" if reason else "source.readable"
    record(SYSTEM, action, "source", f"{shard}-{number}", {"name": row.name, "reason": row.unreadable}, at)


@transaction.atomic
def watch_silence(at: int) -> tuple[SilenceChange, ...]:
    """Find the sources that fell silent or came back since the last call, and put each on the trail once."""
    changes = []
    for view in queries.sources(now=at):
        was_silent = view.silent_since is not None
        is_silent = view.state is SourceState.SILENT
        if was_silent == is_silent:
            continue
        since = view.last_seen if is_silent else None
        Source.objects.filter(shard=view.shard, number=view.number).update(silent_since=since)
        length = at - view.last_seen if is_silent else view.last_seen - (view.silent_since or view.last_seen)
        action = "source.silent" if is_silent else "source.returned"
        detail = {"name": view.name, "transport": view.transport, "seconds": length // 1_000_000_000,
                  "bound_seconds": view.silent_after // 1_000_000_000}  # fmt: skip
        if host := queries.most_critical_of(view.name):
            detail["host"] = host  # how bad a silence is depends on what has become invisible
        record(SYSTEM, action, "source", view.id, detail, at)
        changes.append(SilenceChange(view, is_silent, length))
    return tuple(changes)


@transaction.atomic
def forget_hours(before: int) -> int:
    """Delete the hourly counts before a moment; returns how many went."""
    gone, _ = SourceHour.objects.filter(hour__lt=before).delete()
    return gone


def _asset(name: str) -> Asset:
    key = name.strip().lower()
    found = Asset.objects.select_for_update().filter(name=key).first()
    if found is None:
        alias = Alias.objects.select_related("asset").filter(name=key).first()
        if alias is None:
            raise NotFoundError(f"there is no asset {name}", mend="see the list: watchbill assets")
        found = alias.asset
    return found


def _free_name(name: str) -> str:
    key = name.strip().lower()
    if not key:
        raise WatchbillError("an asset needs a name")
    if Asset.objects.filter(name=key).exists() or Alias.objects.filter(name=key).exists():
        raise ConflictError(f"the name {key} is taken", mend="choose another name, or make it an alias")
    return key


def _source(source: str) -> Source:
    shard, _, number = source.partition("-")
    row = None
    if shard.isdigit() and number.isdigit():
        row = Source.objects.select_for_update().filter(shard=int(shard), number=int(number)).first()
    if row is None:
        raise NotFoundError(f"there is no source {source}", mend="see the list: watchbill sources")
    return row
