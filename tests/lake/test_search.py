"""Pages, totals, histograms, facets and exports over many files that grow, shrink and overlap in time."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.core.clock import DAY, SECOND
from watchbill.core.errors import QueryError
from watchbill.lake import Lake

ALWAYS = (0, 1 << 62)


@pytest.fixture(scope="module")
def scattered_folder(tmp_path_factory, event, start):
    """Forty commits over three days, a third of the events late by hours: files overlap in time. With their times."""
    folder = tmp_path_factory.mktemp("scattered")
    lake, chance, times = Lake(folder), random.Random(7), {}
    for commit in range(40):
        events = []
        for position in range(commit * 25, commit * 25 + 25):
            late = chance.randrange(12 * 3600) if chance.random() < 0.3 else 0
            times[position] = start + (position * 200 - late) * SECOND
            one = event(
                position,
                f"n{position % 7}",
                time=times[position],
                user__name=f"u{position % 3}",
                host=f"h{position % 4}",
            )
            one.received = start + position * 200 * SECOND
            events.append(one)
        lake.append(0, events, [("odd",) if e.position % 2 else () for e in events], events[-1].position + 1)
    return folder, times


@pytest.fixture
def scattered(lake, scattered_folder):
    """A lake of its own for each test, with the scattered events; their times by position."""
    shutil.copytree(scattered_folder[0], lake.path)
    return scattered_folder[1]


def paged(lake, query, span, **options):
    """All positions of a query, page by page."""
    found, cursor = [], ""
    while True:
        page = lake.search(query, *span, cursor=cursor, **options)
        found += [row.position for row in page.rows]
        if not (cursor := page.cursor):
            return found


@pytest.mark.parametrize("compacted", [False, True], ids=["small files", "compacted"])
@pytest.mark.parametrize("patience", [10.0, 0.0], ids=["patient", "impatient"])
@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest first", "oldest first"])
def test_pages_are_the_whole_in_order(lake, scattered, compacted, patience, oldest_first, monkeypatch):
    """Late events, overlapping files and lost patience change nothing in what all pages say together."""
    monkeypatch.setattr("watchbill.lake.search._LOOKS", (30, 60))
    if compacted:
        lake.compact(list_words_from=0)
    wanted = sorted((n for n in scattered if n % 7 == 3), key=lambda n: (scattered[n], n), reverse=not oldest_first)
    assert paged(lake, "n3", ALWAYS, limit=17, patience=patience, oldest_first=oldest_first) == wanted


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(begin=st.integers(-DAY, 3 * DAY), length=st.integers(0, 3 * DAY))
def test_a_time_range_is_half_open(lake, scattered, start, begin, length):
    """[start, end) of event time, in rows, total and histogram alike."""
    span = (start + begin, start + begin + length)
    wanted = {n for n, time in scattered.items() if span[0] <= time < span[1]}
    page = lake.search("", *span, limit=1000)
    assert {row.position for row in page.rows} == wanted
    assert (page.total.count, page.total.exact) == (len(wanted), True)
    assert sum(bucket.count for bucket in lake.histogram("", *span, 13).buckets) == len(wanted)


def test_a_histogram_puts_each_event_in_its_bucket(lake, scattered, start):
    """Edges are equal steps, and every count can be done by hand."""
    histogram = lake.histogram("user:u1", start, start + 2 * DAY, 48)
    assert len(histogram.buckets) == 48
    for bucket in histogram.buckets:
        assert bucket.count == sum(n % 3 == 1 and bucket.start <= t < bucket.end for n, t in scattered.items())


def test_facets_count_values_of_the_matches(lake, scattered):
    """Hosts, users, classes and rules, most frequent first."""
    facets = lake.facets("user:u1", *ALWAYS)
    matching = [n for n in scattered if n % 3 == 1]
    assert (facets.of, facets.whole) == (len(matching), True)
    assert facets.fields["user"] == (("u1", len(matching)),)
    assert dict(facets.fields["host"]) == {f"h{k}": sum(n % 4 == k for n in matching) for k in range(4)}
    assert facets.fields["class"] == (("3002", len(matching)),)
    assert facets.fields["rule"] == (("odd", sum(n % 2 for n in matching)),)


def test_an_impatient_total_says_at_least(lake, event, monkeypatch):
    """What was not counted is not made up."""
    monkeypatch.setattr("watchbill.lake.search._LOOKS", (700, 700))
    for commit in range(3):
        events = [event(n) for n in range(commit * 600, commit * 600 + 600)]
        lake.append(0, events, [()] * len(events), events[-1].position + 1)
    assert str(lake.search("hello", *ALWAYS, patience=0.0).total) == "at least 600"
    assert str(lake.search("hello", *ALWAYS, patience=60.0).total) == "1,800"
    assert str(lake.search("", *ALWAYS, patience=0.0).total) == "1,800"


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 10_000}, {"cursor": "tomorrow"}])
def test_impossible_pages_are_refused(lake, options):
    """A limit and a cursor are input like any other."""
    with pytest.raises(QueryError):
        lake.search("", *ALWAYS, **options)


def test_an_empty_lake_answers(lake):
    """Before the first event there is nothing to find, which is no error."""
    assert lake.search("x", *ALWAYS).rows == ()
    assert lake.histogram("", *ALWAYS, 5).buckets
    assert lake.facets("", *ALWAYS).of == 0
    assert lake.get(0, 0) is None
    assert list(lake.export("", *ALWAYS, "json")) == []


def test_searches_go_on_through_compaction_and_vacuum(lake, scattered):
    """A reader that listed files before they went lists them again."""
    reader = Lake(lake.path)
    assert reader.search("", *ALWAYS).total.count == 1000
    assert lake.compact() > 30
    assert lake.vacuum(retention_hours=0) > 30
    assert reader.search("n1", *ALWAYS, limit=1000).total.count == len([n for n in scattered if n % 7 == 1])
    assert len(list(lake.path.rglob("*.parquet"))) - len(list(lake.path.rglob("*.checkpoint.parquet"))) == 3
    assert lake.position(0) == 1000
    reader.close()


def test_compaction_beside_appends(lake, event):
    """Another process compacts while this one appends: nothing lost, nothing twice."""
    other = Lake(lake.path)
    for commit in range(30):
        lake.append(0, [event(commit)], [()], commit + 1)
        if commit % 5 == 4:
            other.compact()
    assert sorted(row.position for row in other.rows("", *ALWAYS)) == list(range(30))
    other.close()


def test_json_export_is_one_object_a_line(lake, fill, event):
    """All attributes, times in RFC 3339, the id and the rules."""
    fill([event(1, "a, “b”\nc", user__name="root", src_endpoint__port=22)], [("r1",)])
    line = json.loads(b"".join(lake.export("", *ALWAYS, "json")))
    assert (line["id"], line["message"], line["src_endpoint.port"]) == ("0-1", "a, “b”\nc", 22)
    assert (line["time"], line["rules"]) == ("2026-03-04T00:00:01Z", ["r1"])


def test_csv_export_is_read_back_whole_and_runs_nothing(lake, fill, event):
    """Quotes and newlines survive; a cell never begins as a formula."""
    fill([event(1, 'a,"b"\nc', user__name="=cmd()")])
    head, cells = csv.reader(io.StringIO(b"".join(lake.export("", *ALWAYS, "csv")).decode()))
    values = dict(zip(head, cells, strict=True))
    assert (values["message"], values["user"], values["id"]) == ('a,"b"\nc', "'=cmd()", "0-1")


def test_an_export_is_streamed_in_order(lake, event):
    """More than one page's worth comes out newest first, each once."""
    lake.append(0, [event(n) for n in range(12_000)], [()] * 12_000, 12_000)
    lines = b"".join(lake.export("", *ALWAYS, "json")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"0-{n}" for n in reversed(range(12_000))]
    with pytest.raises(QueryError):
        lake.export("", *ALWAYS, "xlsx")


def test_the_search_connection_is_shut_in(lake, fill, event, tmp_path):
    """Even SQL of our own could not read a file outside the lake."""
    fill([event(1)])
    assert lake.search("", *ALWAYS).rows
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    connection = lake._duck._connected()
    for hostile in ("FROM read_csv(?)", "COPY (SELECT 1) TO ?"):
        with pytest.raises(duckdb.PermissionException):
            connection.execute(hostile, [str(secret)])
    with pytest.raises(duckdb.Error, match="locked"):
        connection.execute("SET enable_external_access = true")
