"""Records of files through the rules: nothing is lost, whatever the form, the order and the number of processes."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.clock import SystemClock
from watchbill.core.values import Severity
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import parse_rules
from watchbill.engine.offline import Triage, evtx, pool, survey, triage
from watchbill.engine.offline.sources import Source

RULES = parse_rules(
    """
title: A service was installed
name: service
logsource: {product: windows, service: system}
detection: {selection: {EventID: 7045, ServiceName|startswith: bad}, condition: selection}
level: high
---
title: A base that tells nothing by itself
name: logon
logsource: {product: windows, service: security}
detection: {selection: {EventID: 4625}, condition: selection}
level: informational
---
title: Three logons fail
name: three
correlation: {type: event_count, rules: [logon], group-by: [IpAddress], timespan: 10m, condition: {gte: 3}}
level: medium
"""
)
PARSERS = Catalog.load("watchbill.content", outside=False).parsers


def record(event_id, second, channel="System", **data):
    time = f"2026-03-04T10:{second // 60:02}:{second % 60:02}Z"
    flat = {"Channel": channel, "EventID": event_id, "Hostname": f"ws-{second % 3}", "@timestamp": time, **data}
    return json.dumps(flat)


def logon(second, address):
    return record(4625, second, "Security", IpAddress=address, TargetUserName="ana")


def run(paths, count=1, least="low", **options):
    sources, skipped = survey([str(path) for path in paths])
    assert not skipped
    found = Triage(RULES, PARSERS, SystemClock(), least=Severity(least), **options)
    sizes = []
    hits = list(found.run(sources, count, sizes.append))
    return found, hits, sum(sizes)


def story(hits):
    return sorted((hit.rule.name, hit.host, hit.first, hit.last, hit.count, hit.why) for hit in hits)


@pytest.fixture
def files(tmp_path):
    """A thousand records in three files, in no order, with one service and one series of logons across the files."""
    lines = [record(7036, second, ServiceName=f"s{second}") for second in range(997)]
    lines[400] = record(7045, 400, ServiceName="bad one")
    for number, at in enumerate((100, 500, 900)):
        lines[at] = logon(60 + number, "192.0.2.7")
    lines[10] = logon(3, "192.0.2.8")
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for number, path in enumerate(reversed(paths)):
        path.write_text("\n".join(lines[number::3]) + "\n")
    return paths


def test_files_are_judged_together(files):
    """A correlation sees the records of all files, in the order of their times."""
    found, hits, size = run(files)
    assert {hit.rule.name for hit in hits} == {"service", "three"}
    (service,) = [hit for hit in hits if hit.rule.name == "service"]
    assert service.why == (
        "A service was installed: EventID is '7045'; ServiceName starts with 'bad' (it is 'bad one').",
    )
    assert service.event.native["ServiceName"] == "bad one"
    (three,) = [hit for hit in hits if hit.rule.name == "three"]
    assert (three.count, dict(three.detection.group)) == (3, {"IpAddress": "192.0.2.7"})
    assert found.tally.records == 997
    assert found.below == 0  # the base rule of a correlation tells nothing by itself
    assert found.looked_at() == {"service", "logon", "three"}
    assert size == sum(path.stat().st_size for path in files)


def test_a_record_that_is_no_text_is_judged_whole(tmp_path):
    """Raw matching hands it back; it is neither lost nor counted as one that meets nothing."""
    lines = [record(7036, second, ServiceName=f"s{second}").encode() for second in range(50)]
    lines[20] = record(7045, 20, ServiceName="bad ?").encode().replace(b"?", b"\xff")
    path = tmp_path / "odd.json"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found, hits, _ = run([path])
    assert [hit.event.native["ServiceName"] for hit in hits] == ["bad \\xff"]  # as text with its byte told
    assert found.tally.records == 50


def test_the_number_of_processes_makes_no_difference(files, monkeypatch):
    """Files are cut into parts that several processes read; what is found is the same."""
    one, alone, _ = run(files)
    monkeypatch.setattr(triage, "_PART", 5_000)
    many, together, size = run(files, count=3)
    assert story(together) == story(alone)
    assert many.tally.records == one.tally.records
    assert many.tally.kinds == one.tally.kinds
    assert size == sum(path.stat().st_size for path in files)
    assert all(json.loads(line)["EventID"] == 7045 for line in [_line_at(hit) for hit in together if hit.event])


@given(form=st.sampled_from(["jsonl", "evtx"]), size=st.integers(1, 1 << 31), count=st.integers(1, 64))
def test_parts_follow_each_other_and_shrink(form, size, count):
    """They are the whole file; those of event logs begin where chunks do, and the last are small."""
    parts = triage._parts(7, Source("f", "", "", form, "utf-8", size, 0), count)
    first = evtx.HEADER if form == "evtx" else 0
    assert [part.start for part in parts] == [first, *(part.end for part in parts[:-1])]
    assert parts[-1].end is None
    sizes = [part.end - part.start for part in parts[:-1]]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes, default=0) <= triage._PART
    assert (count == 1) <= (len(parts) == 1)
    if form == "evtx":
        assert not any(part.start % evtx.CHUNK - first for part in parts)
    if count > 1:
        assert size - parts[-1].start <= triage._LEAST_PART + evtx.CHUNK


def test_who_stops_early_leaves_no_process_behind(files, monkeypatch):
    """Closing the search ends what reads for it, and what was looked at by then is known."""
    monkeypatch.setattr(triage, "_PART", 5_000)
    sources, _ = survey([str(path) for path in files])
    found = Triage(RULES, PARSERS, SystemClock())
    hits = found.run(sources, 2, lambda _size: None)
    next(hits)
    hits.close()
    assert multiprocessing.active_children() == []
    assert found.tally.records > 0


def _line_at(hit):
    with Path(hit.file).open("rb") as stream:
        stream.seek(hit.place)
        return stream.readline()


def test_a_process_that_dies_is_told(files, monkeypatch):
    """The parts that it was to read are named, the others are read."""

    def dies(part):
        if part.number == 1:
            os._exit(9)
        yield from ()

    parts = [pool.Part(number, 0, None) for number in range(3)]
    said = list(pool.work(dies, parts, 2))
    assert [one.number for one in said if one.faults] == [1]
    assert {one.number for one in said if one.last} == {0, 2}


def test_levels_and_times_are_chosen(files):
    """What is left out for its level is counted; what lies outside the range is not there."""
    found, hits, _ = run(files, least="critical")
    assert (hits, found.below) == ([], 2)
    at = hits_at = next(hit.first for hit in run(files)[1] if hit.event)
    _, hits, _ = run(files, within=(at, at + 1))
    assert [hit.first for hit in hits] == [hits_at]


def test_what_is_known_only_when_a_window_is_over_is_told(tmp_path):
    """A number that must not be reached, and what was expected and did not come, at the end of all files."""
    rules = parse_rules(
        """
title: A base
name: logon
logsource: {product: windows, service: security}
detection: {selection: {EventID: 4625}, condition: selection}
level: informational
---
title: Another base
name: service
logsource: {product: windows, service: system}
detection: {selection: {EventID: 7045}, condition: selection}
level: informational
---
title: Fewer than three
name: few
correlation: {type: event_count, rules: [logon], group-by: [IpAddress], timespan: 10m, condition: {lt: 3}}
level: medium
---
title: No logon after a service
name: none_followed
correlation: {type: temporal_ordered, rules: [service, logon], timespan: 1m}
level: medium
watchbill: {absence: logon}
""",
        "none_followed.yml",
    )
    assert rules.problems == ()
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join([record(7045, 0, ServiceName="x"), logon(300, "192.0.2.7"), logon(301, "192.0.2.7")]))
    sources, _ = survey([str(log)])
    found = Triage(rules, PARSERS, SystemClock()).run(sources, 1, lambda _: None)
    assert {"few", "none_followed"} <= {hit.rule.name for hit in found}


def test_text_logs_and_a_parser_by_name(tmp_path):
    """A log without JSON is recognised line by line; the host is the record's, never this machine."""
    path = tmp_path / "auth.log"
    path.write_text("Mar  4 10:00:00 web-01 sshd[10]: Failed password for root from 192.0.2.7 port 4000 ssh2\n" * 2)
    found, hits, _ = run([path], parser="sshd")
    assert hits == []
    assert {kind[0] for kind in found.tally.kinds} == {"sshd"}


def test_needs_neither_django_nor_a_database():
    """A machine for forensics has no server: nothing of the state of record is imported, not even to run."""
    code = """
import sys
sys.argv = ["watchbill", "detect", "--json", "-"]
try:
    from watchbill.cli import main
    main()
except SystemExit as end:
    assert end.code == 0, end.code
strangers = {name.partition(".")[0] for name in sys.modules} & {"django", "ninja", "duckdb", "deltalake"}
assert not strangers, strangers
"""
    done = subprocess.run(
        [sys.executable, "-c", code], input="hello\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 records of 1 file" in done.stderr
