"""cron, anacron and crontab: what ran, and whose table was changed."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_FORM = re.compile(r"\(([^()]*)\) ([A-Z][A-Za-z ]*?) \((.*)\)\s*$", re.DOTALL)
_ANACRON = re.compile(r"Job `(.*?)' (started|terminated)(.*)")
_ACTIVITIES = {
    "CMD": 6, "CMDOUT": ocsf.OTHER, "CMDEND": ocsf.OTHER, "RELOAD": 2, "REPLACE": 2, "BEGIN EDIT": 2, "DELETE": 3,
    "LIST": ocsf.OTHER, "END EDIT": ocsf.OTHER, "AUTH": ocsf.OTHER, "ORPHAN": ocsf.OTHER,
}  # fmt: skip
_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "cron", "cron")
_JOBS = {
    activity: ocsf.template(ocsf.SCHEDULED_JOB_ACTIVITY, activity, "cron", "cron", ocsf.SUCCESS)
    for activity in {*_ACTIVITIES.values()}
}


def parse(line: Line) -> Event | None:
    """Translate "(user) VERB (what)" and anacron's jobs; the rest of cron's lines become Base Events."""
    if line.text.startswith("pam_"):
        return None
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    if match := _FORM.match(line.text):
        user, verb, what = match.groups()
        activity = _ACTIVITIES.get(verb, -1)
        if activity >= 0:
            return _job(line, activity, verb, user, what, native)
    elif match := _ANACRON.match(line.text):
        activity = 6 if match[2] == "started" else ocsf.OTHER
        return _job(line, activity, f"job {match[2]}", "root", match[1], native)
    values = {**_BASE, "message": line.text}
    return Event(ocsf.BASE, values, native, line.text)


def _job(line: Line, activity: int, verb: str, user: str, what: str, native: dict[str, Any]) -> Event:
    running = verb.startswith("CMD")
    name = what if running or verb.startswith("job") else f"crontab of {what}"
    values = {**_JOBS[activity], "job.name": name, "actor.user.name": user}
    if activity == ocsf.OTHER:
        values["activity_name"] = verb.title()
    if running:
        values["job.cmd_line"] = what
        values["job.user.name"] = user
    native |= {"user": user, "action": verb, "command" if running else "what": what}
    return Event(ocsf.SCHEDULED_JOB_ACTIVITY, values, native, line.text)


_LINE = "Mar  4 10:00:01 db-01 CRON[77]: "

PARSER = Parser(
    id="cron",
    title="cron, anacron, crontab",
    logsource=LogSource("linux", "cron"),
    parse=parse,
    apps=("cron", "crond", "anacron", "crontab", "fcron", "atd"),
    rank=10,
    samples=(
        Sample(
            _LINE + "(root) CMD (   /usr/local/bin/backup --all)",
            ocsf.SCHEDULED_JOB_ACTIVITY,
            {"activity_id": 6, "job.cmd_line": "   /usr/local/bin/backup --all", "actor.user.name": "root"},
            {"command": "   /usr/local/bin/backup --all", "user": "root", "action": "CMD"},
        ),
        Sample(
            "Mar  4 10:00:01 db-01 crontab[78]: (ana) REPLACE (root)",
            ocsf.SCHEDULED_JOB_ACTIVITY,
            {"activity_id": 2, "job.name": "crontab of root", "actor.user.name": "ana"},
        ),
        Sample(
            "Mar  4 10:00:01 db-01 anacron[78]: Job `cron.daily' started",
            ocsf.SCHEDULED_JOB_ACTIVITY,
            {"activity_id": 6, "job.name": "cron.daily"},
        ),
        Sample(_LINE + "(CRON) INFO (Running @reboot jobs)", ocsf.BASE, {"message": "(CRON) INFO (Running @reboot jobs)"}),
        Sample(_LINE + "pam_unix(cron:session): session closed for user root", None),
    ),
)  # fmt: skip
