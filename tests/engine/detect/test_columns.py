"""What is done for a whole batch at once is what would be done for one event after the other."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import MINUTE
from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, Match, detector, parse_rules
from watchbill.engine.detect.clocks import MOST_AHEAD, Clocks
from watchbill.engine.detect.columns import Columns
from watchbill.engine.detect.evidence import about
from watchbill.engine.detect.fields import text_field
from watchbill.sdk import Event, LogSource

START = 1_700_000_000 * 10**9
VALUES = st.one_of(st.none(), st.text(max_size=3), st.integers(-2, 2), st.lists(st.text(max_size=2), max_size=2))
TIMES = st.integers(-40, 40).map(lambda minute: START + minute * MINUTE)


def event(position, time, received, source="s", host="h", ocsf=None, native=None):
    return Event(
        0, ocsf or {}, native or {}, "m", time=time, host=host, source=source, received=received, position=position,
        logsource=LogSource("linux", "", ""),
    )  # fmt: skip


EVENTS = st.lists(
    st.tuples(TIMES, st.one_of(st.just(0), TIMES), st.sampled_from("st"), st.sampled_from("hi")), max_size=12
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=4), st.sampled_from([{}, {"t": 0}, {"s": 30 * MINUTE, "t": MINUTE}]))
def test_clocks_see_batches_as_single_events(batches, bounds):
    """Which time counts, what is late and where the clocks stand after it, however the events are cut."""
    whole, single = Clocks(bounds=bounds), Clocks(bounds=bounds)
    for batch in batches:
        times, received, sources, hosts = (list(column) for column in zip(*batch, strict=True)) if batch else [[]] * 4
        seen = whole.see_all(sources, hosts, times, received)
        expected = []
        for time, came, source, host in batch:
            one = single.see_all([source], [host], [time], [came])
            expected.append(tuple(column[0] for column in one))
            ahead = came and time > came + MOST_AHEAD
            assert expected[-1][1] == (came if ahead else time)
        assert list(zip(*seen, strict=True)) == expected
        assert (whole.latest, whole.newest, whole.received, whole.late) == (
            single.latest, single.newest, single.received, single.late,
        )  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "user.name", "file.path", "count", "resources"]), VALUES), max_size=8
    ),
    st.lists(st.dictionaries(st.sampled_from(["a", "user.name"]), VALUES), min_size=8, max_size=8),
)
def test_columns_are_what_is_asked_of_each_event(ocsf, native):
    """Fields by the same rules, who is involved, and facts that tell the whole entry."""
    events = [event(place, START, START, ocsf=one, native=native[place]) for place, one in enumerate(ocsf)]
    columns = Columns.of(events, Clocks(), lambda _host: Criticality.LOW)
    for field in ("a", "user.name"):
        assert columns.text(field) == [text_field(one, field) for one in events]
    entries = columns.entries()
    assert [entry.about for entry in entries] == list(map(about, events))
    assert [held.entry() for held in columns.helds([""] * len(events), [], 0)] == [
        type(entry)(*(getattr(entry, name) for name in entry.__struct_fields__)) for entry in entries
    ]
    part = columns.part([place for place in range(len(events)) if place % 2])
    assert part.entries() == entries[1::2]
    assert part.packed() is columns.packed() or list(part.packed()) == columns.packed()[1::2]


RULES = """
title: a
name: a
logsource: {product: linux}
detection: {s: {kind: a}, condition: s}
---
title: Many
name: many
correlation: {type: event_count, rules: [a], group-by: [user], timespan: 5m, condition: {gte: 7}}
---
title: The same, of which no other correlation wants to know
name: same
correlation: {type: event_count, rules: [a], group-by: [user], timespan: 5m, condition: {gte: 7}}
---
title: Of two fields
name: two
correlation: {type: event_count, rules: [a], group-by: [user, host], timespan: 5m, condition: {gte: 7}}
---
title: Values
name: values
correlation: {type: value_count, rules: [a], group-by: [user], timespan: 5m, condition: {gte: 3, field: port}}
---
title: Words
name: words
correlation: {type: temporal, rules: [a, many], group-by: [user], timespan: 5m, condition: "a or many"}
"""
HAPPENED = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(1, 4), st.sampled_from("uuv"), st.sampled_from(["1", "2", "3", ""]),
        st.sampled_from(["feed", "feed", "feed", "restart", "crash"]), st.integers(0, 9),
    ),
    max_size=25,
)  # fmt: skip


def within(events, met):
    """Positions of events in a window of five minutes that meets the condition."""
    found = set()
    for first in events:
        window = [one for one in events if first[1] <= one[1] <= first[1] + 5]
        if met(window):
            found |= {one[0] for one in window}
    return found


@settings(max_examples=150, deadline=None)
@given(HAPPENED, st.sampled_from([1, 4, 250_000]), st.sampled_from([1, 2, 500]))
def test_events_that_count_more_than_once_are_counted_whatever_happens(happened, most_held, at_once):
    """Weights, values, restarts, crashes and little memory: each event is told once by the rules that it belongs to."""
    loaded = parse_rules(RULES, "many.yml")
    assert not loaded.problems
    store, told, counts = {}, defaultdict(set), defaultdict(int)

    def started():
        made = Detector(loaded, lambda _host: Criticality.MEDIUM)
        made.correlator.most_held = most_held
        made.restore(list(store.items()))
        return made

    before, detector._AT_ONCE = detector._AT_ONCE, at_once
    try:
        engine, waiting = started(), []
        arriving = sorted(range(len(happened)), key=lambda place: (happened[place][0] + happened[place][5], place))
        for place in arriving:
            minute, weight, user, port, then, _ = happened[place]
            one = event(
                place, START + minute * MINUTE, START + 60 * MINUTE, native={"kind": "a", "user": user, "port": port}
            )
            one.ocsf["count"] = weight
            waiting.append(one)
            if then == "feed" and place != arriving[-1]:
                continue
            if then == "crash":
                engine.feed(waiting, [Match("a", at) for at in range(len(waiting))])
                engine = started()
            for found in engine.feed(waiting, [Match("a", at) for at in range(len(waiting))]):
                key = found.rule, dict(found.group)["user"]
                told[key] |= {ref.position for ref in found.events}
                counts[key] += found.count
            for key, blob in engine.dirty():
                store[key] = blob
                if blob is None:
                    del store[key]
            waiting = []
            if then == "restart":
                engine = started()
    finally:
        detector._AT_ONCE = before
    expected = {}
    for user in {one[2] for one in happened}:
        mine = [(place, one[0], one[1], one[3]) for place, one in enumerate(happened) if one[2] == user]
        expected["same", user] = within(mine, lambda window: sum(one[2] for one in window) >= 7)
        expected["two", user] = expected["same", user]
        valued = [one for one in mine if one[3]]
        expected["values", user] = within(valued, lambda window: len({one[3] for one in window}) >= 3)
        expected["words", user] = {one[0] for one in mine}
    weights = {place: one[1] for place, one in enumerate(happened)}
    assert told == {key: found for key, found in expected.items() if found}
    assert counts == {key: sum(weights[place] for place in found) for key, found in expected.items() if found}
