"""Which files are to be read, what each is, and streams of their bytes: packed files within bounds, nothing hidden."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import select
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from watchbill.core.errors import ContentError, NotFoundError, Place, WatchbillError
from watchbill.engine import zstd
from watchbill.engine.offline.evtx import CHUNK_MAGIC, FILE_MAGIC

#: What one packed file may unfold to, and how many files one archive may hold.
MOST_UNPACKED = 64 << 30
MOST_MEMBERS = 100_000
FORMS = ("auto", "evtx", "jsonl", "json", "csv", "xml", "lines")

_HEAD = 256 << 10
#: So many seconds without more of standard input are a pause.
_MOMENT = 0.2
#: What unpacking raises over what is damaged or packed in a way that Python does not know.
_DAMAGE = (
    EOFError, zlib.error, gzip.BadGzipFile, zstd.library.ZstdError, zipfile.BadZipFile, NotImplementedError, RuntimeError,
)  # fmt: skip
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_XML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(?:\w+:)?Events?[\s>]")
_CSV_NAMES = (".csv", ".tsv")
_TEXT_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_ANY: msgspec.json.Decoder[msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw)


class Source(NamedTuple):
    """One file to read: on the disk, or a member of a zip archive. ``size`` is what it takes on the disk."""

    path: str
    member: str
    packing: str
    form: str
    encoding: str
    size: int
    modified: int

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.path}!{self.member}" if self.member else self.path


class Skipped(NamedTuple):
    """A file that holds no log, or none that can be read. ``error`` when somebody expected otherwise."""

    name: str
    reason: str
    error: bool


def survey(names: Sequence[str], form: str = "auto") -> tuple[list[Source], list[Skipped]]:
    """Find the files and say what each is. Raises NotFoundError for a name that is not there."""
    sources: list[Source] = []
    skipped: list[Skipped] = []
    named = {name for name in names if name != "-" and not Path(name).is_dir()}
    for path in _find(names):
        if str(path) == "-":
            sources.append(Source("-", "", "", "lines" if form == "auto" else form, "utf-8", 0, 0))
            continue
        try:
            for source in _look(path, form):
                if isinstance(source, Source):
                    sources.append(source)
                else:
                    skipped.append(source._replace(error=source.error or str(path) in named))
        except (OSError, WatchbillError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            skipped.append(Skipped(str(path), reason, True))
    return sources, skipped


def _find(names: Sequence[str]) -> Iterator[Path]:
    """The files that are named and those in the folders that are, hidden ones left out; "-" stays."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            yield from (one for one in inside if not any(part.startswith(".") for part in one.relative_to(path).parts))
        elif name == "-" or path.exists():
            yield path
        else:
            raise NotFoundError(f"there is no file {name}", mend="check the spelling")


def _look(path: Path, form: str) -> Iterator[Source | Skipped]:
    facts = path.stat()
    if not path.is_file():
        raise ContentError("it is no regular file", place=Place(str(path)), mend='name a file or folder, or "-"')
    with path.open("rb") as stream:
        start = stream.read(4)
    size, modified = facts.st_size, facts.st_mtime_ns
    if start == _ZIP:
        yield from _look_into(path, form, modified)
        return
    packing = {_GZIP: "gz"}.get(start[:2], {zstd.MAGIC: "zst"}.get(start, ""))
    yield _told(Source(str(path), "", packing, form, "utf-8", size, modified))


def _look_into(path: Path, form: str, modified: int) -> Iterator[Source | Skipped]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ContentError(f"the zip archive is damaged: {error}", place=Place(str(path))) from None
    if len(members) > MOST_MEMBERS:
        raise ContentError(f"the archive holds more than {MOST_MEMBERS} files", place=Place(str(path)))
    for member in members:
        parts = Path(member.filename).parts
        if "__MACOSX" in parts or any(part.startswith("._") for part in parts):
            continue  # what macOS notes beside each file
        source = Source(str(path), member.filename, "zip", form, "utf-8", member.compress_size, modified)
        if member.flag_bits & 1:
            yield Skipped(source.name, "it is encrypted", True)
        elif member.file_size > MOST_UNPACKED:
            yield Skipped(source.name, f"it unfolds to more than {MOST_UNPACKED >> 30} GiB", True)
        else:
            try:
                yield _told(source)
            except WatchbillError as error:
                yield Skipped(source.name, error.what, True)


def _told(source: Source) -> Source | Skipped:
    """The source with its form and encoding, from its first bytes and its name."""
    with opened(source, raw=True) as stream:
        head = stream.read(_HEAD)
    if not head:
        return Skipped(source.name, "it is empty", False)
    if head[:8] in {FILE_MAGIC, CHUNK_MAGIC} or source.form == "evtx":
        return source._replace(form="evtx")
    encoding = _TEXT_MARKS.get(head[:2], "utf-8")
    if encoding != "utf-8":
        head = head[: len(head) // 2 * 2].decode(encoding, "replace").encode()
    elif b"\0" in head[:4_096] and source.form == "auto":
        return Skipped(source.name, "it is no log (binary)", False)
    form = source.form if source.form != "auto" else _form_of(head, source.member or source.path)
    return source._replace(form=form, encoding=encoding)


def _form_of(head: bytes, name: str) -> str:
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if _XML.match(text) and b"</Event>" not in text.partition(b"\n")[0]:
        return "xml"
    if text[:1] == b"{":
        return "jsonl" if _whole(text.partition(b"\n")[0], head) else "json"
    if re.match(rb"\[\s*(?:[{\]]|$)", text):
        return "json"
    return "csv" if any(suffix in _CSV_NAMES for suffix in suffixes) else "lines"


def _whole(first: bytes, head: bytes) -> bool:
    """Whether the first line is a JSON value by itself, and no delivery of many records in one line."""
    if re.match(rb'\{\s*"(?:Records|events|value|logs|hits)"\s*:\s*\[', first):
        return False
    if b"\n" not in head:
        return True  # one long line, as far as can be seen
    try:
        _ANY.decode(first)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


@contextmanager
def opened(source: Source, start: int = 0, *, raw: bool = False) -> Iterator[IO[bytes]]:
    """The bytes of a source, unpacked and (unless ``raw``) as UTF-8. Raises ContentError where it cannot be unpacked."""
    if source.path == "-":
        lines = source.form in {"jsonl", "lines"}
        yield cast("IO[bytes]", _Arriving()) if lines and sys.platform != "win32" else sys.stdin.buffer
        return
    place = Place(source.name)
    try:
        with _unpacked(source, start) as stream:
            plain = (
                stream if raw or source.encoding == "utf-8" else cast("IO[bytes]", _Recoded(stream, source.encoding))
            )
            yield plain
    except _DAMAGE as error:
        raise ContentError(f"it is damaged: {error}", place=place, mend="what came before was read") from None


class _Arriving(io.RawIOBase):
    """Standard input as it arrives: what has come is given when nothing more comes for a moment, so that who follows a log
    (``tail -f``) is told of what is found there.
    """

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        number, view, count = sys.stdin.buffer.fileno(), memoryview(buffer), 0
        while count < len(view) and (not count or select.select([number], [], [], _MOMENT)[0]):
            read = os.readv(number, [view[count:]])
            count += read
            if not read:
                break
        return count


@contextmanager
def _unpacked(source: Source, start: int) -> Iterator[IO[bytes]]:
    if source.packing == "zip":
        with zipfile.ZipFile(source.path) as archive, archive.open(source.member) as member:
            yield cast("IO[bytes]", _Bounded(member, source))
    elif source.packing == "gz":
        with gzip.open(source.path, "rb") as stream:
            yield cast("IO[bytes]", _Bounded(cast("IO[bytes]", stream), source))
    elif source.packing == "zst":
        with Path(source.path).open("rb") as file, zstd.opened(file) as stream:
            yield cast("IO[bytes]", _Bounded(cast("IO[bytes]", stream), source))
    else:
        with Path(source.path).open("rb") as stream:
            stream.seek(start)
            yield stream


class _Bounded:
    """A stream that unfolds to no more than it may."""

    def __init__(self, stream: IO[bytes], source: Source) -> None:
        self._stream = stream
        self._left = MOST_UNPACKED
        self._place = Place(source.name)

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        # Streams that unpack may give less than was asked for; readers of chunks want it whole.
        while 0 < len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        self._left -= len(data)
        if self._left < 0:
            raise ContentError(f"it unfolds to more than {MOST_UNPACKED >> 30} GiB", place=self._place)
        return data


class _Recoded:
    """A stream of UTF-16, as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._first = True

    def read(self, size: int = io.DEFAULT_BUFFER_SIZE) -> bytes:
        while True:
            data = self._stream.read(size)
            text = self._decoder.decode(data, not data)
            if self._first and text:
                self._first, text = False, text.removeprefix("\ufeff")
            if text or not data:
                return text.encode("utf-8", "backslashreplace")


def workers(sources: Sequence[Source]) -> int:
    """How many processes are worth their start: one below some megabytes of input."""
    total = sum(source.size * (8 if source.packing else 1) for source in sources)
    return 1 if total < 16 << 20 else len(os.sched_getaffinity(0))
