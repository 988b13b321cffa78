"""A parser's shapes say of raw records exactly what the parser makes of them."""

from __future__ import annotations

import json

import pytest
from normalising import PARSERS, normalised

from watchbill.engine.normalise import split_records

SHAPED = [parser for parser in PARSERS if parser.shapes]


def objects(lines):
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield line, record


def disagreements(parser, lines, **facts):
    """Records that a shape of the parser takes and its parser reads otherwise; and how many it takes."""
    read = [(line, found) for line, record in objects(lines) if (found := first(parser, record))]
    events = normalised([line for line, _ in read], **facts)
    wrong = []
    for (line, (kind, native)), event in zip(read, events, strict=True):
        if event.parser not in {parser.id, "sysmon_linux"}:  # the latter takes the forms of Windows
            wrong.append((event.parser, line))
        elif (kind.logsource, native) != (event.logsource, event.native):
            wrong.append((kind.logsource, native.keys() ^ event.native.keys(), line))
        elif kind.class_uid not in {None, event.class_uid}:
            wrong.append((kind.class_uid, event.class_uid, line))
        elif kind.activity_id not in {None, event.ocsf.get("activity_id")}:
            wrong.append((kind.activity_id, event.ocsf.get("activity_id"), line))
    return wrong, len(read)


def first(parser, record):
    return next((found for shape in parser.shapes if (found := shape.read(record)) is not None), None)


@pytest.mark.parametrize("parser", SHAPED, ids=lambda parser: parser.id)
def test_samples_are_read_alike(parser):
    """The parser's own, and those of all others, of which no shape may take one."""
    wrong, taken = disagreements(parser, [sample.raw for sample in parser.samples])
    assert wrong == []
    assert taken >= 2
    for other in PARSERS:
        if other.id not in {parser.id, "sysmon_linux"}:
            wrong, _ = disagreements(parser, [sample.raw for sample in other.samples])
            assert wrong == [], other.id


def logs(root):
    """Records of the third-party data that are JSON objects, by file."""
    for path in sorted((root / "panther_tests").glob("*.jsonl")):
        events = (json.loads(line)["event"] for line in path.read_text("utf-8").splitlines())
        yield path.name, [json.dumps(event) for event in events if isinstance(event, dict)]
    for pattern in (
        "invictus_cloudtrail/*.json", "stratus_red_team/*/*.json", "crowdsec_hub_tests/*/*.log",
        "beats_filebeat/x-pack/*/*/*.log", "beats_winlog_audit/*/*.json", "elastic_package_pipeline/*/*/*.log",
    ):  # fmt: skip
        for path in sorted(root.glob(pattern)):
            yield path.name, [raw.decode("utf-8", "replace") for raw in split_records(path.read_bytes())[:60]]


def test_third_party_records_are_read_alike(shared_data):
    """Whatever the service writes, and whoever else's records there are."""
    counts = {parser.id: 0 for parser in SHAPED}
    for name, lines in logs(shared_data):
        for parser in SHAPED:
            wrong, taken = disagreements(parser, lines, name=name)
            assert wrong == []
            counts[parser.id] += taken
    assert min(counts.values()) > 10, counts
