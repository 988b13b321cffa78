"""Local users and groups: shadow-utils (useradd, usermod, userdel, group*, gpasswd, passwd, chage, chsh, chfn)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_USER = ocsf.ACCOUNT_CHANGE
_GROUP = ocsf.GROUP_MANAGEMENT
_OTHER = ocsf.OTHER


class _Form(NamedTuple):
    class_uid: int
    activity_id: int
    pattern: re.Pattern[str]
    status_id: int = ocsf.SUCCESS
    name: str = ""


def _form(class_uid: int, activity: int, pattern: str, status: int = ocsf.SUCCESS, name: str = "") -> _Form:
    return _Form(class_uid, activity, re.compile(pattern), status, name)


# Messages as they stand in shadow's sources (src/useradd.c, usermod.c, …); the quotes came with version 4.1.
_FORMS = (
    _form(_USER, 1, r"new (?:user|account)(?: added)?: name=(?P<user>[^,]+), UID=(?P<uid>\d+), GID=(?P<gid>\d+)(?:, home=(?P<home>[^,]*))?(?:, shell=(?P<shell>[^,]*))?(?:, from=(?P<terminal>.*))?"),
    _form(_GROUP, 6, r"new group: name=(?P<group>[^,]+), GID=(?P<gid>\d+)"),
    _form(_GROUP, 6, r"group added to (?!/etc/gshadow)\S+: name=(?P<group>[^,]+)(?:, GID=(?P<gid>\d+))?"),
    _form(_GROUP, 3, r"add '?(?P<user>[^' ]+)'? to group '?(?P<group>[^' ]+)'?"),
    _form(_GROUP, 3, r"user '?(?P<user>[^' ]+)'? added by '?(?P<actor>[^' ]+)'? to group '?(?P<group>[^' ]+)'?"),
    _form(_GROUP, 3, r"members of group '?(?P<group>[^' ]+)'? set by '?(?P<actor>[^' ]+)'? to (?P<user>.*)"),
    _form(_GROUP, 4, r"(?:delete|remove) '?(?P<user>[^' ]+)'? from group '?(?P<group>[^' ]+)'?"),
    _form(_GROUP, 4, r"user '?(?P<user>[^' ]+)'? removed by '?(?P<actor>[^' ]+)'? from group '?(?P<group>[^' ]+)'?"),
    _form(_GROUP, 5, r"group '?(?P<group>[^' ]+)'? removed(?: from (?!/etc/gshadow).*)?$"),
    _form(_GROUP, 5, r"removed group '?(?P<group>[^' ]+)'? owned by '?(?P<user>[^' ]+)'?"),
    _form(_GROUP, 5, r"remove group '?(?P<group>[^' ]+)'?"),
    _form(_GROUP, _OTHER, r"group changed in (?!/etc/gshadow)\S+ \(group (?P<group>[^/,)]+)(?:/(?P<gid>\d+))?(?P<change>.*)\)", name="Update"),
    _form(_GROUP, 1, r"set '?(?P<user>[^' ]+)'? as administrator of (?P<group>\S+)"),
    _form(_GROUP, 1, r"administrators of group '?(?P<group>[^' ]+)'? set by '?(?P<actor>[^' ]+)'? to (?P<user>.*)"),
    _form(_USER, 6, r"delete user '?(?P<user>[^']+?)'?$"),
    _form(_USER, 9, r"lock user '?(?P<user>[^' ]+)'? password"),
    _form(_USER, 12, r"unlock user '?(?P<user>[^' ]+)'? password"),
    _form(_USER, 3, r"change user '?(?P<user>[^' ]+)'? password"),
    _form(_USER, 3, r"password for '?(?P<user>[^' ]+)'? changed by '?(?P<actor>[^' ]+)'?"),
    _form(_USER, 3, r"password changed for (?P<user>\S+)"),
    _form(_USER, _OTHER, r"change user '?(?P<user>[^' ]+)'? (?P<field>UID|GID|shell|home|expiration|inactive|info\w*|name)\b ?(?:from '?(?P<old>[^']*?)'? )?to '?(?P<new>[^']*)'?", name="Update"),
    _form(_USER, _OTHER, r"change user name '?(?P<old>[^' ]+)'? to '?(?P<user>[^' ]+)'?", name="Rename"),
    _form(_USER, _OTHER, r"change user '?(?P<user>[^' ]+)'? (?P<field>\w+)", name="Update"),
    _form(_USER, _OTHER, r"changed user '?(?P<user>[^' ]+)'? (?P<field>shell|information)(?: to '?(?P<new>[^']*)'?)?", name="Update"),
    _form(_USER, _OTHER, r"changed password expiry for (?P<user>\S+)", name="Password Expiry"),
    _form(_USER, 1, r"failed adding (?:user|entry) '?(?P<user>[^',]+)'?", ocsf.FAILURE),
    _form(_USER, 6, r"failed deleting (?:user|entry) '?(?P<user>[^',]+)'?", ocsf.FAILURE),
)  # fmt: skip
_APPS = (
    "useradd", "userdel", "usermod", "groupadd", "groupdel", "groupmod", "groupmems", "gpasswd", "passwd", "chage",
    "chpasswd", "chgpasswd", "newusers", "chsh", "chfn", "adduser", "deluser", "vipw", "shadow",
)  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate shadow's messages. What it says again for /etc/shadow and /etc/gshadow is a Base Event."""
    text = line.text.strip()
    if text.startswith("pam_"):
        return None
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    for form in _FORMS:
        if match := form.pattern.match(text):
            native |= {name: value for name, value in match.groupdict().items() if value is not None}
            return _event(line, form, native)
    values = {**ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "shadow-utils", "shadow"), "message": text}
    return Event(ocsf.BASE, values, native, line.text)


def _event(line: Line, form: _Form, native: dict[str, Any]) -> Event:
    values = ocsf.template(form.class_uid, form.activity_id, "shadow-utils", "shadow", form.status_id)
    if form.name:
        values["activity_name"] = form.name
    for name, path in (("user", "user.name"), ("group", "group.name"), ("actor", "actor.user.name")):
        if name in native:
            values[path] = native[name]
    if "uid" in native:
        values["user.uid"] = native["uid"]
    if form.class_uid == _GROUP and "gid" in native:
        values["group.uid"] = native["gid"]
    if "new" in native or "old" in native:
        old, new = native.get("old", ""), native.get("new", native.get("user", ""))
        values["status_detail"] = (
            f"{native.get('field', 'name')}: {old} -> {new}" if old else f"{native.get('field')}: {new}"
        )
    return Event(form.class_uid, values, native, line.text)


def _sample(app: str, text: str, class_uid: int, **expected: Any) -> Sample:
    values = {name.replace("__", "."): value for name, value in expected.items()}
    return Sample(f"Mar  4 10:00:00 db-01 {app}[31]: {text}", class_uid, values, {"program": app}, host="db-01")


PARSER = Parser(
    id="accounts",
    title="Local users and groups (shadow-utils)",
    logsource=LogSource("linux", "auth"),
    parse=parse,
    apps=_APPS,
    rank=10,
    samples=(
        _sample("useradd", "new user: name=ana, UID=1001, GID=1001, home=/home/ana, shell=/bin/bash, from=/dev/pts/0", _USER, activity_id=1, user__name="ana", user__uid="1001"),
        _sample("useradd", "add 'ana' to group 'sudo'", _GROUP, activity_id=3, user__name="ana", group__name="sudo"),
        _sample("useradd", "add 'ana' to shadow group 'sudo'", ocsf.BASE),
        _sample("useradd", "failed adding user 'ana', exit code: 9", _USER, activity_id=1, status_id=2, user__name="ana"),
        _sample("groupadd", "group added to /etc/group: name=ops, GID=1005", _GROUP, activity_id=6, group__name="ops", group__uid="1005"),
        _sample("groupadd", "group added to /etc/gshadow: name=ops", ocsf.BASE),
        _sample("gpasswd", "user ana added by root to group docker", _GROUP, activity_id=3, user__name="ana", group__name="docker", actor__user__name="root"),
        _sample("gpasswd", "user ana removed by root from group docker", _GROUP, activity_id=4, user__name="ana", actor__user__name="root"),
        _sample("usermod", "add 'ana' to group 'wheel'", _GROUP, activity_id=3, group__name="wheel"),
        _sample("usermod", "lock user 'ana' password", _USER, activity_id=9, user__name="ana"),
        _sample("usermod", "unlock user 'ana' password", _USER, activity_id=12, user__name="ana"),
        _sample("usermod", "change user 'ana' UID from '1001' to '0'", _USER, activity_id=99, user__name="ana", status_detail="UID: 1001 -> 0"),
        _sample("passwd", "password for 'ana' changed by 'root'", _USER, activity_id=3, user__name="ana", actor__user__name="root"),
        _sample("userdel", "delete user 'ana'", _USER, activity_id=6, user__name="ana"),
        _sample("userdel", "removed group 'ana' owned by 'ana'", _GROUP, activity_id=5, group__name="ana"),
        _sample("groupdel", "group 'ops' removed from /etc/group", _GROUP, activity_id=5, group__name="ops"),
        _sample("chage", "changed password expiry for ana", _USER, activity_id=99, user__name="ana"),
        Sample("Mar  4 10:00:00 db-01 app[31]: new user: name=ana, UID=0, GID=0", None),
    ),
)  # fmt: skip
