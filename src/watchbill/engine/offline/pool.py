"""Processes that read parts of files, each fed with the next part when it has done the last one.

A process is a fork, so rules are loaded once. What it says goes through a pipe of its own as MessagePack: a full pipe
makes it wait, and its end is seen however it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import msgspec

from watchbill.engine.offline.batches import Batch
from watchbill.engine.offline.judge import Found, Seen

Read = Callable[["Part"], Iterator[tuple[Batch, list[Found], Seen]]]


class Part(NamedTuple):
    """The records of source ``number`` that begin in [start, end); None is the end of the file."""

    number: int
    start: int
    end: int | None


class Message(msgspec.Struct, array_like=True):
    """What a batch gave. ``last`` says that its part is done."""

    number: int
    size: int = 0
    found: list[Found] = []
    seen: Seen = msgspec.field(default_factory=Seen)
    faults: list[tuple[int, str]] = []
    last: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def work(read: Read, parts: Sequence[Part], count: int) -> Generator[Message]:
    """Read all parts in ``count`` processes (1: in this one) and yield what they say, as it comes."""
    if count < 2 or len(parts) < 2 or sys.platform == "win32":
        for part in parts:
            for batch, found, seen in read(part):
                yield Message(part.number, batch.size, found, seen, _faults(batch))
        return
    yield from _in_processes(read, parts, min(count, len(parts)))


def _faults(batch: Batch) -> list[tuple[int, str]]:
    return [(fault.place, fault.reason) for fault in batch.faults]


def _in_processes(read: Read, parts: Sequence[Part], count: int) -> Iterator[Message]:
    context = get_context("fork")
    waiting = iter(parts)
    doing: dict[Connection, Part] = {}
    processes = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(read, theirs, [ours, *doing]), daemon=True)
            process.start()
            theirs.close()
            processes.append((process, ours))
            part = next(waiting)
            doing[ours] = part
            ours.send_bytes(_encode(part))
        while doing:
            for pipe in wait(list(doing)):
                assert isinstance(pipe, Connection)  # noqa: S101 - what was given to wait
                try:
                    message = _decode(pipe.recv_bytes())
                except EOFError:
                    part = doing.pop(pipe)
                    yield Message(
                        part.number, faults=[(part.start, "the process that read this ended (out of memory?)")]
                    )
                    continue
                yield message
                if message.last:
                    following = next(waiting, None)
                    if following is None:
                        del doing[pipe]
                        pipe.close()
                    else:
                        doing[pipe] = following
                        pipe.send_bytes(_encode(following))
        for part in waiting:  # every process ended before its time
            yield Message(part.number, faults=[(part.start, "nothing was left to read this part")])
    finally:
        for process, pipe in processes:
            pipe.close()
            process.terminate()
            process.join()


def _serve(read: Read, pipe: Connection, others: Sequence[Connection]) -> None:
    """The life of a process: parts come, messages go, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    for other in others:
        other.close()
    decode = msgspec.msgpack.Decoder(Part).decode
    try:
        while True:
            part = decode(pipe.recv_bytes())
            for batch, found, seen in read(part):
                packed = [one.packed() for one in found]
                pipe.send_bytes(_encode(Message(part.number, batch.size, packed, seen, _faults(batch))))
            pipe.send_bytes(_encode(Message(part.number, last=True)))
    except (EOFError, BrokenPipeError):
        os._exit(0)
