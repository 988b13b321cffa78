"""Retention and erasure through the whole product: ledger, lake and alerts let go of the same records."""

import pytest

from watchbill.core.clock import DAY, SECOND, SystemClock
from watchbill.core.errors import ConflictError, DeniedError, NotFoundError, WatchbillError
from watchbill.flows import retention
from watchbill.lake import Lake
from watchbill.ledger import Reader, verify_ledger
from watchbill.state.retention import actions, queries
from watchbill.state.retention.values import ErasureReason, ErasureState


def line(n, user="anna", host="web-01"):
    return f"<38>1 2026-03-05T11:{n // 60 % 60:02d}:{n % 60:02d}Z {host} sshd {n + 9} - - Failed password for {user} from 203.0.113.9 port 22 ssh2"


@pytest.fixture
def week(place):
    """Two sources on seven days, judged."""
    start = place.clock.now()
    for day in range(7):
        place.clock.at = start + day * DAY
        place.receive(*[line(n) for n in range(20)], source="web-01", transport="syslog-tcp", format="syslog")
        place.receive(*[line(n, "ben", "db-01") for n in range(10)], source="db-01", transport="file")
    place.clock.at = start + 7 * DAY
    place.judge()
    assert len(place.searched()) >= 210
    return place


def positions(place, source=None):
    reader = Reader(place.data.ledger, 0)
    names = {one.number: one.name for one in reader.sources()}
    found = [r.position for r in reader.read(0, 1 << 20) if r.source and source in (None, names[r.source])]
    reader.close()
    return found


def in_lake(place):
    return [position for shard, position, _ in place.searched() if shard == 0]


def test_a_policy_deletes_what_is_older_everywhere(week):
    """Three days for one source: its older records go from ledger and lake, the other's stay, and all verifies."""
    before = positions(week, "db-01")
    actions.set_policy("web", 3, source="web-*", by="admin", at=week.clock.now())
    (going,) = retention.plan(week.data, week.clock.now())
    assert (going.policy, going.sources, going.records) == ("web", ("web-01",), 80)
    assert going.size > 1000
    assert len(positions(week, "web-01")) == 140
    assert retention.run(week.data, week.clock, by="admin") == (going,)
    assert (len(positions(week, "web-01")), positions(week, "db-01")) == (60, before)
    assert in_lake(week) == positions(week)
    report = verify_ledger(week.data.ledger, keys=week.data.keys)
    assert report.ok, report.findings
    assert sum(report.shards[0].deleted.values()) == 80
    (gone,) = retention.deletions(week.data)
    assert (gone.kind, gone.why, gone.days, gone.sources, gone.records) == ("retention", "web", 3, ("web-01",), 80)
    assert retention.plan(week.data, week.clock.now()) == ()
    assert retention.run(week.data, week.clock) == ()


def test_the_longest_of_several_policies_counts_and_none_keeps_for_ever(week):
    """A source without a policy is never deleted; of two that fit, the one that keeps longer decides; 0 is for ever."""
    now = week.clock.now()
    assert retention.plan(week.data, now) == ()
    actions.set_policy("short", 2, by="admin", at=now)
    actions.set_policy("files", 0, transport="file", by="admin", at=now)
    actions.set_policy("syslog", 5, form="syslog", by="admin", at=now)
    (going,) = retention.plan(week.data, now)
    assert (going.policy, going.records) == ("syslog", 40)
    actions.remove_policy("syslog", by="admin", at=now)
    assert [(one.policy, one.records) for one in retention.plan(week.data, now)] == [("short", 100)]


def test_a_hold_keeps_what_the_policy_would_delete_until_it_is_released(week):
    """By source and by period of receipt; what is outside goes."""
    now, start = week.clock.now(), week.clock.now() - 7 * DAY
    actions.set_policy("all", 1, by="admin", at=now)
    assert sum(one.records for one in retention.plan(week.data, now)) == 180
    hold = actions.place_hold("case 7", source="web-01", start=start + 2 * DAY, end=start + 4 * DAY, by="admin", at=now)
    assert sum(one.records for one in retention.plan(week.data, now)) == 140
    retention.run(week.data, week.clock)
    assert len(positions(week, "web-01")) == 60
    assert verify_ledger(week.data.ledger, keys=week.data.keys).ok
    assert in_lake(week) == positions(week)
    actions.release_hold(hold, by="admin", at=now)
    assert [one.records for one in retention.plan(week.data, now)] == [40]
    with pytest.raises(ConflictError):
        actions.release_hold(hold, by="admin", at=now)


def test_sources_of_one_name_are_told_apart_in_the_lake(week):
    """The lake knows names alone: of a name with two transports, only what the ledger let go goes."""
    start = week.clock.now() - 7 * DAY
    week.receive(line(1), source="web-01", transport="http")
    week.judge()
    week.clock.at = start + 30 * DAY
    actions.set_policy("web", 3, source="web-01", transport="syslog-tcp", by="admin", at=week.clock.now())
    retention.run(week.data, week.clock)
    assert len(positions(week, "web-01")) == 1
    assert in_lake(week) == positions(week)


def test_a_crash_after_the_entry_is_taken_up_again(week, monkeypatch):
    """The signed entry is there and nothing was deleted yet: the next maintenance does it."""
    actions.set_policy("web", 3, source="web-*", by="admin", at=week.clock.now())

    def crash(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(retention, "apply", crash)
        with pytest.raises(KeyboardInterrupt):
            retention.run(week.data, week.clock)
    assert len(positions(week)) == 210
    assert retention.plan(week.data, week.clock.now()) == ()
    retention.apply(week.data, week.clock)
    assert in_lake(week) == positions(week)
    assert len(positions(week)) == 130


def test_an_erasure_needs_two_people_and_reaches_every_copy(week):
    """Found by search, proposed, approved by another: bytes, lake rows and evidence are gone; the proof verifies."""
    from watchbill.state.alerts.models import Evidence

    lake = Lake(week.data.lake)
    found = retention.find(lake, "user:ben", 0, 1 << 62)
    lake.close()
    assert (found.records, len(found.ranges)) == (70, 7)
    now = week.clock.now()
    erasure = actions.propose_erasure(
        found.ranges,
        reason=ErasureReason.DATA_SUBJECT,
        query="user:ben",
        note="letter of ben",
        by="anna@example.com",
        at=now,
    )
    with pytest.raises(DeniedError, match="does not approve"):
        actions.decide_erasure(erasure, approve=True, by="anna@example.com", at=now)
    retention.apply(week.data, week.clock)
    assert len(positions(week, "db-01")) == 70
    actions.decide_erasure(erasure, approve=True, by="carl@example.com", at=now)
    with pytest.raises(ConflictError):
        actions.decide_erasure(erasure, approve=False, by="carl@example.com", at=now)
    held = set(Evidence.objects.filter(message__contains="ben").values_list("shard", "position"))
    retention.apply(week.data, week.clock)
    assert positions(week, "db-01") == []
    assert in_lake(week) == positions(week)
    assert held
    assert not Evidence.objects.filter(message__contains="ben").exists()
    report = verify_ledger(week.data.ledger, keys=week.data.keys)
    assert report.ok, report.findings
    assert sum(report.shards[0].deleted.values()) == 70
    done = queries.erasure(erasure)
    assert (done.state, done.query, done.note, done.records) == (ErasureState.DONE, "", "", 70)
    stored = b"".join(path.read_bytes() for path in (week.data.ledger / "shard-0000").rglob("*") if path.is_file())
    assert b"letter" not in stored
    assert b"carl@" not in stored
    assert b"for ben" not in b"".join(path.read_bytes() for path in week.data.lake.rglob("*.parquet"))
    (gone,) = retention.deletions(week.data)
    assert (gone.kind, gone.why, gone.records) == ("erasure", f"{erasure}: data subject", 70)


def test_a_rejected_erasure_changes_nothing_and_forgets_its_query(week):
    """The proposer may withdraw it."""
    now = SystemClock().now()
    erasure = actions.propose_erasure([(2, 3)], reason=ErasureReason.SECRET, query="ben", note="", by="anna", at=now)
    actions.decide_erasure(erasure, approve=False, by="anna", at=now)
    retention.apply(week.data, week.clock)
    assert len(positions(week)) == 210
    assert (queries.erasure(erasure).state, queries.erasure(erasure).query) == (ErasureState.REJECTED, "")


@pytest.mark.parametrize("wrong", ["name", "days", "pattern", "reason", "period", "nothing", "unknown"])
def test_what_makes_no_sense_is_refused(place, wrong):
    """With a sentence, and nothing is stored."""
    asked = {
        "name": lambda: actions.set_policy(" ", 3, by="a", at=1),
        "days": lambda: actions.set_policy("x", 40_000, by="a", at=1),
        "pattern": lambda: actions.set_policy("x", 3, source="a?[b]", by="a", at=1),
        "reason": lambda: actions.place_hold(" ", by="a", at=1),
        "period": lambda: actions.place_hold("x", start=5 * SECOND, end=5 * SECOND, by="a", at=1),
        "nothing": lambda: actions.propose_erasure([], reason=ErasureReason.COURT, query="x", note="", by="a", at=1),
        "unknown": lambda: actions.release_hold("H-99", by="a", at=1),
    }
    with pytest.raises(NotFoundError if wrong in {"nothing", "unknown"} else WatchbillError):
        asked[wrong]()
    assert (queries.policies(), queries.holds(), queries.erasures()) == ((), (), ())
