"""Reading assets and sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Q, QuerySet

from watchbill.core.clock import DAY, HOUR
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.values import Criticality
from watchbill.state.assets.models import Alias, Asset, AssetSource, Source, SourceHour
from watchbill.state.assets.silence import judge
from watchbill.state.assets.values import (
    AssetFilter,
    AssetPage,
    AssetView,
    Coverage,
    HourCount,
    SeenSource,
    SourceView,
)

_SORTS = {"name": "name", "criticality": "criticality", "last_seen": "last_seen", "events": "events"}


def assets(wanted: AssetFilter | None = None, *, now: int) -> AssetPage:
    """One page of the inventory. Raises QueryError for a sort that is not known."""
    wanted = wanted or AssetFilter()
    rows = _matching(wanted)
    total = rows.count()
    size = max(1, min(wanted.size, 500))
    pages = max(1, -(-total // size))
    page = max(1, min(wanted.page, pages))
    return AssetPage(_views(rows[(page - 1) * size : page * size], now), total, page, pages)


def asset(name: str, *, now: int) -> AssetView:
    """An asset by its name or an alias. Raises NotFoundError."""
    key = name.strip().lower()
    found = _views(Asset.objects.filter(Q(name=key) | Q(aliases__name=key))[:1], now)
    if not found:
        raise NotFoundError(f"there is no asset {name}", mend="see the list: watchbill assets")
    return found[0]


def criticalities() -> dict[str, Criticality]:
    """Host name (and alias) in lower case -> criticality, for all assets. Hosts that are not in it are medium."""
    found = {name: Criticality(value) for name, value in Asset.objects.values_list("name", "criticality")}
    found |= {name: Criticality(value) for name, value in Alias.objects.values_list("name", "asset__criticality")}
    return found


def most_critical_of(source: str) -> str:
    """The name of the most critical asset that a source (by name) reports on; "" when it reports on none."""
    rank = {value: place for place, value in enumerate(Criticality)}
    names = Asset.objects.filter(seen_sources__source=source[:255]).values_list("name", "criticality").distinct()
    return max(names, key=lambda one: (rank[Criticality(one[1])], one[0]), default=("", ""))[0]


def coverage(*, now: int) -> tuple[Coverage, ...]:
    """For each criticality, from high to low: how much of it sends, is owned, reviewed and complete."""
    views: defaultdict[Criticality, list[AssetView]] = defaultdict(list)
    for view in _views(Asset.objects.all(), now):
        views[view.criticality].append(view)
    return tuple(
        Coverage(
            criticality,
            len(views[criticality]),
            sum(1 for view in views[criticality] if (view.last_seen or 0) > now - DAY),
            sum(1 for view in views[criticality] if view.owner),
            sum(1 for view in views[criticality] if view.reviewed),
            sum(1 for view in views[criticality] if view.missing),
        )
        for criticality in (Criticality.HIGH, Criticality.MEDIUM, Criticality.LOW)
    )


def sources(*, now: int) -> tuple[SourceView, ...]:
    """All sources by name."""
    return _source_views(Source.objects.order_by("name", "shard", "number"), now)


def source(source_id: str, *, now: int) -> SourceView:
    """A source by its id "shard-number". Raises NotFoundError."""
    return _source_views([_source(source_id)], now)[0]


def source_hours(source_id: str, *, now: int, days: int = 7) -> tuple[HourCount, ...]:
    """What a source sent in each of the last hours, oldest first, with the empty ones."""
    end = now - now % HOUR
    start = end - (days * 24 - 1) * HOUR
    rows = SourceHour.objects.filter(source=_source(source_id), hour__gte=start, hour__lte=end)
    known = {row.hour: HourCount(row.hour, row.events, row.quarantined, row.least_delay) for row in rows}
    return tuple(known.get(hour) or HourCount(hour, 0, 0, None) for hour in range(start, end + 1, HOUR))


def _matching(wanted: AssetFilter) -> QuerySet[Asset]:
    rows = Asset.objects.all()
    for word in wanted.text.lower().split():
        rows = rows.filter(Q(name__contains=word) | Q(owner__icontains=word) | Q(aliases__name__contains=word))
    if wanted.text:
        rows = rows.distinct()
    if wanted.criticality:
        rows = rows.filter(criticality__in=wanted.criticality)
    if wanted.reviewed is not None:
        rows = rows.filter(reviewed=wanted.reviewed)
    if wanted.owner:
        rows = rows.filter(owner=wanted.owner)
    field = _SORTS.get(wanted.sort.removeprefix("-"))
    if field is None:
        raise QueryError(f"assets cannot be sorted by {wanted.sort}", mend="use one of: " + ", ".join(_SORTS))
    sign = "-" if wanted.sort.startswith("-") else ""
    return rows.order_by(sign + field, "name")


def _views(rows: Iterable[Asset], now: int) -> tuple[AssetView, ...]:
    found = list(rows)
    keys = [row.pk for row in found]
    seen: defaultdict[int, list[SeenSource]] = defaultdict(list)
    aliases: defaultdict[int, list[str]] = defaultdict(list)
    for start in range(0, len(keys), 900):
        part = keys[start : start + 900]
        for row in AssetSource.objects.filter(asset__in=part).order_by("source", "parser"):
            seen[row.asset_id].append(SeenSource(row.source, row.parser, row.last_seen))
        for asset_id, name in Alias.objects.filter(asset__in=part).order_by("name").values_list("asset_id", "name"):
            aliases[asset_id].append(name)
    return tuple(_view(row, tuple(aliases[row.pk]), tuple(seen[row.pk]), now) for row in found)


def _view(row: Asset, aliases: tuple[str, ...], seen: tuple[SeenSource, ...], now: int) -> AssetView:
    lately = {name for one in seen if one.last_seen > now - DAY for name in (one.source, one.parser)}
    return AssetView(
        id=row.pk,
        name=row.name,
        aliases=aliases,
        criticality=Criticality(row.criticality),
        reviewed=row.reviewed,
        owner=row.owner,
        expected_sources=tuple(row.expected_sources),
        seen_sources=seen,
        missing=tuple(name for name in row.expected_sources if name not in lately),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        events=row.events,
    )


def _source(source_id: str) -> Source:
    shard, _, number = source_id.partition("-")
    row = None
    if shard.isdigit() and number.isdigit():
        row = Source.objects.filter(shard=int(shard), number=int(number)).first()
    if row is None:
        raise NotFoundError(f"there is no source {source_id}", mend="see the list: watchbill sources")
    return row


def _source_views(rows: Iterable[Source], now: int) -> tuple[SourceView, ...]:
    found = list(rows)
    end = now - now % HOUR
    hours: defaultdict[int, dict[int, SourceHour]] = defaultdict(dict)
    recent = SourceHour.objects.filter(hour__gt=end - DAY, hour__lte=end)
    if len(found) == 1:
        recent = recent.filter(source=found[0])
    for row in recent:
        hours[row.source_id][row.hour] = row
    return tuple(judge(row, hours[row.pk], now) for row in found)
