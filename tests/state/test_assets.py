"""Assets and sources: what is there, how much it matters, and whether it still speaks."""

from __future__ import annotations

import pytest

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND
from watchbill.core.errors import ConflictError, NotFoundError, QueryError
from watchbill.core.values import Criticality
from watchbill.ledger import SourceFacts
from watchbill.sdk import Event
from watchbill.state.assets import actions, histogram, queries
from watchbill.state.assets.tally import tally
from watchbill.state.assets.values import AssetFilter, SourceBatch, SourceState
from watchbill.state.trail import queries as trail

NOW = 1_772_600_400 * SECOND - 1_772_600_400 * SECOND % HOUR + 10 * MINUTE
ADMINISTRATOR = "admin@example.com"
FILE = SourceFacts(1, "/var/log/auth.log", "file", {})


def event(host="web-01", *, received=NOW, time=NOW - SECOND, flaw="", parser="sshd"):
    return Event(3002, {}, {}, "m", time=time, host=host, parser=parser, source=FILE.name, received=received, flaw=flaw)


def observed(*events, facts=FILE, at=NOW):
    return actions.observe(*tally([(facts, one) for one in events]), at)


def batch(received, *, transport="file", number=1, events=1):
    return SourceBatch(0, number, f"source-{number}", transport, received, received, events=events)


def test_unknown_hosts_become_assets():
    """A host that nobody named is there at once, of medium criticality and not reviewed; upper case is the same host."""
    assert observed(event("web-01"), event("WEB-01"), event("db-01")) == ("db-01", "web-01")
    assert observed(event("web-01")) == ()
    view = queries.asset("Web-01", now=NOW)
    assert (view.criticality, view.reviewed, view.events) == (Criticality.MEDIUM, False, 3)
    assert [(one.source, one.parser) for one in view.seen_sources] == [(FILE.name, "sshd")]


def test_source_statistics():
    """Events, quarantine, delay, skew and rate are those of what was received."""
    late = [event(time=NOW - 100 * SECOND) for _ in range(10)]
    observed(*[event() for _ in range(90)], *late, event(flaw="truncated JSON"))
    (view,) = queries.sources(now=NOW)
    assert (view.events, view.quarantined, view.last_error) == (101, 1, "truncated JSON")
    assert SECOND / 2 <= view.delay_p50 <= 1.1 * SECOND
    assert 64 * SECOND <= view.delay_p95 <= 132 * SECOND
    assert view.rate[-1] == 101
    assert (view.format, view.state) == ("sshd", SourceState.ALIVE)


def test_a_clock_that_runs_ahead_is_seen():
    """An event from the future says how far the source's clock is ahead."""
    observed(event(time=NOW + 30 * SECOND))
    assert queries.sources(now=NOW)[0].skew == 30 * SECOND


def test_silence_is_judged_by_the_sources_own_history():
    """A source that speaks each minute is silent after an hour; announced once, and its return too."""
    at = NOW
    for _ in range(30):
        actions.observe([batch(at)], [], at)
        at += MINUTE
    last = at - MINUTE
    (view,) = queries.sources(now=last + 59 * MINUTE)
    assert (view.state, view.silent_after) == (SourceState.ALIVE, HOUR)
    (change,) = actions.watch_silence(last + 2 * HOUR)
    assert (change.silent, change.length) == (True, 2 * HOUR)
    assert actions.watch_silence(last + 3 * HOUR) == ()
    back = last + 4 * HOUR
    actions.observe([batch(back)], [], back)
    (change,) = actions.watch_silence(back)
    assert (change.silent, change.length) == (False, 4 * HOUR)
    assert [one.action for one in trail.about("source", "0-1")] == ["source.returned", "source.silent"]


def test_new_sources_get_a_day():
    """Without a history a source is borne for a day and no longer."""
    actions.observe([batch(NOW)], [], NOW)
    assert queries.sources(now=NOW + DAY)[0].state is SourceState.ALIVE
    assert queries.sources(now=NOW + DAY + 1)[0].state is SourceState.SILENT


@pytest.mark.parametrize(("transport", "expected"), [("replay", SourceState.RECORDED), ("internal", SourceState.ALIVE)])
def test_of_some_nothing_is_expected(transport, expected):
    """Recordings end, and Watchbill itself speaks when something happens."""
    actions.observe([batch(NOW, transport=transport)], [], NOW)
    assert queries.sources(now=NOW + 99 * DAY)[0].state is expected


def test_the_bound_can_be_set():
    """People know better than history."""
    actions.observe([batch(NOW)], [], NOW)
    actions.set_silent_after("0-1", 5 * MINUTE, by=ADMINISTRATOR, at=NOW)
    assert queries.source("0-1", now=NOW + 6 * MINUTE).state is SourceState.SILENT
    actions.set_silent_after("0-1", 0, by=ADMINISTRATOR, at=NOW)
    assert queries.source("0-1", now=NOW + 99 * DAY).state is SourceState.ALIVE
    with pytest.raises(NotFoundError):
        actions.set_silent_after("0-x", 5, by=ADMINISTRATOR, at=NOW)


def test_unreadable_until_it_is_read_again():
    """What cannot be read says why; the next record mends it."""
    actions.note_unreadable(0, 1, FILE.name, "file", "permission denied", NOW)
    view = queries.source("0-1", now=NOW)
    assert (view.state, view.reasons) == (SourceState.UNREADABLE, ("permission denied",))
    observed(event())
    assert queries.source("0-1", now=NOW).state is SourceState.ALIVE


def test_criticality_owner_and_expected_sources():
    """What people say of an asset holds for its aliases, and stands on the trail."""
    observed(event("web-01"))
    actions.set_criticality(["web-01"], Criticality.HIGH, by=ADMINISTRATOR, at=NOW)
    actions.set_owner(["web-01"], "it-operations", by=ADMINISTRATOR, at=NOW)
    actions.set_expected_sources("web-01", ["sshd", "auditd"], by=ADMINISTRATOR, at=NOW)
    actions.rename("web-01", "shop", by=ADMINISTRATOR, at=NOW)
    view = queries.asset("web-01", now=NOW)
    assert (view.name, view.aliases, view.reviewed, view.missing) == ("shop", ("web-01",), True, ("auditd",))
    assert queries.criticalities() == {"shop": Criticality.HIGH, "web-01": Criticality.HIGH}
    assert observed(event("WEB-01")) == ()
    assert queries.asset("shop", now=NOW).events == 2
    high = queries.coverage(now=NOW)[0]
    assert (high.assets, high.sending, high.owned, high.with_missing_sources) == (1, 1, 1, 1)
    assert len([one for one in trail.entries() if one.actor == ADMINISTRATOR]) == 4


def test_an_alias_takes_over_an_unreviewed_twin():
    """The same machine under two names becomes one asset; a reviewed one is left alone."""
    observed(event("web-01"), event("web-01.example.com"))
    actions.add_alias("web-01", "web-01.example.com", by=ADMINISTRATOR, at=NOW)
    assert queries.assets(now=NOW).total == 1
    assert queries.asset("web-01", now=NOW).events == 2
    actions.add_asset("db-01", by=ADMINISTRATOR, at=NOW)
    with pytest.raises(ConflictError):
        actions.add_alias("web-01", "db-01", by=ADMINISTRATOR, at=NOW)


def test_inventory_filters_and_pages():
    """Text, criticality and pages narrow the list; a sort that is not known is refused."""
    observed(*[event(f"web-{n}") for n in range(7)], event("db-01"))
    actions.set_criticality(["db-01"], Criticality.HIGH, by=ADMINISTRATOR, at=NOW)
    assert queries.assets(AssetFilter(text="web"), now=NOW).total == 7
    assert [one.name for one in queries.assets(AssetFilter(criticality=(Criticality.HIGH,)), now=NOW).items] == [
        "db-01"
    ]
    page = queries.assets(AssetFilter(size=3, page=3), now=NOW)
    assert (len(page.items), page.pages) == (2, 3)
    with pytest.raises(QueryError):
        queries.assets(AssetFilter(sort="colour"), now=NOW)


def test_hours_are_kept_and_forgotten():
    """Each hour is counted; what is old can be forgotten."""
    actions.observe([batch(NOW - 2 * HOUR, events=5)], [], NOW)
    actions.observe([batch(NOW, events=7)], [], NOW)
    assert [one.events for one in queries.source_hours("0-1", now=NOW, days=1)][-3:] == [5, 0, 7]
    assert actions.forget_hours(NOW - HOUR) == 1


def test_histogram_quantiles_stand_in_their_bucket():
    """A quantile is at most a factor of two from the truth."""
    counts: list[int] = []
    for value in range(1000):
        histogram.add(counts, value)
    assert 256 <= histogram.quantile(counts, 0.5) <= 1000
    assert histogram.quantile([], 0.5) is None
    assert histogram.merged([1], [1, 2, 3]) == [2, 2, 3]
