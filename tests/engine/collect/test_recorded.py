"""Recorded logs as records."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import pytest

from watchbill.core.errors import ConfigError, NotFoundError, WatchbillError
from watchbill.core.times import rfc3339
from watchbill.engine.collect.recorded import find, read, time_of
from watchbill.engine.zstd import library as zstd

DELIVERY = b'{"Records": [\n {"eventName": "A"},\n {"eventName": "B"}\n]}'


def records(data, **more):
    return [raw for batch in read(io.BytesIO(data), **more) for raw in batch.raws]


@pytest.mark.parametrize(
    ("data", "raws"),
    [
        (b"one\r\ntwo\n\nthree", [b"one", b"two", b"three"]),
        (DELIVERY, [b'{"eventName": "A"}', b'{"eventName": "B"}']),
        (b'[{"a": 1}, {"a": 2}]', [b'{"a": 1}', b'{"a": 2}']),
        (b'{"a": 1}\n{"a": 2}\n', [b'{"a": 1}', b'{"a": 2}']),
        (b"[Sun Mar 04] [error] x\n", [b"[Sun Mar 04] [error] x"]),
        (b'{"Records": [{"cut of', [b'{"Records": [{"cut of']),
        (b"", []),
    ],
)
@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_forms(data, raws, packed):
    """Lines, JSON lines, delivery files and arrays, compressed or not; a broken delivery is kept as its lines."""
    assert records(packed(data)) == raws


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_members_and_frames_follow_each_other(pack):
    """A packed file that was appended to, as rotation does, is read to its end."""
    assert records(pack(b"one\ntw") + pack(b"o\n")) == [b"one", b"two"]


def test_zstd_that_refers_too_far_back_is_refused():
    """A window of 256 MiB is not asked for, whatever the file says."""
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    with pytest.raises(ConfigError, match="zstd file is damaged"):
        records(packer.compress(b"a line\n" * 1000) + packer.flush())


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_a_damaged_packed_file_gives_what_came_before(pack):
    """The lines before the damage are given, then the error says so."""
    whole = pack(b"".join(b"%d line\n" % number for number in range(200_000)))
    got = []
    batches = read(io.BytesIO(whole[: len(whole) // 2]))
    with pytest.raises(ConfigError, match="damaged"):
        got.extend(raw for batch in batches for raw in batch.raws)
    assert got[:2] == [b"0 line", b"1 line"]
    assert len(got) > 50_000


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("first", [b"x", b"{"])
def test_a_bomb_costs_no_memory(first, pack):
    """100 MB of one line in some kB, as text or as a delivery file: cut, declared, and never held."""
    bomb = pack(first + bytes(100_000_000), 1)
    tracemalloc.start()
    try:
        cuts = [cut for batch in read(io.BytesIO(bomb), whole=8 << 20) for cut in batch.cuts]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [cut.length for cut in cuts] == [100_000_001]
    assert peak < 64 << 20


def test_folders_and_names(tmp_path):
    """Folders are opened in order, hidden files left out; a missing one is told before anything is read."""
    for name in ("b.log", "a/c.log", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find([str(tmp_path), "-"])] == ["c.log", "b.log", "-"]
    with pytest.raises(NotFoundError):
        find([str(tmp_path / "none")])
    with pytest.raises(WatchbillError, match="a device"):
        find(["/dev/null"])


@pytest.mark.parametrize(
    ("raw", "when"),
    [
        (b"<38>Mar  4 10:00:01 web-01 sshd[1]: x", "2024-03-04T10:00:01Z"),
        (b"<38>1 2026-03-04T10:00:01.5+01:00 web-01 sshd 1 - - x", "2026-03-04T09:00:01.500Z"),
        (b'192.0.2.7 - - [04/Mar/2026:10:00:01 +0000] "GET / HTTP/1.1" 200 1', "2026-03-04T10:00:01Z"),
        (b'{"eventTime":"2026-03-04T10:00:01Z"}', "2026-03-04T10:00:01Z"),
        (b"type=USER_AUTH msg=audit(1772618401.123:42): x", "2026-03-04T10:00:01.123Z"),
    ],
)
def test_times_for_pacing(raw, when):
    """The usual spellings are seen."""
    assert rfc3339(time_of(raw)) == when


def test_no_time_is_zero():
    """No time, or one that cannot be, paces nothing."""
    assert time_of(b"hello") == time_of(b"2026-99-99T10:00:01Z") == 0
