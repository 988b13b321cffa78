"""vsftpd's own log: sign-ins and transfers, in its file form or through syslog."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_FORM = re.compile(
    r"(?:[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} )?(?:\[pid (\d+)\] )?(?:\[(.*)\] )?"
    r'(OK|FAIL)? ?(LOGIN|CONNECT|UPLOAD|DOWNLOAD|DELETE|MKDIR|RMDIR|RENAME|CHMOD): Client "([^"]*)"(?:, "([^"]*)")?'
)
_FILE_ACTIVITIES = {"UPLOAD": 1, "DOWNLOAD": 2, "DELETE": 4, "MKDIR": 1, "RMDIR": 4, "RENAME": 5, "CHMOD": 6}
_SIGN_IN = {"service.name": "vsftpd", "is_remote": True}


def parse(line: Line) -> Event | None:
    """Translate LOGIN and transfers; a bare CONNECT is a Base Event."""
    match = _FORM.match(line.text)
    if not match:
        return None
    pid, user, result, what, client, detail = match.groups()
    status = ocsf.FAILURE if result == "FAIL" else ocsf.SUCCESS
    where, address = ocsf.source(client)
    native: dict[str, Any] = {
        "program": "vsftpd", "pid": pid or line.pid, "host": line.host, "user": user or "", "action": what,
        "result": result or "", "src_ip": address,
    }  # fmt: skip
    if detail:
        native["detail"] = detail
    if what == "LOGIN":
        values = ocsf.template(ocsf.AUTHENTICATION, 1, "vsftpd", "vsftpd", status, _SIGN_IN)
        values |= {"user.name": user or "", where: address}
        if status == ocsf.FAILURE:
            native["attempt"] = "login"
        return Event(ocsf.AUTHENTICATION, values, native, line.text)
    if what == "CONNECT" or not detail:
        values = {**ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "vsftpd", "vsftpd", status), "message": line.text}
        return Event(ocsf.BASE, values, native, line.text)
    values = ocsf.template(ocsf.FILE_ACTIVITY, _FILE_ACTIVITIES[what], "vsftpd", "vsftpd", status)
    name = detail.rstrip("/").rpartition("/")[2] or detail
    values |= {"file.path": detail, "file.name": name, "file.type_id": 1, "actor.user.name": user or ""}
    return Event(ocsf.FILE_ACTIVITY, values, native, line.text)


PARSER = Parser(
    id="vsftpd",
    title="vsftpd",
    logsource=LogSource("linux", "vsftpd"),
    parse=parse,
    apps=("vsftpd",),
    sniff=lambda text: ': Client "' in text and _FORM.match(text) is not None,
    rank=30,
    samples=(
        Sample(
            'Wed Mar  4 10:00:00 2026 [pid 7] [ana] FAIL LOGIN: Client "::ffff:192.0.2.7"',
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7", "service.name": "vsftpd"},
            time="2026-03-04T10:00:00Z",
        ),
        Sample(
            'Mar  4 10:00:00 ftp-01 vsftpd[7]: [ana] OK UPLOAD: Client "192.0.2.7", "/srv/a.txt", 12 bytes',
            ocsf.FILE_ACTIVITY,
            {"activity_id": 1, "file.path": "/srv/a.txt", "actor.user.name": "ana"},
        ),
        Sample('Mar  4 10:00:00 ftp-01 vsftpd[7]: CONNECT: Client "192.0.2.7"', ocsf.BASE),
        Sample("Mar  4 10:00:00 ftp-01 vsftpd[7]: pam_unix(vsftpd:auth): check pass; user unknown", None),
    ),
)  # fmt: skip
