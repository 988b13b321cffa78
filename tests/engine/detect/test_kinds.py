"""Every kind of correlation tells what a batch run over the sorted events tells, whatever happens on the way."""

from collections import defaultdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import batch_oracle as batch
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import DAY, MINUTE
from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector
from watchbill.engine.detect.rules import RuleSet, load_rules
from watchbill.sdk import Event, LogSource

START = 1_700_000_000 * 10**9
AHEAD = START + 10**7 * MINUTE


class Happened(NamedTuple):
    """What an event says, how much later it came (minutes), and what happens around it."""

    minute: int
    late: int
    kind: str
    user: str
    host: str
    port: str
    bytes: int
    forged: bool
    batch_ends: bool
    restarts: bool
    crashes: bool
    ticks: bool
    comes_again: bool


HAPPENINGS = st.lists(
    st.builds(
        Happened,
        st.integers(0, 30), st.integers(0, 10), st.sampled_from("aaabbc"), st.sampled_from("uuv"), st.sampled_from("mn"),
        st.sampled_from("112"), st.integers(-2, 20), st.sampled_from([False] * 9 + [True]), *[st.booleans()] * 5,
    ),
    max_size=24,
)  # fmt: skip


@cache
def rules() -> RuleSet:
    with TemporaryDirectory() as folder:
        for name, text in batch.documents():
            (Path(folder) / name).write_text(text)
        loaded = load_rules(Path(folder).glob("*.yml"))
    assert not loaded.problems
    return loaded


def event(position, one):
    """One that is forged says that it is of a far future; it counts by its receipt."""
    received = START + (one.minute + one.late) * MINUTE
    native = {"kind": one.kind, "user": one.user, "port": one.port, "bytes": one.bytes}
    return Event(
        0, {}, native, one.kind, time=AHEAD if one.forged else START + one.minute * MINUTE, host=one.host, source="s",
        logsource=LogSource("linux", "", ""), position=position, received=received,
    )  # fmt: skip


class Seen(NamedTuple):
    """An event as the oracle sees it."""

    position: int
    time: int
    kind: str
    user: str
    port: str
    bytes: int


class Engine:
    """A detector, what is stored of it, and what was told: all that survives a crash."""

    def __init__(self, most_held):
        self.most_held = most_held
        self.store = {}
        self.told, self.count, self.ids = defaultdict(set), defaultdict(int), set()
        self.start()

    def start(self):
        self.detector = Detector(rules(), lambda _host: Criticality.MEDIUM)
        self.detector.correlator.most_held = self.most_held
        self.detector.restore(list(self.store.items()))

    def keep(self, detections):
        """One transaction."""
        for one in detections:
            key = one.rule, dict(one.group)["user"]
            self.told[key] |= {ref.position for ref in one.events}
            self.count[key] += one.count
            assert one.id not in self.ids
            self.ids.add(one.id)
        for key, blob in self.detector.dirty():
            if blob is None:
                self.store.pop(key, None)
            else:
                self.store[key] = blob

    def feed(self, events, *, crashes):
        if crashes:
            self.detector.feed(events, self.detector.match(events))
            self.start()
        self.keep(self.detector.feed(events, self.detector.match(events)))


@settings(max_examples=100, deadline=None)
@given(HAPPENINGS, st.sampled_from([1, 5, 250_000]))
def test_what_is_told_is_what_a_batch_run_tells(happened, most_held):
    """Shuffled within the bound, twice, from the future, in batches, with restarts, crashes, little memory and at odd
    times: each event is told once, of each kind of correlation, and no others.
    """
    engine = Engine(most_held)
    events = [event(place, one) for place, one in enumerate(happened)]
    arriving = sorted(range(len(events)), key=lambda place: (happened[place].minute + happened[place].late, place))
    waiting = []
    for place in arriving:
        one = happened[place]
        waiting += [events[place]] * (1 + one.comes_again)
        if one.batch_ends or place == arriving[-1]:
            engine.feed(waiting, crashes=one.crashes)
            waiting = [events[place]] if one.comes_again else []
            if one.ticks:
                engine.keep(engine.detector.tick(events[place].received))
            if one.restarts:
                engine.start()
    for later in (20 * MINUTE, 5 * DAY):
        engine.keep(engine.detector.tick(START + 60 * MINUTE + later))
    expected = batch.told(
        [
            Seen(place, min(one.time, one.received), *(one.native[name] for name in ("kind", "user", "port", "bytes")))
            for place, one in enumerate(events)
        ]
    )
    assert engine.told == expected
    assert engine.count == {key: len(positions) for key, positions in expected.items()}
    assert engine.detector.counters.late == 0


def test_the_state_is_gone_when_all_is_over():
    """After a thousand events what is stored of them goes, once later ones have passed them."""
    engine = Engine(250_000)
    for place in range(1000):
        one = Happened(place // 10, 0, "abc"[place % 3], f"u{place % 50}", "m", "1", 3, *[False] * 6)
        engine.feed([event(place, one)], crashes=False)
    engine.keep(engine.detector.tick(START + 5 * DAY))
    last = Happened(8 * 24 * 60, 0, "a", "w", "m", "1", 3, *[False] * 6)
    for place in (1001, 1002):
        engine.feed([event(place, last)], crashes=False)
    engine.keep(engine.detector.tick(START + 20 * DAY))
    engine.keep([])
    assert not any(f"u{number}".encode() in blob for blob in engine.store.values() for number in range(10, 50))
    assert engine.detector.counters.groups < 5
