"""Lists, totals and facets agree with looking at every alert, for any filter, order and page size."""

from __future__ import annotations

import pytest
from alert_detections import INFOS, NOW, detection
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.core.errors import QueryError
from watchbill.core.values import AlertStatus, Disposition, Severity
from watchbill.state.alerts import actions, listing, queries
from watchbill.state.alerts.values import AlertFilter, Sort

SECOND = 1_000_000_000
HOSTS, USERS = ("web-01", "web-02", "db-01"), ("root", "ana", "bo")
STEPS = ("", "acknowledge", "investigate", "resolve")


@pytest.fixture
def alerts():
    """Forty alerts in all statuses and severities."""
    whole = [
        detection(
            f"d{n}", host=f"{HOSTS[n % 3]}.{n}.example" if n % 5 else HOSTS[n % 3] + f"-{n}", user=USERS[n % 3],
            src_ip=f"192.0.2.{n % 7}", severity=list(Severity)[n % 5], first=NOW + n * 7 % 60 * SECOND,
            rule=list(INFOS)[n % 2],
        )
        for n in range(40)
    ]  # fmt: skip
    found = actions.raise_alerts(whole, INFOS, NOW).created
    for n, one in enumerate(found):
        match STEPS[n % 4]:
            case "acknowledge":
                actions.acknowledge(one, by="ana@example.com", at=NOW)
            case "investigate":
                actions.investigate(one, by="ana@example.com", at=NOW)
            case "resolve":
                actions.resolve(one, Disposition.BENIGN, by="ana@example.com", at=NOW)
    return [queries.alert(one).row for one in found]


def matches(row, wanted) -> bool:
    """The filter's meaning in the plainest words."""
    words = wanted.text.split()
    values = [*row.controls, *(value for values in row.entities.values() for value in values)]
    return (
        (not wanted.status or row.status in wanted.status)
        and (not wanted.severity or row.severity in wanted.severity)
        and (not wanted.rule or row.rule in wanted.rule)
        and (not wanted.host or row.host in wanted.host)
        and (not wanted.user or wanted.user in row.entities["user"])
        and (not wanted.src_ip or wanted.src_ip in row.entities["src_ip"])
        and (not wanted.control or wanted.control in row.controls)
        and (not wanted.assignee or row.assignee == ("" if wanted.assignee == "-" else wanted.assignee))
        and (wanted.start is None or row.last >= wanted.start)
        and (wanted.end is None or row.last < wanted.end)
        and all(
            any(value.startswith(word) for value in values)
            or word.lower() in row.title.lower()
            or word.lower() in row.rule
            or word == row.id
            for word in words
        )
    )


ORDERS = {
    Sort.SEVERITY: lambda row: (-row.severity.rank, -row.last, -int(row.id[2:])),
    Sort.NEWEST: lambda row: (-row.last, -int(row.id[2:])),
    Sort.OLDEST: lambda row: (row.opened_at, int(row.id[2:])),
}
FILTERS = st.builds(
    AlertFilter,
    text=st.sampled_from(["", "", "ssh", "logging 192.0.2", "A.8.15", "ro", "web-01", "nothing"]),
    status=st.lists(st.sampled_from(AlertStatus), max_size=3, unique=True).map(tuple),
    severity=st.lists(st.sampled_from(Severity), max_size=3, unique=True).map(tuple),
    rule=st.sampled_from([(), (), ("log_stopped",), ("log_stopped", "ssh_brute_force"), ("none",)]),
    host=st.sampled_from([(), (), ("web-01-0",), ("db-01-5", "web-02.1.example")]),
    user=st.sampled_from(["", "", "root"]),
    src_ip=st.sampled_from(["", "", "192.0.2.3"]),
    control=st.sampled_from(["", "", "A.8.5"]),
    assignee=st.sampled_from(["", "", "-", "ana@example.com"]),
    start=st.sampled_from([None, None, NOW + 20 * SECOND]),
    end=st.sampled_from([None, None, NOW + 40 * SECOND]),
    sort=st.sampled_from(Sort),
    size=st.sampled_from([1, 7, 100]),
)


def test_lists_and_totals_are_those_of_the_plain_meaning(state, alerts):
    """Two ways of finding, one outcome: what a look at every alert would give, in order, page by page."""

    @settings(max_examples=50 if state == "sqlite" else 15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(wanted=FILTERS)
    def check(wanted):
        expected = sorted((row for row in alerts if matches(row, wanted)), key=ORDERS[wanted.sort])
        page = queries.alerts(wanted)
        assert (page.total, page.exact) == (len(expected), True)
        found = list(page.items)
        while page.next and len(found) < 20:
            page = queries.alerts(
                AlertFilter(
                    **{name: getattr(wanted, name) for name in wanted.__struct_fields__ if name != "cursor"},
                    cursor=page.next,
                )
            )
            found += page.items
        assert [row.id for row in found] == [row.id for row in expected[: len(found)]]
        facets = queries.facets(wanted)
        status_free = [row for row in alerts if matches(row, replaced(wanted, status=()))]
        assert facets.status == {one: sum(row.status is one for row in status_free) for one in AlertStatus}
        severity_free = [row for row in alerts if matches(row, replaced(wanted, severity=()))]
        assert facets.severity == {one: sum(row.severity is one for row in severity_free) for one in Severity}

    check()


def replaced(wanted, **changes):
    return AlertFilter(**{name: getattr(wanted, name) for name in wanted.__struct_fields__} | changes)


def test_a_page_costs_few_queries(alerts):
    """A list asks each cell once and never each alert."""
    with CaptureQueriesContext(connection) as captured:
        queries.alerts(AlertFilter(sort=Sort.NEWEST))
    assert len(captured) <= 4 * 5 + 4


def test_cells_are_read_in_the_order_of_an_index(state, alerts):
    """No sorting: the database walks an index, so a million alerts cost what fifty do."""
    for sort in Sort:
        for cell in listing._cells(AlertFilter(sort=sort)):
            fields, sign = listing._ORDERS[sort]
            rows = cell.rows.order_by(*[f"-{field}" if sign < 0 else field for field in fields])
            with connection.cursor() as cursor:
                if state == "postgresql":
                    cursor.execute(
                        "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
                    )
            plan = rows.values_list(*fields)[:51].explain()
            assert "TEMP B-TREE" not in plan
            assert "Index" in plan or "INDEX" in plan


def test_bounded_counts_say_so(alerts, monkeypatch):
    """When there are more than are looked at, the total is called a lower bound."""
    monkeypatch.setattr(listing, "BOUND", 5)
    page = queries.alerts(AlertFilter(text="ssh"))
    assert not page.exact
    assert page.total == 5


@pytest.mark.parametrize("cursor", ["x", "[]", '["oldest",1,2]', '["severity",1]', '["severity","a",2,3]', "7", "{}"])
def test_foreign_cursors_are_refused(cursor):
    """A cursor of another list, or of nobody's making, is an error with its mend."""
    with pytest.raises(QueryError, match="first page"):
        queries.alerts(AlertFilter(cursor=cursor))


def test_pulse_grows_with_every_change():
    """Whoever watches for changes sees new alerts, new evidence and steps."""
    seen = [queries.pulse()]
    (one,) = actions.raise_alerts([detection("a")], INFOS, NOW).created
    seen.append(queries.pulse())
    actions.raise_alerts([detection("b")], INFOS, NOW)
    seen.append(queries.pulse())
    actions.acknowledge(one, by="ana@example.com", at=NOW)
    seen.append(queries.pulse())
    assert len(set(seen)) == 4


def test_severity_over_time_counts_each_alert_once(alerts):
    """The chart's buckets hold every alert of the range."""
    buckets = queries.severity_over_time(NOW - 10 * SECOND, NOW + 10 * SECOND, 4)
    assert [sum(one.counts.values()) for one in buckets] == [0, 0, 40, 0]


@pytest.mark.parametrize(
    "cursor",
    ["x", "[]", '["severity",1,2,Infinity]', '["severity",1,2,1e400]', f'["severity",{10**30},2,3]', "[" * 5000],
)
def test_a_cursor_from_elsewhere_is_refused(cursor):
    """Whatever stands in an address line is a page of this list, or a sentence."""
    with pytest.raises(QueryError, match="cursor"):
        queries.alerts(AlertFilter(cursor=cursor))
