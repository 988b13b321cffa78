"""The records of all third-party data sets beside the checkout, as they would arrive: by data set and file."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from watchbill.engine.offline import survey
from watchbill.engine.offline.evtx import HEADER
from watchbill.engine.offline.pool import Part
from watchbill.engine.offline.sources import opened
from watchbill.engine.offline.triage import _batches

#: Data sets that hold log records; the others hold schemas, scanners' reports, advisories and the like.
SETS = (
    "beats_filebeat", "beats_winlog_audit", "crowdsec_hub_tests", "elastic_package_pipeline", "evtx_to_mitre",
    "fail2ban_logs/logs", "invictus_cloudtrail", "loghub", "ocsf_examples", "otrf_security_datasets", "panther_tests",
    "sc4s_syslog", "sigma/regression", "stratus_red_team", "wazuh_engine", "wazuh_tests/tests", "zeek_wrccdc",
)  # fmt: skip
_NO_LOGS = re.compile(
    r"(?:SOURCE|LICENSE|COPYING|README)\b.*|.*\.(?:md|yml|yaml|assert)|labels\.jsonl|split_files\.txt"
)
_FILLED = {
    "mark": "<134>", "bsd": "Mar  4 10:00:00", "iso": "2026-03-04T10:00:00Z", "date": "2026-03-04", "time": "10:00:00",
    "epoch": "1772618400", "tzoffset": "+0000", "pid": "42",
}  # fmt: skip


class Corpus(NamedTuple):
    """The records of one file."""

    data_set: str
    name: str
    raws: list[bytes]


def files(root, sets=SETS):
    """All files that may hold records, with their data set, in a fixed order."""
    found = []
    for data_set in sets:
        sources, _ = survey([str(root / data_set)])
        names = {source: (source.member or source.path).rpartition("/")[2] for source in sources}
        found += [(data_set, one) for one in sorted(sources) if not _NO_LOGS.fullmatch(names[one])]
    return found


def read(root, data_set, source):
    """One of those files."""
    start = HEADER if source.form == "evtx" else 0
    with opened(source, start) as stream:
        raws = [raw for batch in _batches(source, Part(0, start, None), stream) for raw in batch.raws]
    return Corpus(data_set, source.name.removeprefix(f"{root}/"), _TAKEN_OUT.get(data_set, list)(raws))


def _of_wazuh(raws):
    """The lines of its own tests."""
    found = (re.match(rb"log \d+ (?:pass|fail) = (.*)", raw) for raw in raws)
    return [one[1] for one in found if one and one[1].strip()]


def _of_panther(raws):
    events = (json.loads(raw)["event"] for raw in raws)
    return [json.dumps(event).encode() for event in events if isinstance(event, dict)]


def _of_sc4s(raws):
    """Messages made of their templates."""
    templates = (json.loads(raw)["message_template"] for raw in raws)
    return [re.sub(r"\{\{ *(\w+) *\}\}", lambda one: _FILLED.get(one[1], one[1]), text).encode() for text in templates]


_TAKEN_OUT = {"wazuh_tests/tests": _of_wazuh, "panther_tests": _of_panther, "sc4s_syslog": _of_sc4s}
