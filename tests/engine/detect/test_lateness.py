"""Each source has a lateness bound of its own: within it order means nothing, beyond it records are judged and flagged."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import MINUTE
from watchbill.core.config import Config
from watchbill.core.times import parse_duration
from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, Match, parse_rules
from watchbill.sdk import Event, LogSource

START = 1_700_000_000 * 10**9
CONFIG = """
[detect]
lateness = "5m"
sources = [
  { name = "syslog-udp:*", lateness = "20m" },
  { name = "syslog-*:198.51.100.9", lateness = "1s" },
]
"""
#: Source to its bound in minutes.
SOURCES = {"app": 5, "syslog-udp:198.51.100.9": 20, "syslog-tcp:198.51.100.9": 0}
RULES = """
title: a
name: a
logsource: {product: linux}
detection: {s: {kind: a}, condition: s}
---
title: Many
name: many
correlation: {type: event_count, rules: [a], group-by: [user], timespan: 5m, condition: {gte: 3}}
---
title: Few
name: few
correlation: {type: event_count, rules: [a], group-by: [user], timespan: 5m, condition: {eq: 2}}
"""
#: Minute, how much later it comes (a share of its source's bound), source, whether it claims to be of the far future,
#: whether the batch ends.
HAPPENED = st.lists(
    st.tuples(
        st.integers(0, 60), st.floats(0, 1), st.sampled_from(list(SOURCES)),
        st.sampled_from([False] * 5 + [True]), st.booleans(),
    ),
    max_size=25,
)  # fmt: skip


def started():
    loaded = parse_rules(RULES, "many.yml")
    assert not loaded.problems
    config = Config.parse(CONFIG).detect
    return Detector(loaded, lambda _host: Criticality.MEDIUM, parse_duration(config.lateness), config.bounds())


def event(position, minute, source, received, *, forged=False):
    time = START + 10**6 * MINUTE if forged else START + minute * MINUTE
    return Event(
        0, {}, {"kind": "a", "user": source}, "a", time=time, source=source, host="h", position=position,
        received=received, logsource=LogSource("linux", "", ""),
    )  # fmt: skip


def fed(detector, events):
    return detector.feed(events, [Match("a", at) for at in range(len(events))])


@settings(deadline=None)
@given(HAPPENED)
def test_within_the_bound_of_its_source_order_means_nothing(happened):
    """Nothing is late, and what is told is what sorted events tell; one from the future counts by its receipt and moves
    nobody's window.
    """
    comes = [minute + share * SOURCES[source] for minute, share, source, _, _ in happened]
    arriving = sorted(range(len(happened)), key=lambda place: (comes[place], place))
    detector, told, waiting = started(), defaultdict(set), []
    times = {}
    for place in arriving:
        minute, _, source, forged, ends = happened[place]
        received = START + int(comes[place] * MINUTE)
        waiting.append(event(place, minute, source, received, forged=forged))
        times[place] = received if forged else START + minute * MINUTE
        if ends or place == arriving[-1]:
            found = fed(detector, waiting)
            waiting = []
            for one in found + detector.tick(received):
                told[one.rule, dict(one.group)["user"]] |= {ref.position for ref in one.events}
                assert not any("late" in said for said in one.why)
            detector.dirty()
    for one in detector.finish():
        told[one.rule, dict(one.group)["user"]] |= {ref.position for ref in one.events}
    expected = defaultdict(set)
    for source in SOURCES:
        mine = sorted((time, place) for place, time in times.items() if happened[place][2] == source)
        for first, _ in mine:
            window = {place for time, place in mine if first <= time <= first + 5 * MINUTE}
            expected["many", source] |= window if len(window) >= 3 else set()
        while mine:
            window = [place for time, place in mine if time <= mine[0][0] + 5 * MINUTE]
            expected["few", source] |= set(window) if len(window) == 2 else set()
            mine = mine[len(window) :]
    assert detector.counters.late == 0
    assert told == {key: found for key, found in expected.items() if found}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 90), st.sampled_from(list(SOURCES))), max_size=20), st.integers(1, 20))
def test_what_is_beyond_the_bound_is_judged_flagged_and_counted(happened, size):
    """However the records are shuffled: exactly those are late that lie before their source's latest by more than its
    bound, and three late ones at once are told as such.
    """
    detector = started()
    last = START + 200 * MINUTE
    events = [event(place, minute, source, last) for place, (minute, source) in enumerate(happened)]
    for start in range(0, len(events), size):
        fed(detector, events[start : start + size])
        detector.dirty()
    latest, expected = {}, 0
    for minute, source in happened:
        bound = 1 / 60 if source.startswith("syslog-tcp") else SOURCES[source]
        expected += minute < latest.get(source, 0) - bound
        latest[source] = max(minute, latest.get(source, 0))
    assert detector.counters.late == expected
    for source in SOURCES:
        place = len(events) + 10 * (1 + list(SOURCES).index(source))
        fed(detector, [event(place, 5000, source, START + 5000 * MINUTE)])
        found = fed(detector, [event(place + 1 + at, 1000, source, START + 5000 * MINUTE) for at in range(3)])
        assert [(one.rule, one.count) for one in found] == [("many", 3)]
        assert "3 of the events came more than" in found[0].why[-1]
