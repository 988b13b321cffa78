"""What a batch run over the sorted events says, kind by kind, written to be obviously right and not to be fast."""

from collections import defaultdict
from fractions import Fraction
from statistics import median

from watchbill.core.clock import MINUTE

BASE = """
title: {0}
name: {0}
logsource: {{product: linux}}
detection: {{s: {{kind: {0}}}, condition: s}}
---
"""
RULE = """
title: {0}
name: {0}
correlation: {{rules: {1}, group-by: [user], timespan: {2}m, type: {3}}}
"""
#: name: (rules, minutes, type and condition, the figure of a window, whether a figure meets it)
SETTLED = {
    "few": ("ab", 5, "event_count, condition: {lt: 3}", len, lambda n: n < 3),
    "exact": ("ab", 5, "event_count, condition: {eq: 2}", len, lambda n: n == 2),
    "range": ("abc", 7, "event_count, condition: {gt: 1, lte: 3}", len, lambda n: 1 < n <= 3),
    "spread": ("ab", 5, "value_count, condition: {neq: 2, field: port}", lambda w: len({o.port for o in w}), lambda n: n != 2),
    "most": ("ab", 5, "value_sum, condition: {lte: 20, field: bytes}", lambda w: sum(o.bytes for o in w), lambda n: n <= 20),
    "average": (
        "ab", 6, "value_avg, condition: {gt: 7.5, field: bytes}",
        lambda w: Fraction(sum(o.bytes for o in w), len(w)), lambda n: n > Fraction(15, 2),
    ),
    "middle": ("ab", 6, "value_median, condition: {lte: 5, field: bytes}", lambda w: median(o.bytes for o in w), lambda n: n <= 5),
    "ninety": (
        "ab", 9, "value_percentile, condition: {gte: 15, percentile: 90, field: bytes}",
        lambda w: sorted(o.bytes for o in w)[-(-9 * len(w) // 10) - 1], lambda n: n >= 15,
    ),
    "kinds": ("abc", 4, "temporal, condition: {lt: 2}", lambda w: len({o.kind for o in w}), lambda n: n < 2),
    "without": ("ab", 4, 'temporal, condition: "a and not b"', lambda w: {o.kind for o in w}, lambda n: n == {"a"}),
}  # fmt: skip
GROWING = {
    "total": ("ab", 5, "value_sum, condition: {gte: 25, field: bytes}", lambda w: sum(max(0, o.bytes) for o in w) >= 25),
    "words": (
        "abc", 4, 'temporal, condition: "a and (b or c)"', lambda w: (k := {o.kind for o in w}) and "a" in k and len(k) > 1,
    ),
}  # fmt: skip
RARE = ("ab", 8, "value_percentile, condition: {lte: 30, field: port}")
PAIR = ("[a, b]", 5, "event_count, condition: {eq: 2}")
CHAIN = ("[pair, c]", 10, "temporal_ordered")
ABSENCES = {"missing": ("[a, b]", 5), "again": ("[c]", 6)}


def documents():
    """The rules as files: names and texts."""
    main = "".join(map(BASE.format, "abc"))
    parts = [(name, f"[{', '.join(one[0])}]", *one[1:3]) for name, one in {**SETTLED, **GROWING, "rare": RARE}.items()]
    main += "---".join(RULE.format(*part) for part in [*parts, ("pair", *PAIR), ("then", *CHAIN)])
    yield "main.yml", main
    for name, (rules, minutes) in ABSENCES.items():
        governed = f"watchbill: {{absence: {rules[-2]}}}\n"
        yield f"{name}.yml", RULE.format(name, rules, minutes, "temporal_ordered") + governed


def consecutive(events, minutes):
    """Windows one after the other, each begun by the first event that is in none."""
    while events:
        window = [one for one in events if one.time <= events[0].time + minutes * MINUTE]
        yield window
        events = events[len(window) :]


def settled(events, minutes, figure, met):
    return [window for window in consecutive(events, minutes) if met(figure(window))]


def rare(events):
    for window in consecutive(events, RARE[1]):
        for one in window:
            if 100 * sum(other.port == one.port for other in window) <= 30 * len(window):
                yield one


def growing(events, minutes, met):
    for first in events:
        window = [one for one in events if first.time <= one.time <= first.time + minutes * MINUTE]
        if met(window):
            yield from window


def missing(events, begins, expected, minutes):
    for place, one in enumerate(events):
        if one.kind != begins:
            continue
        later = events[place + 1 :] if begins == expected else [two for two in events if two.time >= one.time]
        if not any(two.kind == expected and two.time <= one.time + minutes * MINUTE for two in later):
            yield one


def chained(events):
    """A window of exactly two, and then a c within ten minutes after its last event."""
    windows = settled([one for one in events if one.kind in "ab"], 5, len, lambda n: n == 2)
    for window in windows:
        for last in events:
            if last.kind == "c" and window[-1].time <= last.time <= window[-1].time + CHAIN[1] * MINUTE:
                yield from (*window, last)


def told(events):
    """(rule, user) to the positions that are evidence."""
    found = defaultdict(set)
    for user in {one.user for one in events}:
        mine = sorted((one for one in events if one.user == user), key=lambda one: (one.time, one.position))
        of = {kinds: [one for one in mine if one.kind in kinds] for kinds in ("ab", "abc")}
        for name, (kinds, minutes, _, figure, met) in SETTLED.items():
            found[name, user] = {one.position for window in settled(of[kinds], minutes, figure, met) for one in window}
        for name, (kinds, minutes, _, met) in GROWING.items():
            found[name, user] = {one.position for one in growing(of[kinds], minutes, met)}
        found["rare", user] = {one.position for one in rare(of["ab"])}
        found["then", user] = {one.position for one in chained(mine)}
        found["missing", user] = {one.position for one in missing(mine, "a", "b", 5)}
        found["again", user] = {one.position for one in missing(mine, "c", "c", 6)}
    return {key: positions for key, positions in found.items() if positions}
