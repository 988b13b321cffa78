"""ClamAV: what clamd, clamscan and freshclam write to syslog and to their log files.

Format: https://docs.clamav.net/manual/Usage/Scanning.html ("/path/of/file: Name.Of.Signature FOUND").
"""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_FOUND = re.compile(
    r"(?:\w{3} \w{3} [ \d]\d [\d:]{8} \d{4} -> )?(?P<path>\S.{0,4000}?): (?P<name>[\w.:/+-]{3,200})(?:\([0-9a-f]{32}:\d+\))? FOUND$"
)
_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "ClamAV", "Cisco")
DETECTION_FINDING = 2004


def parse(line: Line) -> Event | None:
    """Translate one line; what is no finding of the daemons stays a Base Event."""
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    found = _FOUND.match(line.text)
    if not found:
        if line.app not in _APPS:
            return None
        return Event(ocsf.BASE, {**_BASE, "message": line.text[:2_048]}, native, line.text)
    path, name = found["path"], found["name"]
    native |= {"Filename": path, "Signature": name}
    values = ocsf.template(DETECTION_FINDING, 1, "ClamAV", "Cisco")
    values |= {
        "severity_id": 4, "finding_info.title": name, "finding_info.uid": f"{name} {path}"[:400],
        "evidences": [{"file": {"name": path.rpartition("/")[2] or path, "path": path, "type_id": 1}}],
        "message": line.text[:2_048],
    }  # fmt: skip
    return Event(DETECTION_FINDING, values, native, line.text)


_APPS = ("clamd", "clamav", "clamscan", "clamdscan", "clamonacc", "freshclam", "clamav-milter")
PARSER = Parser(
    id="clamav",
    title="ClamAV",
    logsource=LogSource("linux", "clamav"),
    parse=parse,
    apps=_APPS,
    sniff=lambda text: text.endswith(" FOUND") and _FOUND.match(text) is not None,
    rank=60,
    samples=(
        Sample(
            "<14>Mar  4 10:00:00 mail-01 clamd[7]: /srv/mail/invoice.zip: Win.Trojan.Agent-1 FOUND",
            DETECTION_FINDING,
            {"finding_info.title": "Win.Trojan.Agent-1", "severity_id": 4},
            {"Filename": "/srv/mail/invoice.zip", "Signature": "Win.Trojan.Agent-1"},
            host="mail-01",
        ),
        Sample("Wed Mar  4 10:00:00 2026 -> /srv/a b.exe: Win.Test.EICAR_HDB-1 FOUND", DETECTION_FINDING, native={"Filename": "/srv/a b.exe"}),
        Sample("<14>Mar  4 10:00:00 mail-01 clamd[7]: SelfCheck: Database status OK.", ocsf.BASE),
        Sample("LOST AND FOUND", None),
    ),
)  # fmt: skip
