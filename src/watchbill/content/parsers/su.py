"""su: becoming somebody else."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_FORMS = (
    # util-linux: "(to root) ana on pts/0", "FAILED SU (to root) ana on pts/0"
    re.compile(r"(?P<failed>FAILED SU |BAD SU )?\(to (?P<user>\S+)\) (?P<actor>\S+) on (?P<tty>\S+)"),
    # shadow: "Successful su for root by ana", "FAILED su for root by ana"
    re.compile(r"(?P<failed>FAILED |failed )?(?:Successful |SUCCESSFUL )?su for (?P<user>\S+) by (?P<actor>\S+)"),
    # shadow and Solaris: "+ pts/0 ana:root", "- pts/0 ana:root"
    re.compile(r"(?P<sign>[+-]) (?P<tty>\S+) (?P<actor>[^:\s]+)[:-](?P<user>\S+)$"),
    # BSD: "BAD SU ana to root on ttyp0", "ana to root on /dev/ttyp0"
    re.compile(r"(?P<failed>BAD SU )?(?P<actor>\S+) to (?P<user>\S+) on (?P<tty>\S+)"),
    re.compile(r"'su (?P<user>\S+)' (?P<failed>failed|succeeded) for (?P<actor>\S+)(?: on (?P<tty>\S+))?"),
)
_FIXED = {"service.name": "su", "is_remote": False}
_BECAME = ocsf.template(ocsf.AUTHENTICATION, 1, "su", "util-linux", ocsf.SUCCESS, _FIXED)
_FAILED = ocsf.template(ocsf.AUTHENTICATION, 1, "su", "util-linux", ocsf.FAILURE, _FIXED)


def parse(line: Line) -> Event | None:
    """Translate su's own lines; PAM's are left to the parser ``pam``."""
    for form in _FORMS:
        if match := form.match(line.text):
            return _event(line, match.groupdict())
    return None


def _event(line: Line, parts: dict[str, str | None]) -> Event:
    failed = parts.get("sign") == "-" or (parts.get("failed") or "succeeded") != "succeeded"
    user, actor = parts["user"] or "", parts["actor"] or ""
    values = {**(_FAILED if failed else _BECAME), "user.name": user, "actor.user.name": actor}
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host, "user": user, "actor": actor}
    if parts.get("tty"):
        native["tty"] = parts["tty"]
    if failed:
        native["attempt"] = "sign" if parts.get("sign") else "su"
    return Event(ocsf.AUTHENTICATION, values, native, line.text)


_LINE = "Mar  4 10:00:00 db-01 su[9]: "


def _sample(text: str, status: int) -> Sample:
    values = {"status_id": status, "user.name": "root", "actor.user.name": "ana", "service.name": "su"}
    return Sample(_LINE + text, ocsf.AUTHENTICATION, values, {"user": "root", "actor": "ana"}, host="db-01")


PARSER = Parser(
    id="su",
    title="su",
    logsource=LogSource("linux", "su"),
    parse=parse,
    apps=("su",),
    rank=10,
    samples=(
        _sample("(to root) ana on pts/0", 1),
        _sample("FAILED SU (to root) ana on pts/0", 2),
        _sample("Successful su for root by ana", 1),
        _sample("FAILED su for root by ana", 2),
        _sample("+ pts/0 ana:root", 1),
        _sample("- pts/0 ana:root", 2),
        _sample("BAD SU ana to root on ttyp0", 2),
        _sample("'su root' failed for ana on /dev/pts/0", 2),
        Sample(_LINE + "pam_unix(su:session): session opened for user root by ana(uid=1000)", None),
    ),
)
