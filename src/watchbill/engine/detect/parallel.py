"""Matching raw JSON records in several processes.

A worker is this module run by the same Python: it gets its rules by the names of their files, its shape by the name of
the parser in a content package, and then batches of records, and answers in the same order. What goes over the pipes is
MessagePack, each message after its length; nothing that is run.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Self

import msgspec

from watchbill.core.errors import NotFoundError, WatchbillError
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect.jsonmatch import JsonMatcher, Judged
from watchbill.engine.detect.match import Match
from watchbill.engine.detect.rules import load_rules
from watchbill.sdk.shapes import Shape

_LENGTH = 8
_SECONDS_TO_END = 5
_COLLECT_EVERY = 500


class Task(msgspec.Struct, frozen=True):
    """What workers need to make a matcher of their own: ``parser`` is an id of the content ``package``, ``shape`` the
    place among its shapes. ``cache`` is the rules' (see ``load_rules``), "" for none.
    """

    files: tuple[str, ...]
    package: str
    parser: str
    shape: int = 0
    placeholders: dict[str, tuple[str, ...]] = {}
    cache: str = ""

    def matcher(self) -> JsonMatcher:
        """The matcher, in this process."""
        cache = Path(self.cache) if self.cache else None
        rules = load_rules(map(Path, self.files), self.placeholders, cache=cache)
        return JsonMatcher(rules.rules, shape_of(self.package, self.parser, self.shape))


def shape_of(package: str, parser: str, place: int) -> Shape:
    """A shape by the name of its parser. Raises NotFoundError."""
    for one in Catalog.load(package).parsers:
        if one.id == parser and place < len(one.shapes):
            return one.shapes[place]
    raise NotFoundError(f"{package} has no parser {parser!r} with {place + 1} shapes")


class Pool:
    """``count`` workers with one task. Use it in a ``with`` statement."""

    def __init__(self, task: Task, count: int) -> None:
        self.count = count
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._workers = [
            subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(count)
        ]
        for worker in self._workers:
            _write(worker.stdin, msgspec.msgpack.encode(task))
            self._idle.put(worker)
        # A thread only waits for its worker's pipes.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="match")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            with suppress(OSError):  # of one that has ended
                worker.stdin.close()  # type: ignore[union-attr]
        for worker in self._workers:
            try:
                worker.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            if worker.stdout:
                worker.stdout.close()

    def match(self, batches: Iterable[Sequence[bytes]]) -> Iterator[Judged]:
        """Judge batches of records; the results come in the batches' order, and only a few batches are held at a time.

        Raises WatchbillError when a worker ends before its time.
        """
        waiting: deque[Future[Judged]] = deque()
        for batch in batches:
            waiting.append(self._threads.submit(self._judge, batch))
            if len(waiting) > 2 * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _judge(self, batch: Sequence[bytes]) -> Judged:
        worker = self._idle.get()
        try:
            _write(worker.stdin, msgspec.msgpack.encode(batch))
            answer = _read(worker.stdout)
        except OSError:
            answer = None
        finally:
            self._idle.put(worker)
        if answer is None:
            status = worker.poll()
            raise WatchbillError(f"a process that matches rules ended ({status})", mend="look at what it said above")
        matches, others = msgspec.msgpack.decode(answer, type=tuple[list[tuple[str, int]], list[int]])
        return Judged([Match(*match) for match in matches], others)


def _write(pipe: IO[bytes] | None, message: bytes) -> None:
    assert pipe is not None  # noqa: S101 - all pipes are asked for
    pipe.write(len(message).to_bytes(_LENGTH, "big"))
    pipe.write(message)
    pipe.flush()


def _read(pipe: IO[bytes] | None) -> bytes | None:
    """The next message; None at the end."""
    assert pipe is not None  # noqa: S101 - all pipes are asked for
    length = pipe.read(_LENGTH)
    if len(length) < _LENGTH:
        return None
    message = pipe.read(int.from_bytes(length, "big"))
    return message if len(message) == int.from_bytes(length, "big") else None


def _work(requests: IO[bytes], answers: IO[bytes]) -> None:
    """A worker's life: the task, then batches until there are no more."""
    task = _read(requests)
    if task is None:
        return
    matcher = msgspec.msgpack.decode(task, type=Task).matcher()
    # Matching leaves no circles behind; looking for them among the rules again and again costs as much as matching.
    gc.freeze()
    gc.disable()
    done = 0
    while (batch := _read(requests)) is not None:
        judged = matcher.match(msgspec.msgpack.decode(batch, type=list[bytes]))
        _write(answers, msgspec.msgpack.encode((judged.matches, judged.others)))
        done += 1
        if done % _COLLECT_EVERY == 0:
            gc.collect()


if __name__ == "__main__":
    _work(sys.stdin.buffer, sys.stdout.buffer)
