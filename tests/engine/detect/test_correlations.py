"""Whatever the order, the batches and the restarts: what is told is what a batch run over the sorted input tells."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import MINUTE
from watchbill.core.values import Criticality, Severity
from watchbill.engine.detect import Detector, parse_rules
from watchbill.sdk import Event, LogSource

START = 1_700_000_000 * 10**9
BASE = """
title: {0}
name: {0}
logsource: {{product: linux}}
detection: {{s: {{kind: {0}}}, condition: s}}
---
"""
RULES = (
    "".join(map(BASE.format, "abc"))
    + """
title: Many
name: many
correlation: {type: event_count, rules: [a, b], group-by: [user], timespan: 5m, condition: {gte: 3}}
watchbill:
  tiers:
    high: {gte: 2, timespan: 5m, level: critical}
    low: {gte: 4, timespan: 8m, level: low}
---
title: Spread
name: spread
correlation: {type: value_count, rules: [a, b], group-by: [user], timespan: 5m, condition: {gt: 1, field: port}}
---
title: Together
name: together
correlation: {type: temporal, rules: [a, b, c], group-by: [user], timespan: 4m}
---
title: Sequence
name: sequence
correlation: {type: temporal_ordered, rules: [a, b, c], group-by: [user], timespan: 6m}
---
title: Three
name: three
correlation: {type: event_count, rules: [a], group-by: [user, port], timespan: 3m, condition: {gte: 3}}
---
title: Three and then
name: then
correlation: {type: temporal_ordered, rules: [three, c], group-by: [user], timespan: 6m}
"""
)
CRITICALITY = {"h": Criticality.HIGH, "m": Criticality.MEDIUM, "l": Criticality.LOW}


def ruleset():
    loaded = parse_rules(RULES, "many.yml")
    assert not loaded.problems
    return loaded


def event(position, minute, kind, user="u", host="m", port="1", **more):
    time = START + minute * MINUTE
    return Event(
        0, {}, {"kind": kind, "user": user, "port": port}, f"{kind} {user}", time=time, host=host, source="s",
        logsource=LogSource("linux", "", ""), position=position, received=more.pop("received", time), **more,
    )  # fmt: skip


def windows(group, timespan, met):
    """Events within some window of this length that meets the condition."""
    found = set()
    for first in group:
        window = [one for one in group if first.time <= one.time <= first.time + timespan]
        if met(window):
            found |= {one.position for one in window}
    return found


def ordered(group, names, timespan):
    """Events of chains, by trying all of them."""
    found = set()

    def extend(chain):
        if len(chain) == len(names):
            found.update(one.position for _, one in chain)
            return
        for name, one in group:
            fits = not chain or chain[-1][1].time <= one.time <= chain[0][1].time + timespan
            if name == names[len(chain)] and fits:
                extend([*chain, (name, one)])

    extend([])
    return found


def batch_oracle(events):
    """(rule, group) to the evidence, from the whole sorted input at once."""
    told = defaultdict(set)
    by_user = defaultdict(list)
    for one in sorted(events, key=lambda one: one.time):
        by_user[one.native["user"]].append(one)
    tiers = {"h": (2, 5), "m": (3, 5), "l": (4, 8)}
    for user, group in by_user.items():
        kinds = {kind: [one for one in group if one.native["kind"] in kind] for kind in ("a", "ab", "c")}
        for host, (gte, minutes) in tiers.items():
            here = [one for one in kinds["ab"] if one.host == host]
            told["many", user] |= windows(here, minutes * MINUTE, lambda window, gte=gte: len(window) >= gte)
        told["spread", user] = windows(
            kinds["ab"], 5 * MINUTE, lambda window: len({one.native["port"] for one in window}) > 1
        )
        told["together", user] = windows(
            group, 4 * MINUTE, lambda window: {one.native["kind"] for one in window} == {"a", "b", "c"}
        )
        told["sequence", user] = ordered([(one.native["kind"], one) for one in group], "abc", 6 * MINUTE)
        fired, behind = [], defaultdict(set)
        for last in kinds["a"]:
            before = [
                one
                for one in kinds["a"]
                if one.native["port"] == last.native["port"] and last.time - 3 * MINUTE <= one.time <= last.time
            ]
            if len(before) >= 3:
                fired.append(("three", last))
                behind[last.position] = {one.position for one in before}
        chain = ordered(fired + [("c", one) for one in kinds["c"]], ("three", "c"), 6 * MINUTE)
        told["then", user] = set().union(chain, *(behind[position] for position in chain if position in behind))
    return {key: positions for key, positions in told.items() if positions}


def happenings(minutes):
    return st.lists(
        st.tuples(
            st.integers(0, minutes), st.sampled_from("aaaabc"), st.sampled_from("uuuv"), st.sampled_from("mmmhl"),
            st.sampled_from("1112"), st.integers(0, 10), st.booleans(), st.booleans(),
        ),
        max_size=30,
    )  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([6, 15, 40]).flatmap(happenings))
def test_what_is_told_depends_on_the_set_of_events_alone(happened):
    """Shuffled within the bound, cut into batches and restarted, each event is told once, and those that the batch
    run over the sorted input tells, however much of the state is stored as additions.
    """
    events = [event(place, *one[:5]) for place, one in enumerate(happened)]
    arriving = sorted(range(len(events)), key=lambda place: (happened[place][0] + happened[place][5], place))
    rules, store = ruleset(), {}
    detector = Detector(rules, CRITICALITY.get)
    told, count, batch = defaultdict(set), defaultdict(int), []
    for place in arriving:
        batch.append(events[place])
        if happened[place][6] or place == arriving[-1]:
            for detection in detector.feed(batch, detector.match(batch)):
                key = detection.rule, dict(detection.group)["user"]
                told[key] |= {ref.position for ref in detection.events}
                count[key] += detection.count
            batch = []
            store.update(detector.dirty())
            if happened[place][7]:
                detector = Detector(rules, CRITICALITY.get)
                detector.restore([(key, blob) for key, blob in store.items() if blob is not None])
    expected = batch_oracle(events)
    assert told == expected
    assert count == {key: len(positions) for key, positions in expected.items()}


def test_a_tier_has_its_own_threshold_timespan_and_level():
    """Two in five minutes are enough on an asset of high criticality, and the detection says so."""
    detector = Detector(ruleset(), CRITICALITY.get)
    events = [
        event(1, 0, "a", host="h"),
        event(2, 1, "a", host="h"),
        event(3, 0, "b", "w", "l"),
        event(4, 1, "b", "w", "l"),
    ]
    (found,) = detector.feed(events, detector.match(events))
    assert (found.rule, found.severity, found.criticality, found.count) == ("many", Severity.CRITICAL, "high", 2)
    assert found.why[0] == (
        "2 events within 1 min for user u; the threshold is 2 in 5 min, because h is of high criticality."
    )


def test_growth_is_told_and_counted_once():
    """Each further event of an episode comes in one more detection, with an id of its own."""
    detector = Detector(ruleset(), CRITICALITY.get)
    counts, ids = [], set()
    for minute in range(6):
        batch = [event(minute, minute, "b")]
        for found in detector.feed(batch, detector.match(batch)):
            counts.append(found.count)
            ids.add(found.id)
    assert counts == [3, 1, 1, 1]
    assert len(ids) == 4


def test_an_event_from_the_future_moves_no_window():
    """It is judged by its time of receipt, which the detection says."""
    detector = Detector(ruleset(), CRITICALITY.get)
    now = START + 2 * MINUTE
    events = [event(1, 0, "a"), event(2, 10**7, "a", received=now), event(3, 3, "a")]
    for one in events[:2]:
        assert not detector.feed([one], detector.match([one]))
    found = {one.rule: one for one in detector.feed(events[2:], detector.match(events[2:]))}
    assert found["many"].count == 3
    assert found["many"].last == START + 3 * MINUTE
    assert "1 of the events claim to be from the future" in found["many"].why[-1]


def test_events_beyond_the_bound_are_judged_among_themselves_and_flagged():
    """A log that is replayed behind the clock of its source still shows its attackers."""
    detector = Detector(ruleset(), CRITICALITY.get)
    ahead = [event(1, 5000, "c")]
    detector.feed(ahead, detector.match(ahead))
    found = []
    for position in range(2, 6):
        batch = [event(position, position, "b", received=START + 5001 * MINUTE)]
        found += detector.feed(batch, detector.match(batch))
    assert sum(one.count for one in found) == 4
    assert all("late" in one.why[-1] for one in found)


def test_a_flood_is_counted_whole_and_kept_small():
    """Twenty thousand events of one group in one minute: all counted, a bounded state, fifty of them named."""
    detector = Detector(ruleset(), CRITICALITY.get)
    total, named = 0, 0
    for batch_number in range(10):
        batch = [event(batch_number * 2000 + n, 0, "b") for n in range(2000)]
        for place, one in enumerate(batch):
            one.time += (batch_number * 2000 + place) * 10**6
        for found in detector.feed(batch, detector.match(batch)):
            if found.rule == "many":
                total += found.count
                named = max(named, len(found.events))
    assert (total, named) == (20_000, 50)
    assert sum(len(blob or b"") for _, blob in detector.dirty()) < 1_000_000


def test_groups_that_are_over_are_let_go():
    """When its source's clock is past them by the timespan and the bound, their stored state is deleted."""
    detector = Detector(ruleset(), CRITICALITY.get)
    old = [event(n, 0, "b", user=f"u{n}") for n in range(300)]
    detector.feed(old, detector.match(old))
    stored = dict(detector.dirty())
    for minute in range(60, 90):
        batch = [event(minute * 1000, minute, "b", user="new")]
        detector.feed(batch, detector.match(batch))
        stored.update(detector.dirty())
    assert len(detector.correlator) <= 4
    kept = [blob for blob in stored.values() if blob is not None]
    assert len(kept) < 100
    assert not any(b"\xa4u299" in blob for blob in kept)


def test_a_state_of_another_version_of_a_rule_is_dropped():
    """Old windows mean nothing under a new threshold; the caller is told to delete them."""
    detector = Detector(ruleset(), CRITICALITY.get)
    batch = [event(1, 0, "b")]
    detector.feed(batch, detector.match(batch))
    states = [(key, blob) for key, blob in detector.dirty() if blob is not None]
    changed = Detector(parse_rules(RULES.replace("gte: 3}", "gte: 7}"), "many.yml"), CRITICALITY.get)
    changed.restore([*states, ("damaged", b"\xff")])
    assert {key for key, blob in changed.dirty() if blob is None} >= {"damaged"}
    assert changed.correlator.discarded >= 2
