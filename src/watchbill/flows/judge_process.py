"""The judge in a process of its own, so that judging has a second core, and how the engine speaks with it.

    engine ── Ask(shard, start, end) ──► judge     frames: four bytes of length, then MessagePack
           ◄── Judgement … ─────────────

Over two pipes, in order; what is asked is answered by one or more judgements. The judge holds no state that counts: it
may be killed at any moment, and a new one is asked from where the engine's stored results end. It ends with the engine,
for its pipe ends then; and while it lives it holds the engine's lock, so that no second one writes the lake.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Protocol

import msgspec

from watchbill.core.clock import Clock, SystemClock
from watchbill.core.config import Config
from watchbill.core.errors import WatchbillError
from watchbill.core.memory import settle_memory
from watchbill.core.paths import DataDir
from watchbill.engine.detect import RuleSet
from watchbill.flows import content
from watchbill.flows.judge import Judge, Judgement

_PR_SET_PDEATHSIG = 1
_END_SECONDS = 10
_MODULE = "watchbill.flows.judge_process"


class Ask(msgspec.Struct, array_like=True, tag=True):
    """Judge the records [start, end)."""

    shard: int
    start: int
    end: int


class Expect(msgspec.Struct, array_like=True, tag=True):
    """All before a position was judged once: it is to be at rest, too. This has no answer."""

    shard: int
    upto: int


class Flush(msgspec.Struct, array_like=True, tag=True):
    """Write what waits to the lake, then say Flushed."""


class Flushed(msgspec.Struct, array_like=True, tag=True):
    """All that was judged is at rest, unless the lake refuses."""


class Load(msgspec.Struct, array_like=True, tag=True):
    """Load the rules anew, then say Loaded. That is said at the beginning, too."""


class Loaded(msgspec.Struct, array_like=True, tag=True):
    """By which rules it is judged from here on (``content.digest``)."""

    digest: str


Request = Ask | Expect | Flush | Load
Reply = Judgement | Flushed | Loaded
_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request)
_reply = msgspec.msgpack.Decoder(Reply)


class JudgeGoneError(WatchbillError):
    """The judge's process ended; what it was asked has to be asked again of another."""


class JudgePort(Protocol):
    """Where the engine has records judged. Ranges of a shard are asked in order and answered in order."""

    #: How many ranges of a shard it is worth to ask for before the first is answered.
    depth: int

    def digest(self) -> str:
        """By which rules it judges (``content.digest``)."""

    def ask(self, shard: int, start: int, end: int) -> None: ...
    def expect(self, shard: int, upto: int) -> None:
        """Tell what was judged before: it has to be at rest, too."""

    def answer(self) -> Judgement: ...
    def load(self) -> Callable[[], str]:
        """Have the rules loaded anew; call what is returned to wait for it, and get their digest."""

    def flush(self) -> None: ...
    def tick(self) -> None:
        """To be called again and again: what waits is written when it is time."""

    def close(self) -> int:
        """Let go of it; returns the code with which its process ended, 0 for none."""


class OwnJudge:
    """Judges in this process."""

    depth = 1

    def __init__(self, judge: Judge, rules: RuleSet, load: Callable[[], RuleSet]) -> None:
        self._judge = judge
        self._load = load
        self._digest = content.digest(rules)
        self._asked: deque[Ask] = deque()

    def ask(self, shard: int, start: int, end: int) -> None:
        self._asked.append(Ask(shard, start, end))

    def expect(self, shard: int, upto: int) -> None:
        self._judge.lake.expect(shard, upto)

    def answer(self) -> Judgement:
        asked = self._asked.popleft()
        judgement = self._judge.judge(asked.shard, asked.start, asked.end)
        if judgement.end < asked.end:
            self._asked.appendleft(Ask(asked.shard, judgement.end, asked.end))
        return judgement

    def digest(self) -> str:
        return self._digest

    def load(self) -> Callable[[], str]:
        rules = self._load()
        self._judge.use(rules)
        self._digest = content.digest(rules)
        return self.digest

    def flush(self) -> None:
        self._judge.lake.flush()

    def tick(self) -> None:
        self._judge.lake.tick()

    def close(self) -> int:
        self._judge.lake.close()
        return 0


class JudgeProcess:
    """Judges in a process of its own, which writes the lake by itself."""

    depth = 2

    def __init__(self, data: DataDir, *, holds: tuple[int, ...] = ()) -> None:
        """Start it. It inherits the descriptors ``holds``."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(data.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=holds,
        )  # fmt: skip
        self._pid_file = data.run / "judge.pid"
        with contextlib.suppress(OSError):  # a full disk: for the operator's information alone
            self._pid_file.write_text(str(self._process.pid))
        assert self._process.stdin  # noqa: S101 - both are pipes
        assert self._process.stdout  # noqa: S101
        self._out, self._in = self._process.stdin, self._process.stdout
        self._replies: SimpleQueue[bytes | None] = SimpleQueue()
        # Two ranges are asked for at most, so no more than that waits in the queue.
        self._receiver = threading.Thread(target=self._receive, name="judgements", daemon=True)
        self._receiver.start()
        self._digest = ""

    def digest(self) -> str:
        """Wait until it has begun. Raises JudgeGoneError."""
        if not self._digest:
            self._digest = self._loaded()
        return self._digest

    def ask(self, shard: int, start: int, end: int) -> None:
        self._send(Ask(shard, start, end))

    def expect(self, shard: int, upto: int) -> None:
        self._send(Expect(shard, upto))

    def answer(self) -> Judgement:
        """Wait for the next judgement. Raises JudgeGoneError."""
        self.digest()
        reply = self._next()
        if not isinstance(reply, Judgement):
            raise self._gone(f"it answered {reply!r} when a judgement was due")
        return reply

    def load(self) -> Callable[[], str]:
        self.digest()
        self._send(Load())
        return self._loaded

    def flush(self) -> None:
        self.digest()
        self._send(Flush())
        self._next()

    def tick(self) -> None:
        """Nothing: it does that by itself."""

    def close(self) -> int:
        """End it; what it was asked and has not answered is void."""
        with contextlib.suppress(OSError):
            self._out.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._receiver.join()
        self._in.close()
        self._pid_file.unlink(missing_ok=True)
        return self._process.returncode

    def _loaded(self) -> str:
        reply = self._next()
        if not isinstance(reply, Loaded):
            raise self._gone(f"it answered {reply!r} when it was to load rules")
        self._digest = reply.digest
        return reply.digest

    def _send(self, request: Request) -> None:
        try:
            self._out.write(_frame(request))
            self._out.flush()
        except OSError as error:
            raise self._gone(str(error)) from error

    def _next(self) -> Reply:
        frame = self._replies.get()
        if frame is None:
            self._replies.put(None)
            raise self._gone("its pipe ended")
        reply: Reply = _reply.decode(frame)
        return reply

    def _gone(self, why: str) -> JudgeGoneError:
        code = self._process.poll()
        return JudgeGoneError(f"the judge's process is gone (code {code}): {why}", retry=True)

    def _receive(self) -> None:
        while (frame := _read(self._in)) is not None:
            self._replies.put(frame)
        self._replies.put(None)


def serve(data: DataDir, config: Config, clock: Clock) -> None:
    """Be that process: answer what comes on standard input until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # these are for the engine; we end when it does
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere the pipe's end has to do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = os.fdopen(0, "rb", buffering=0, closefd=False)  # what a buffer held ``select`` would not see
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not speak into the pipe
    load = content.RuleFolders(data, config).load
    rules = load()
    judge = Judge(data, content.installed(data, config).parsers, rules, clock, config.timezone)
    gc.collect()
    settle_memory()
    with contextlib.suppress(BrokenPipeError), replies:
        replies.write(_frame(Loaded(content.digest(rules))))
        replies.flush()
        while _wait(asked, judge):
            frame = _read(asked)
            if frame is None:
                return
            _answer(judge, _request.decode(frame), replies, load)
            judge.lake.tick()


def _wait(asked: IO[bytes], judge: Judge) -> bool:
    """Wait for a request, and write to the lake meanwhile when it is time."""
    while not select.select([asked], [], [], judge.lake.seconds_left)[0]:
        judge.lake.tick()
    return True


def _answer(judge: Judge, request: Request, replies: IO[bytes], load: Callable[[], RuleSet]) -> None:
    match request:
        case Ask(shard, start, end):
            while start < end:
                judgement = judge.judge(shard, start, end)
                start = judgement.end
                replies.write(_frame(judgement))
                replies.flush()
        case Expect(shard, upto):
            judge.lake.expect(shard, upto)
        case Flush():
            judge.lake.flush()
            replies.write(_frame(Flushed()))
        case Load():
            rules = load()
            judge.use(rules)
            replies.write(_frame(Loaded(content.digest(rules))))
    replies.flush()


def _frame(message: Request | Reply) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


def _read(stream: IO[bytes]) -> bytes | None:
    """One frame's body; None at the end, also in the middle of a frame."""
    size = _exactly(stream, 4)
    return None if size is None else _exactly(stream, int.from_bytes(size, "big"))


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    parts = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return None if size else b"".join(parts)


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s judge %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    folder = DataDir(sys.argv[1])
    serve(folder, Config.load(folder), SystemClock())
