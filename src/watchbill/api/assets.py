"""The inventory: criticality, owner, expected sources."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from django.db import transaction
from ninja import Query
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.values import Criticality
from watchbill.state.assets import actions, queries
from watchbill.state.assets.values import AssetFilter, AssetPage, AssetView, Coverage

topic = Topic("assets")

_Owner = Annotated[fields.Word, Field(max_length=200)]


class AssetSort(StrEnum):
    NAME = "name"
    CRITICALITY = "criticality"
    LAST_SEEN = "last_seen"
    EVENTS = "events"
    NAME_DOWN = "-name"
    CRITICALITY_DOWN = "-criticality"
    LAST_SEEN_DOWN = "-last_seen"
    EVENTS_DOWN = "-events"


class NewAsset(fields.Body):
    name: Annotated[fields.Word, Field(min_length=1, max_length=253)]
    criticality: Criticality = Criticality.MEDIUM
    owner: _Owner = ""
    expected_sources: fields.Words = ()


class AssetChange(fields.Body):
    """What is not given stays as it is."""

    name: Annotated[fields.Word, Field(min_length=1, max_length=253)] | None = None
    criticality: Criticality | None = None
    owner: _Owner | None = None
    expected_sources: fields.Words | None = None
    reviewed: Annotated[bool | None, Field(description="true: it is as it should be in the inventory.")] = None
    add_aliases: fields.Words = ()
    remove_aliases: fields.Words = ()


@topic.get("/assets", needs="assets.read")
def list_assets(
    request: Request,
    text: fields.Word = "",
    criticality: Query[tuple[Criticality, ...]] = (),
    reviewed: bool | None = None,
    owner: fields.Word = "",
    sort: AssetSort = AssetSort.NAME,
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1,
    limit: fields.Limit = 50,
) -> AssetPage:
    """List assets whose name, alias or owner holds each word of `text`."""
    wanted = AssetFilter(
        text=text, criticality=criticality, reviewed=reviewed, owner=owner, sort=sort, page=page,
        size=limit,
    )  # fmt: skip
    return queries.assets(wanted, now=now())


@topic.get("/coverage", needs="assets.read")
def asset_coverage(request: Request) -> tuple[Coverage, ...]:
    """Say for each criticality how many assets send, are owned and reviewed, and miss an expected source."""
    return queries.coverage(now=now())


@topic.post("/assets", needs="assets.write")
def add_asset(request: Request, body: NewAsset) -> AssetView:
    """Name an asset before it sends anything."""
    at = now()
    actions.add_asset(
        body.name, by=request.auth.email, at=at, criticality=body.criticality, owner=body.owner,
        expected_sources=body.expected_sources,
    )  # fmt: skip
    return queries.asset(body.name, now=at)


@topic.get("/assets/{path:name}", needs="assets.read")
def show_asset(request: Request, name: fields.Word) -> AssetView:
    """Show one asset by its name or an alias."""
    return queries.asset(name, now=now())


@topic.patch("/assets/{path:name}", needs="assets.write")
def change_asset(request: Request, name: fields.Word, body: AssetChange) -> AssetView:
    """Say how much an asset matters, whose it is, how it is called, and what must send for it; all of it or nothing."""
    by, at = request.auth.email, now()
    name = queries.asset(name, now=at).name
    with transaction.atomic():
        if body.criticality is not None:
            actions.set_criticality([name], body.criticality, by=by, at=at)
        if body.owner is not None:
            actions.set_owner([name], body.owner, by=by, at=at)
        if body.expected_sources is not None:
            actions.set_expected_sources(name, body.expected_sources, by=by, at=at)
        if body.reviewed:
            actions.set_reviewed([name], by=by, at=at)
        for alias in body.remove_aliases:
            actions.remove_alias(name, alias, by=by, at=at)
        for alias in body.add_aliases:
            actions.add_alias(name, alias, by=by, at=at)
        if body.name is not None:
            actions.rename(name, body.name, by=by, at=at)
            name = body.name
    return queries.asset(name, now=at)
