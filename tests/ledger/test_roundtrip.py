"""What is appended is what is read, whatever the batches, ticks and restarts."""

import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.ledger import Reader, shards, verify, verify_ledger
from watchbill.ledger import writer as writer_module
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.tree import leaf_hash, root

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.lists(st.binary(max_size=40), max_size=60)),
        st.tuples(st.sampled_from(["commit", "tick", "reopen", "drop"]), st.integers(0, 2), st.just([])),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_any_history_reads_back_and_verifies(new_place, steps):
    """Appends, commits, ticks, drops and restarts in any order: every record is there once, in order, proven."""
    place = new_place()
    writer = place.writer()
    expected = []
    for what, which, raws in steps:
        place.clock.advance(SECOND // 3)
        if what == "append":
            source = writer.source(f"host-{which}", "syslog-tcp")
            writer.append(source, raws, place.clock.now(), which)
            expected += [(source, raw, which) for raw in raws]
        elif what == "drop":
            writer.drop(writer.source(f"host-{which}", "syslog-tcp"), 3, "queue full")
        elif what == "commit":
            writer.commit()
        elif what == "tick":
            writer.tick()
        else:
            writer.close()
            writer = place.writer()
    writer.close()
    reader = Reader(place.ledger, 0)
    records = reader.read(0, 10_000)
    assert [record.position for record in records] == list(range(reader.head()))
    assert [(r.source, r.raw, r.source_time) for r in records if r.source] == expected
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    assert report.events == reader.head()
    reader.close()


def test_a_small_volume_size_makes_many_volumes_that_read_as_one(place, monkeypatch):
    """Volumes follow each other without a seam, for the reader and the verifier."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 20_000)
    with place.writer() as writer:
        source = writer.source("web-01", "syslog-udp")
        for n in range(40):
            writer.append(source, [b"%d-%d" % (n, k) * 10 for k in range(50)], place.clock.now())
            writer.commit()
            place.clock.advance(SECOND)
            writer.tick()
    assert len(place.events()) > 3
    reader = Reader(place.ledger, 0)
    assert [r.position for r in reader.read(0, 5000)] == list(range(2001))
    assert [reader.get(n).sequence for n in (1, 700, 1999)] == [1, 700, 1999]
    monkeypatch.setattr(verify, "_PARALLEL_BYTES", 0)
    steps = []
    report = verify_ledger(place.ledger, keys=place.keys, workers=2, progress=lambda *step: steps.append(step))
    assert (report.ok, report.events) == (True, 2001)
    assert len(steps) == len(place.events())
    assert steps[-1][0] == steps[-1][1] == sum(path.stat().st_size for path in place.events())
    with place.writer() as writer:
        assert writer.source("web-01", "syslog-udp") == source
    reader.close()


def test_a_large_batch_is_split_into_segments(place):
    """A batch may be larger than a segment; its positions and sequences follow on."""
    with place.writer() as writer:
        source = writer.source("web-01", "replay")
        assert writer.append(source, [b"%d" % n for n in range(10_000)], 5) == 1
        assert writer.commit() == 10_001
        reader = Reader(place.ledger, 0)
        assert [record.raw for record in reader.read(1, 10_000)] == [b"%d" % n for n in range(10_000)]
        reader.close()
    report = verify_ledger(place.ledger, keys=place.keys)
    assert (report.ok, report.shards[0].segments) == (True, 3)


def test_sources_keep_their_numbers_and_learn_new_facts(place):
    """A source is (name, transport); new facts are recorded under the same number."""
    with place.writer() as writer:
        first = writer.source("web-01", "file", path="/a")
        assert writer.source("web-01", "journald") != first
        assert writer.source("web-01", "file", path="/b") == first
    reader = Reader(place.ledger, 0)
    assert reader.source(first).facts == {"path": "/b"}
    assert [known.number for known in reader.sources()] == [1, 2]
    with pytest.raises(NotFoundError):
        reader.source(9)
    with pytest.raises(NotFoundError):
        reader.get(reader.head())
    reader.close()


def test_only_committed_records_are_read(place):
    """A reader sees nothing that was appended and not committed."""
    reader = Reader(place.ledger, 0)
    assert (reader.head(), reader.read(0, 10)) == (0, [])
    with place.writer() as writer:
        writer.append(writer.source("web-01", "http"), [b"a"], 1)
        assert reader.read(0, 10) == []
        writer.commit()
        assert [record.raw for record in reader.read(1, 10)] == [b"a"]
    reader.close()


def test_a_second_writer_of_a_shard_is_refused_and_other_shards_are_free(place):
    """One writer a shard; each shard has its own log; key files are the owner's alone."""
    with place.writer(0) as writer, place.writer(1) as other:
        with pytest.raises(LedgerError, match="another process") as refused:
            place.writer(0)
        assert refused.value.retry
        writer.append(writer.source("a", "http"), [b"a"], 1)
        other.append(other.source("b", "internal"), [b"b"], 1)
    assert shards(place.ledger) == [0, 1]
    assert verify_ledger(place.ledger, keys=place.keys).ok
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.keys.iterdir()} == {0o600}


def test_what_cannot_be_appended_is_refused_whole(place):
    """Unknown sources and oversized records are refused with a mend, and take nothing."""
    with place.writer() as writer:
        with pytest.raises(LedgerError, match="never registered"):
            writer.append(5, [b"a"], 1)
        with pytest.raises(LedgerError, match="longer"):
            writer.append(writer.source("a", "http"), [b"ok", bytes((16 << 20) + 1)], 1)
        assert writer.commit() == 1


@pytest.mark.parametrize("sizes", [(1, 255, 256, 257, 600), (513, 70_000)])
def test_the_log_keeps_its_head_over_restarts(tmp_path, sizes):
    """At each size, a log opened anew has the head of all entries so far, and so have its tiles."""
    entries = [b"entry %d" % n for n in range(sizes[-1])]
    leaves = [leaf_hash(entry) for entry in entries]
    size = 0
    for upto in sizes:
        log = Log(tmp_path, size)
        for entry in entries[size:upto]:
            log.append(entry)
        log.flush(sync=True)
        assert log.root() == TileReader(tmp_path).root(upto) == root(leaves[:upto])
        size = upto
    assert list(TileReader(tmp_path).entries(0, size)) == entries
