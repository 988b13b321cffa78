"""Files of every form give their records, whole, with their places; what cannot be read is told."""

import gzip
import io
import json
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.errors import WatchbillError
from watchbill.engine.offline import evtx, sources, survey, text
from watchbill.engine.offline.sources import opened
from watchbill.engine.zstd import library as zstd


def read(batches):
    """All records by place, all faults, and the number of bytes read."""
    found, faults, size = {}, [], 0
    for batch in batches:
        assert len(batch.raws) == len(batch.places)
        for place, raw in zip(batch.places, batch.raws, strict=True):
            assert place not in found
            found[place] = raw
        faults += batch.faults
        size += batch.size
    return found, faults, size


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks and limits so small that records lie across them."""
    monkeypatch.setattr(text, "CHUNK", 7)
    monkeypatch.setattr(text, "BLOCK", 7)
    monkeypatch.setattr(text, "LONGEST", 64)


RECORDS = st.lists(
    st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=6), st.integers(), st.lists(st.text(max_size=3)))),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(records=RECORDS, layout=st.sampled_from(["array", "delivery", "pretty", "one by one"]), chunk=st.integers(1, 40))
def test_json_of_any_layout(records, layout, chunk):
    """An array, a delivery, pretty-printed or one after the other: the same objects, at the places where they stand."""
    whole = {
        "array": lambda: json.dumps(records),
        "delivery": lambda: json.dumps({"Records": records}, indent=1),
        "pretty": lambda: json.dumps(records, indent=2, ensure_ascii=False),
        "one by one": lambda: "\n".join(json.dumps(one, indent=4) for one in records),
    }[layout]().encode("utf-8", "surrogatepass")
    before, text.CHUNK = text.CHUNK, max(chunk, 24)  # the opening is looked for in the first chunk
    try:
        found, faults, size = read(text.json_values(io.BytesIO(whole)))
    finally:
        text.CHUNK = before
    assert [json.loads(raw) for raw in found.values()] == records
    assert faults == []
    assert size == len(whole)
    assert all(whole[place : place + 1] == b"{" for place in found)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=20).filter(lambda line: not set(line) & set(b"\r\n\0"))),
    chunk=st.integers(1, 50),
    block=st.integers(1, 50),
    borders=st.lists(st.integers(0, 200), max_size=3).map(sorted),
)
def test_parts_of_a_file_are_its_lines(lines, chunk, block, borders):
    """However a file is cut into parts, each line is read once, at its offset."""
    from watchbill.engine.offline.pool import Part
    from watchbill.engine.offline.triage import _batches

    data = b"\n".join(lines)
    wanted, at = {}, 0
    for line in lines:
        if line.strip():
            wanted[at] = line
        at += len(line) + 1
    source = sources.Source("f", "", "", "jsonl", "utf-8", len(data), 0)
    found = {}
    before = text.CHUNK, text.BLOCK
    text.CHUNK, text.BLOCK = chunk, block
    try:
        for start, end in zip([0, *borders], [*borders, None], strict=True):
            if end is None or start < end:
                stream = io.BytesIO(data)
                stream.seek(start)
                records, faults, _ = read(_batches(source, Part(0, start, end), stream))
                assert not faults
                assert not found.keys() & records.keys()
                found |= records
    finally:
        text.CHUNK, text.BLOCK = before
    assert found == wanted


@pytest.mark.usefixtures("small_chunks")
def test_what_is_too_long_is_passed_over():
    """One endless line, value or event costs its own place and a sentence; what follows is read."""
    found, faults, _ = read(text.lines(io.BytesIO(b"a\n" + b"x" * 300 + b"\nb\n")))
    assert list(found.values()) == [b"a", b"b"]
    assert [fault.place for fault in faults] == [2]
    found, faults, _ = read(text.json_values(io.BytesIO(b'[{"a":"' + b"x" * 300 + b'"}, {"b":1}]')))
    assert list(found.values()) == [b'{"b":1}']
    assert [fault.place for fault in faults] == [1]


def test_a_json_file_that_ends_too_early():
    """The objects before the end are read."""
    found, faults, _ = read(text.json_values(io.BytesIO(b'{"Records":[{"a":1},{"b":')))
    assert list(found.values()) == [b'{"a":1}']
    assert [(fault.place, fault.reason) for fault in faults] == [(20, "the file ends within a JSON value")]


@pytest.mark.usefixtures("small_chunks")
def test_event_xml():
    """An export of the event viewer, its tags cut anywhere by chunks."""
    event = '<Event xmlns="x"><System>\n</System></Event>'
    found, faults, _ = read(
        text.event_xml(io.BytesIO(f"<?xml version='1.0'?><Events>{event}\n{event}</Events>".encode()))
    )
    assert list(found.values()) == [event.replace("\n", " ").encode()] * 2
    assert faults == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_csv_rows_are_objects(delimiter):
    """Dotted names become objects again, empty cells are no fields, a cell may hold line breaks."""
    lines = [["a.b", "c", "d"], ['"x\ny"', "", "1"], ["", "2", ""]]
    table = "\n".join(delimiter.join(row) for row in lines).encode("utf-8-sig")
    found, faults, size = read(text.rows(io.BytesIO(table)))
    assert [json.loads(raw) for raw in found.values()] == [{"a": {"b": "x\ny"}, "d": "1"}, {"c": "2"}]
    assert faults == []
    assert size == len(table)


@pytest.fixture(scope="module")
def log(shared_data):
    """An EVTX file with one full chunk, and how many records it has."""
    path = next((shared_data / "beats_winlog_audit" / "sysmon").glob("sysmon-11-registry.evtx"))
    return path.read_bytes(), 5


def chunks_of(data):
    stream = io.BytesIO(data)
    stream.seek(evtx.HEADER)
    return read(evtx.read(stream))


def test_evtx_is_read_by_chunks(log):
    """Chunks stand alone; the header may say what it wants."""
    data, count = log
    several = b"\xff" * evtx.HEADER + data[evtx.HEADER :] * 3 + b"\0" * evtx.CHUNK
    found, faults, size = chunks_of(several)
    assert len(found) == 3 * count
    assert faults == []
    assert size == len(several) - evtx.HEADER
    assert json.loads(next(iter(found.values())))["Event"]["System"]["Channel"]


def test_damage_costs_no_more_than_its_chunk(log):
    """Each damaged chunk is told with its offset; the others are read."""
    data, count = log
    chunk = data[evtx.HEADER :]
    names_lost = bytearray(chunk)
    names_lost[700:800] = b"\xff" * 100
    torn = chunk[:20_000]
    found, faults, _ = chunks_of(data[: evtx.HEADER] + b"garbage!" * 8_192 + chunk + bytes(names_lost) + chunk + torn)
    second, third, fourth, fifth = (evtx.HEADER + evtx.CHUNK * number for number in range(1, 5))
    assert sum(second <= place < third for place in found) == count
    assert sum(fourth <= place < fifth for place in found) == count
    assert [fault.place for fault in faults] == [evtx.HEADER, third, fifth]
    assert "no chunk of an event log" in faults[0].reason
    assert "of 5 records could be read" in faults[1].reason
    assert "ends within this chunk" in faults[2].reason


@settings(max_examples=25, deadline=None)
@given(at=st.integers(0, evtx.CHUNK - 65), junk=st.binary(min_size=1, max_size=64))
def test_no_damage_is_silent_or_fatal(log, at, junk):
    """Whatever bytes are overwritten: no exception, and fewer records only with a sentence."""
    data, count = log
    chunk = bytearray(data[evtx.HEADER : evtx.HEADER + evtx.CHUNK])
    chunk[at : at + len(junk)] = junk
    found, faults, _ = chunks_of(data[: evtx.HEADER] + bytes(chunk))
    assert len(found) >= count or faults or bytes(chunk[8:24]) != data[evtx.HEADER + 8 : evtx.HEADER + 24]


LINES = b'{"Channel":"System","EventID":1}\n{"Channel":"System","EventID":2}\n'


def packed(folder, how):
    if how == "gz":
        (folder / "a.json.gz").write_bytes(gzip.compress(LINES))
    elif how == "zst":
        (folder / "a.json.zst").write_bytes(zstd.compress(LINES[:20]) + zstd.compress(LINES[20:]))
    elif how == "zip":
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in/a.json", LINES)
            archive.writestr("__MACOSX/in/._a.json", b"\0\5\x16\7")
    elif how == "utf-16":
        (folder / "a.json").write_bytes(LINES.decode().encode("utf-16"))
    else:
        (folder / "a.json").write_bytes(LINES)


@pytest.mark.parametrize("how", ["plain", "gz", "zst", "zip", "utf-16"])
def test_packed_files_are_unpacked(tmp_path, how):
    """The same records, however the file lies on the disk."""
    packed(tmp_path, how)
    (source,), skipped = survey([str(tmp_path)])
    assert skipped == []
    assert source.form == "jsonl"
    with opened(source) as stream:
        found, _, _ = read(text.lines(stream))
    assert list(found.values()) == LINES.splitlines()


def test_a_zstd_file_that_is_cut_is_told(tmp_path):
    """What came before is read."""
    noise = random.Random(1).randbytes(600_000).hex().encode()
    (tmp_path / "a.log.zst").write_bytes(zstd.compress(noise)[:-1_000])
    (source,), _ = survey([str(tmp_path)])
    before = b""
    with pytest.raises(WatchbillError, match="damaged"), opened(source) as stream:  # noqa: PT012 - it is read up to there
        while data := stream.read(10_000):
            before += data
    assert len(before) > 100_000
    assert noise.startswith(before)


def test_an_archive_that_unfolds_without_end_is_stopped(tmp_path, monkeypatch):
    """A bomb costs no memory and ends at the limit."""
    monkeypatch.setattr(sources, "MOST_UNPACKED", 1 << 20)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b'{"a":1}\n' * (1 << 18)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", b'{"a":1}\n' * (1 << 18))
    (source,), skipped = survey([str(tmp_path)])
    assert [(one.name.rpartition("!")[2], one.error) for one in skipped] == [("a.json", True)]
    with pytest.raises(WatchbillError, match="unfolds to more"), opened(source) as stream:
        read(text.lines(stream))


def test_damaged_archives_and_what_is_no_log(tmp_path):
    """Each is named with its reason; a picture in a folder is no error, one that was asked for is."""
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and nothing else")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\0\0\0")
    (tmp_path / "c.log").write_bytes(b"")
    found, skipped = survey([str(tmp_path)])
    assert found == []
    assert {one.name.rpartition("/")[2]: one.error for one in skipped} == {
        "a.zip": True,
        "b.png": False,
        "c.log": False,
    }
    assert survey([str(tmp_path / "b.png")])[1][0].error


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.evtx", b"ElfFile\0" + b"\0" * 4_088, "evtx"),
        ("a", b"ElfChnk\0" + b"\0" * 100, "evtx"),
        ("a.json", b'{"a":1}\n{"b":2}\n', "jsonl"),
        ("a.json", b'{"a":1}', "jsonl"),
        ("a.json", b'{\n "a":1}', "json"),
        ("a.json", b'{"Records":[{"a":1}]}\n', "json"),
        ("a.json", b'\xef\xbb\xbf[{"a":1}]', "json"),
        ("a.log", b"[Wed Mar 04 10:00:00 2026] [error] x", "lines"),
        ("a.csv", b"a,b\n1,2\n", "csv"),
        ("a.xml", b'<?xml version="1.0"?>\n<Events>\n<Event xmlns="x">', "xml"),
        ("a.log", b"<Event xmlns='x'><System/></Event>\n", "lines"),
        ("a.log", b"Mar  4 10:00:00 web sshd[1]: x\n", "lines"),
    ],
    ids=str,
)
def test_forms_are_recognised(tmp_path, name, content, form):
    """By what is in a file before what it is called."""
    (tmp_path / name).write_bytes(content)
    (source,), _ = survey([str(tmp_path / name)])
    assert source.form == form


class Trickle(io.BytesIO):
    """Gives less than it is asked for, as pipes and decoders do."""

    def read(self, size=-1):
        return super().read(size // 2)


@pytest.mark.parametrize("live", [False, True])
def test_only_a_live_stream_is_not_waited_for(live):
    """Small batches are slow to judge: what is a file is gathered, however little a read gives."""
    data = b"x" * 99 + b"\n"
    batches = list(text.lines(Trickle(data * (text.BLOCK // 25)), live=live))
    assert sum(len(batch.raws) for batch in batches) == text.BLOCK // 25
    assert (len(batches) > 1) == live
