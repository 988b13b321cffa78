"""Alerts: list, show and act on them."""

from __future__ import annotations

from typing import Annotated

from ninja import Query, Schema
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.values import AlertStatus, Disposition, Severity
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.values import (
    AlertFilter,
    AlertPage,
    AlertView,
    Bucket,
    Bulk,
    Counts,
    Facets,
    Sort,
    Times,
)

topic = Topic("alerts")


class Wanted(Schema):
    """All that is given must hold; of a repeated parameter one value must."""

    text: Annotated[
        fields.Word, Field(description="Words of a title, or the begin of a user, address, host or id.")
    ] = ""
    status: tuple[AlertStatus, ...] = ()
    severity: tuple[Severity, ...] = ()
    rule: fields.Words = ()
    host: fields.Words = ()
    user: fields.Word = ""
    src_ip: fields.Word = ""
    control: Annotated[fields.Word, Field(description="Alerts whose rule supports this control: A.8.5")] = ""
    assignee: Annotated[fields.Word, Field(description='An e-mail address, or "-" for nobody.')] = ""
    range: fields.Range = "all"

    def filter(self, *, sort: Sort = Sort.SEVERITY, cursor: str = "", size: int = 1) -> AlertFilter:
        start, end = fields.bounds(self.range)
        return AlertFilter(
            text=self.text, status=self.status, severity=self.severity, rule=self.rule,
            host=self.host, user=self.user, src_ip=self.src_ip, control=self.control, assignee=self.assignee,
            start=start, end=end, sort=sort, cursor=cursor, size=size,
        )  # fmt: skip


class Comment(fields.Body):
    comment: fields.Text = ""


class Resolution(Comment):
    disposition: Disposition


class Remark(fields.Body):
    text: fields.Text


class Assignee(fields.Body):
    assignee: Annotated[fields.Word, Field(description="An e-mail address; empty for nobody.")]


class Many(Comment):
    ids: Annotated[tuple[fields.Word, ...], Field(min_length=1, max_length=fields.MOST)]


class ManyResolved(Many):
    disposition: Disposition


@topic.get("/alerts", needs="alerts.read")
def list_alerts(
    request: Request, wanted: Query[Wanted], sort: Sort = Sort.SEVERITY, cursor: fields.Cursor = "",
    limit: fields.Limit = 50,
) -> AlertPage:  # fmt: skip
    """List alerts, the worst first. Page on with `cursor` = the page's `next`, until that is empty."""
    return queries.alerts(wanted.filter(sort=sort, cursor=cursor, size=limit))


@topic.get("/alerts/counts", needs="alerts.read")
def count_alerts(request: Request) -> Counts:
    """Count all alerts by status, and the unresolved ones by severity."""
    return queries.counts()


@topic.get("/alerts/facets", needs="alerts.read")
def alert_facets(request: Request, wanted: Query[Wanted]) -> Facets:
    """Count alerts by status, severity, rule and host, each under all filters but the one on itself."""
    return queries.facets(wanted.filter())


@topic.get("/alerts/severity-over-time", needs="alerts.read")
def severity_over_time(
    request: Request, range: fields.Range = "last 7d", buckets: fields.Buckets = 48
) -> tuple[Bucket, ...]:  # fmt: skip
    """Count the alerts opened in a range by severity, in equal parts of time."""
    return queries.severity_over_time(*fields.within(range), buckets)


@topic.get("/alerts/times", needs="alerts.read")
def alert_times(request: Request, range: fields.Range = "last 30d") -> Times:
    """Say how fast the alerts opened in a range were handled, and what they were."""
    return queries.times(*fields.within(range))


@topic.post("/alerts/acknowledge", needs="alerts.act")
def acknowledge_alerts(request: Request, body: Many) -> Bulk:
    """Acknowledge many alerts; those that cannot be are refused one by one, with the reason."""
    return actions.acknowledge_many(body.ids, by=request.auth.email, at=now(), comment=body.comment)


@topic.post("/alerts/resolve", needs="alerts.act")
def resolve_alerts(request: Request, body: ManyResolved) -> Bulk:
    """Resolve many alerts with one disposition; those that cannot be are refused one by one, with the reason."""
    return actions.resolve_many(body.ids, body.disposition, by=request.auth.email, at=now(), comment=body.comment)


@topic.get("/alerts/{alert_id}", needs="alerts.read")
def show_alert(request: Request, alert_id: fields.Word) -> AlertView:
    """Show all of an alert: what happened, why we think so, the events, what was done, who was told."""
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/acknowledge", needs="alerts.act")
def acknowledge_alert(request: Request, alert_id: fields.Word, body: Comment | None = None) -> AlertView:
    """Say that somebody has seen it."""
    actions.acknowledge(alert_id, by=request.auth.email, at=now(), comment=body.comment if body else "")
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/unacknowledge", needs="alerts.act")
def unacknowledge_alert(request: Request, alert_id: fields.Word, body: Comment | None = None) -> AlertView:
    """Undo an acknowledgement."""
    actions.unacknowledge(alert_id, by=request.auth.email, at=now(), comment=body.comment if body else "")
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/investigate", needs="alerts.act")
def investigate_alert(request: Request, alert_id: fields.Word, body: Comment | None = None) -> AlertView:
    """Take it up. Who begins is assigned, unless somebody is."""
    actions.investigate(alert_id, by=request.auth.email, at=now(), comment=body.comment if body else "")
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/resolve", needs="alerts.act")
def resolve_alert(request: Request, alert_id: fields.Word, body: Resolution) -> AlertView:
    """Close it and say what it was. A false positive wants a comment."""
    actions.resolve(alert_id, body.disposition, by=request.auth.email, at=now(), comment=body.comment)
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/reopen", needs="alerts.act")
def reopen_alert(request: Request, alert_id: fields.Word, body: Comment | None = None) -> AlertView:
    """Open a resolved alert again."""
    actions.reopen(alert_id, by=request.auth.email, at=now(), comment=body.comment if body else "")
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/assign", needs="alerts.act")
def assign_alert(request: Request, alert_id: fields.Word, body: Assignee) -> AlertView:
    """Give it to somebody who may act on alerts, or to nobody."""
    actions.assign(alert_id, body.assignee, by=request.auth.email, at=now())
    return queries.alert(alert_id)


@topic.post("/alerts/{alert_id}/comment", needs="alerts.act")
def comment_alert(request: Request, alert_id: fields.Word, body: Remark) -> AlertView:
    """Add words to its history."""
    actions.comment(alert_id, body.text, by=request.auth.email, at=now())
    return queries.alert(alert_id)
