"""Following files through everything that is done to them."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections import Counter
from contextlib import asynccontextmanager

import orjson
import pytest

from watchbill.engine.collect import Follower, expand


@asynccontextmanager
async def follow(here, path, stored=None, **more):
    """Follow a file for as long as the context lasts, then save its position as the process would."""
    key = str(path)
    if not here.positions.get(key):
        here.positions.set(key, {}, here.sink.head)
    if stored is None:
        stored = here.positions.stored_since(here.reader, [(key, key, "file")])[key, "file"]
    origin = here.origins.add(key, "file")
    follower = Follower(path, origin, here.sink, here.positions, stored, **{"grace": 0.3, **more})
    task = asyncio.create_task(follower.run())
    try:
        yield origin
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await here.until(lambda: not follower.flying)


def write(path, *lines, mode="a"):
    with path.open(mode) as log:
        log.writelines(f"{line}\n" for line in lines)


def numbered(start, stop):
    return [f"Mar  4 10:00:{number % 60:02} web-01 app[{number}]: line {number}" for number in range(start, stop)]


def as_bytes(lines):
    return [line.encode() for line in lines]


def test_what_is_there_and_what_comes(collecting, tmp_path):
    """A file is read from its start, then as it grows; a line without its end waits."""
    log = tmp_path / "app.log"
    write(log, *numbered(0, 3))

    async def story():
        async with collecting() as here, follow(here, log) as origin:
            await here.until(lambda: len(here.stored()) == 3)
            with log.open("a") as handle:
                handle.write("half")
                handle.flush()
                await asyncio.sleep(0.5)
                assert len(here.stored()) == 3
                handle.write(" and half\n")
            await here.until(lambda: here.stored()[-1] == b"half and half")
            assert (origin.state, origin.lines) == ("following", 4)

    asyncio.run(story())


def test_bytes_pass_untouched(collecting, tmp_path):
    """NUL, invalid UTF-8, ANSI and CR within a line are kept as they are."""
    rough = [b"\x00\x00nul", b"\xff\xfe latin \xe9", b"\x1b[31mred\x1b[0m", b"a\rb"]
    log = tmp_path / "rough.log"
    log.write_bytes(b"\n".join(rough) + b"\n\n")

    async def story():
        async with collecting() as here, follow(here, log):
            await here.until(lambda: here.stored() == rough)

    asyncio.run(story())


def test_rename_rotation_loses_nothing(collecting, tmp_path):
    """Ten rotations while a writer goes on, also into the old file: every line once."""
    log = tmp_path / "app.log"
    lines = numbered(0, 20_000)

    async def story():
        async with collecting() as here, follow(here, log, grace=1.0):
            handle = log.open("a")
            for start in range(0, 20_000, 500):
                if start % 2_000 == 500:
                    log.rename(tmp_path / f"app.log.{start}")
                if start % 2_000 == 1_000:  # the writer notices later, as nginx does
                    handle.close()
                    handle = log.open("a")
                handle.writelines(f"{line}\n" for line in lines[start : start + 500])
                handle.flush()
                await asyncio.sleep(0.02)
            handle.close()
            await here.until(lambda: here.reader.head() > 20_000)
            assert Counter(here.stored()) == Counter(as_bytes(lines))

    asyncio.run(story())


def test_copy_and_truncate_reads_on_in_the_copy(collecting, tmp_path):
    """What the copy holds of unread lines is taken from there; the file is then read from its start."""
    log = tmp_path / "app.log"
    write(log, *numbered(0, 10))

    async def story():
        async with collecting() as here, follow(here, log):
            await here.until(lambda: len(here.stored()) == 10)
            write(log, *numbered(10, 20))
            shutil.copy(log, tmp_path / "app.log.1")
            os.truncate(log, 0)
            write(log, *numbered(20, 25))
            await here.until(lambda: here.stored() == as_bytes(numbered(0, 25)))
            assert here.stored("internal") == []

    asyncio.run(story())


def test_truncation_without_a_copy_is_declared(collecting, tmp_path):
    """A truncated file is noticed even when it has grown past the old offset, and the loss is told."""
    log = tmp_path / "app.log"
    write(log, *numbered(0, 10))

    async def story():
        async with collecting() as here, follow(here, log) as origin:
            await here.until(lambda: len(here.stored()) == 10)
            write(log, *numbered(100, 150), mode="w")
            await here.until(lambda: here.stored() == as_bytes(numbered(0, 10) + numbered(100, 150)))
            assert origin.dropped == 1
            (note,) = map(orjson.loads, here.stored("internal"))
            assert (note["event"], note["object"]["id"]) == ("source.gap", str(log))

    asyncio.run(story())


def test_an_inode_used_again_is_another_file(collecting, tmp_path):
    """A file deleted and made anew is read from its start, whatever its inode's number."""
    log = tmp_path / "app.log"

    async def story():
        async with collecting() as here, follow(here, log) as origin:
            for round_ in range(3):
                write(log, *numbered(round_ * 10, round_ * 10 + 10))
                await here.until(lambda upto=round_ * 10 + 10: len(here.stored()) == upto)
                log.unlink()
                await here.until(lambda: origin.state == "waiting")
            assert here.stored() == as_bytes(numbered(0, 30))

    asyncio.run(story())


def test_rotated_while_nobody_watched(collecting, tmp_path):
    """After two rotations in our absence both old files are read on; the compressed one is left alone."""
    log = tmp_path / "app.log"
    write(log, *numbered(0, 10))

    async def story():
        async with collecting() as here:
            async with follow(here, log):
                await here.until(lambda: len(here.stored()) == 10)
            write(log, *numbered(10, 20))
            log.rename(tmp_path / "app.log.2")
            write(tmp_path / "app.log.1", *numbered(20, 30))
            (tmp_path / "app.log.3.gz").write_bytes(gzip.compress(b"never\n"))
            write(log, *numbered(30, 40))
            async with follow(here, log):
                await here.until(lambda: len(here.stored()) == 40)
            assert here.stored() == as_bytes(numbered(0, 40))

    asyncio.run(story())


@pytest.mark.parametrize("saved", [0, 1])
def test_what_is_stored_beyond_the_saved_position_is_skipped(collecting, tmp_path, saved):
    """The position was not saved before the crash: the ledger tells which lines it has, equal lines included."""
    log = tmp_path / "app.log"
    write(log, "same", "same", "other")

    async def story():
        async with collecting() as here:
            key = str(log)
            here.positions.set(key, {}, here.sink.head)
            if saved:
                here.save()
            behind = dict(here.positions.get(key))
            async with follow(here, log):
                await here.until(lambda: len(here.stored()) == 3)
            here.positions.set(key, {}, behind["ledger"])  # as the file has it after the crash
            write(log, "same", "new")
            async with follow(here, log):
                await here.until(lambda: len(here.stored()) == 5)
                await asyncio.sleep(0.3)
            assert here.stored() == [b"same", b"same", b"other", b"same", b"new"]

    asyncio.run(story())


def test_long_lines(collecting, tmp_path):
    """A line of 1 MiB is whole; of a longer one the first MiB is kept, and a note says what it was."""
    log = tmp_path / "app.log"
    log.write_bytes(b"a" * (1 << 20) + b"\n" + b"b" * (3 << 20) + b"\nend\n")

    async def story():
        async with collecting() as here, follow(here, log):
            await here.until(lambda: here.stored()[-1:] == [b"end"])
            assert here.stored() == [b"a" * (1 << 20), b"b" * (1 << 20), b"end"]
            (note,) = map(orjson.loads, here.stored("internal"))
            assert (note["event"], note["detail"]["length"]) == ("source.cut", 3 << 20)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("make", "state", "word"),
    [
        (lambda _path: None, "waiting", "not there"),
        (lambda path: path.mkdir(), "unreadable", "a directory"),
        (os.mkfifo, "unreadable", "a pipe"),
    ],
)
def test_what_cannot_be_followed_is_said(collecting, tmp_path, make, state, word):
    """The operator sees why; once a file is there, it is followed."""
    log = tmp_path / "app.log"
    make(log)

    async def story():
        async with collecting() as here, follow(here, log) as origin:
            await here.until(lambda: origin.state == state)
            assert word in origin.reason
            if log.exists():
                log.rename(tmp_path / "away")
            write(log, "now")
            await here.until(lambda: here.stored() == [b"now"])
            assert (origin.state, origin.reason) == ("following", "")

    asyncio.run(story())


def test_patterns_leave_compressed_files_out(tmp_path):
    """Wildcards name the logs of a folder, not their archives."""
    for name in ("a.log", "b.log", "a.log.2.gz", "c.log.gz"):
        (tmp_path / name).touch()
    assert expand(str(tmp_path / "*.log*")) == [tmp_path / "a.log", tmp_path / "b.log"]
    assert expand("/var/log/any.log")[0].name == "any.log"
