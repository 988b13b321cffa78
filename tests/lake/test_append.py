"""Events get into the lake once, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.core.errors import LakeError
from watchbill.lake import Lake

ALWAYS = (0, 1 << 62)


def positions(lake, query=""):
    return sorted(row.position for row in lake.rows(query, *ALWAYS))


def test_an_event_comes_back_whole(lake, fill, event):
    """Hot columns, the rest and what OCSF derives are put together to the event that went in."""
    sent = event(
        7, "Ünïcode “quotes”\nand lines", user__name="root", src_endpoint__port=4242, tags=["a", "b"], status_id=2
    )
    fill([sent], [("brute-force", "root-login")])
    row = lake.get(0, 7)
    assert row.ocsf == sent.ocsf
    assert (row.id, row.time, row.received, row.host, row.message) == (
        "0-7",
        sent.time,
        sent.time,
        "web-01",
        sent.message,
    )
    assert (row.source, row.parser, row.flaw, row.rules) == ("auth.log", "sshd", "", ("brute-force", "root-login"))


def test_the_same_batch_twice_changes_nothing(lake, fill, event):
    """After a crash the reader appends again what it is not sure of."""
    assert fill(event(n) for n in range(10)) == 10
    assert fill(event(n) for n in range(10)) == 0
    assert fill(event(n) for n in range(5, 15)) == 5
    assert positions(lake) == list(range(15))
    assert lake.position(0) == 15


def test_positions_move_without_events(lake):
    """A stretch of the ledger may hold registrations only."""
    lake.append(0, [], [], 42)
    assert lake.position(0) == 42
    assert lake.search("", *ALWAYS).total.count == 0


def test_shards_have_positions_of_their_own(lake, event):
    """Shard 1 (Watchbill's own events) does not hide shard 0."""
    lake.append(0, [event(3)], [()], 4)
    lake.append(1, [event(3, shard=1)], [()], 4)
    assert (lake.position(0), lake.position(1), lake.position(2)) == (4, 4, 0)
    assert {row.id for row in lake.rows("", *ALWAYS)} == {"0-3", "1-3"}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=8))
def test_overlapping_repeats_end_in_each_event_once(tmp_path_factory, event, cuts):
    """Whatever a reader repeats, each position below the furthest is there once (or was never given)."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    given_ = set()
    for begin, size in cuts:
        known = lake.position(0)
        batch = [event(n) for n in range(begin, begin + size)]
        lake.append(0, batch, [()] * size, begin + size)
        given_ |= {n for n in range(begin, begin + size) if n >= known}
    assert positions(lake) == sorted(given_)
    lake.close()


@pytest.mark.parametrize(
    "value",
    [2**70, float("inf"), "\ud800", {"deep": [object()]}, b"\xff", "nul\0byte"],
    ids=["huge", "infinite", "surrogate", "object", "bytes", "nul"],
)
def test_values_that_json_refuses_do_not_lose_the_event(lake, fill, event, value):
    """A field from somebody else's log may hold anything."""
    fill([event(1, odd__field=value)])
    assert lake.get(0, 1).ocsf["odd.field"] is not Ellipsis
    assert lake.search("", *ALWAYS).total.count == 1


def test_odd_hot_values_do_not_lose_the_event(lake, fill, event):
    """A column takes what it can hold; half a character and too large a number are not that."""
    fill([event(1, "half \ud83d a character", user__name=17, status_id="2", severity_id=2**40, host="\udc80")])
    assert lake.get(0, 1).ocsf["user.name"] == "17"


def test_a_mebibyte_line_is_cut_and_says_so(lake, fill, event):
    """The raw record keeps the whole; the lake stays searchable."""
    fill([event(1, "word " * 210_000)])
    assert lake.get(0, 1).message.endswith("the raw record has all of it]")


def test_a_folder_that_is_no_lake_is_named(tmp_path, event):
    """The error says which folder and what to do."""
    (tmp_path / "lake").write_text("not a folder")
    with pytest.raises(LakeError, match=r"(?s)lake.*To mend"):
        Lake(tmp_path / "lake").append(0, [event(1)], [()], 2)


_KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from conftest import make_event
from watchbill.lake import Lake
lake = Lake({path!r})
at = lake.position(0)
while True:
    lake.append(0, [make_event(n) for n in range(at, at + 50)], [()] * 50, at + 50)
    at += 50
    print(at, flush=True)
"""


def test_kill_9_leaves_no_gap_and_no_double(tmp_path):
    """A writer killed at any moment goes on from the lake's own position."""
    program = _KILLED.format(tests=str(Path(__file__).parent), path=str(tmp_path / "lake"))
    lake = Lake(tmp_path / "lake")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as writer:
            for _ in range(3):
                assert writer.stdout.readline()
            time.sleep(0.013)
            os.kill(writer.pid, signal.SIGKILL)
            # Another process's search goes on beside it, and never sees half a commit.
            assert lake.search("", *ALWAYS).total.count % 50 == 0
    assert positions(lake) == list(range(lake.position(0)))
    lake.close()
