"""Third-party logs with known answers. Each floor is what was measured; a fall is a regression."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest

import ocsf_schema
from normalising import PARSERS, normalised
from watchbill.engine.normalise import split_records


@pytest.fixture(scope="session")
def schema(shared_data):
    return ocsf_schema.load(shared_data / "ocsf_schema")


def lines_of(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]


def our_logs(root: Path) -> list[Path]:
    """The files of the shared data that belong to the first parsers."""
    beats = root / "beats_filebeat"
    found = [path for part in ("system", "nginx", "apache", "auditd") for path in (beats / "oss" / part).rglob("*.log")]
    found += (beats / "x-pack" / "aws" / "cloudtrail").rglob("*.log")
    found += (root / "crowdsec_hub_tests").glob("*/*.log")
    found += (root / "fail2ban_logs" / "logs").glob("*")
    found += (root / "loghub").rglob("*.log")
    found += (root / "wazuh_tests" / "tests").glob("*.ini")
    found += sorted((root / "invictus_cloudtrail").rglob("*.json"))[:5] + list((root / "stratus_red_team").rglob("*.json"))[:20]
    return sorted(path for path in set(found) if path.is_file())


def test_every_event_validates_against_ocsf(shared_data, schema):
    """Whatever the line, what comes of it is valid OCSF 1.8, and none is quarantined as a parser's failure."""
    faults: Counter[str] = Counter()
    classes: Counter[int] = Counter()
    count = 0
    for path in our_logs(shared_data):
        seen = set()
        for event in normalised(split_records(path.read_bytes())[:400], name=path.name):
            count += 1
            classes[event.class_uid] += 1
            assert not event.flaw.startswith("the parser"), (path, event.flaw, event.message)
            for fault in schema.faults(event.ocsf):
                if fault not in seen:
                    seen.add(fault)
                    faults[f"{event.parser}: {fault}"] += 1
    assert count > 8_000
    assert len(classes) >= 10, classes
    assert not faults, faults.most_common(30)


def test_every_sample_validates_against_ocsf(schema):
    for parser in PARSERS:
        for sample in parser.samples:
            if sample.class_uid is not None:
                event = normalised([sample.raw])[0]
                assert not schema.faults(event.ocsf), (parser.id, sample.raw)
