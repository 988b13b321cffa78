"""What audit logs of cloud services share: somebody did something to something, from somewhere, and it worked or not.

A parser says in a ``Form`` where its service keeps these, and for each record what kind of act it was; the OCSF event
follows. Acts on accounts, groups, sign-ins and logging have classes of their own, all others are API Activity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from watchbill.core.times import from_rfc3339
from watchbill.sdk import Event, Line, LogSource, flat, ocsf

#: (OCSF class, activity) of an act; activity 0 of API Activity asks its name.
Kind = tuple[int, int]
SIGN_IN: Kind = (ocsf.AUTHENTICATION, 1)
SIGN_OUT: Kind = (ocsf.AUTHENTICATION, 2)
USER_CREATED: Kind = (ocsf.ACCOUNT_CHANGE, 1)
USER_ENABLED: Kind = (ocsf.ACCOUNT_CHANGE, 2)
PASSWORD_CHANGED: Kind = (ocsf.ACCOUNT_CHANGE, 3)
PASSWORD_RESET: Kind = (ocsf.ACCOUNT_CHANGE, 4)
USER_DISABLED: Kind = (ocsf.ACCOUNT_CHANGE, 5)
USER_DELETED: Kind = (ocsf.ACCOUNT_CHANGE, 6)
RIGHT_GIVEN: Kind = (ocsf.ACCOUNT_CHANGE, 7)
RIGHT_TAKEN: Kind = (ocsf.ACCOUNT_CHANGE, 8)
USER_LOCKED: Kind = (ocsf.ACCOUNT_CHANGE, 9)
MFA_ENABLED: Kind = (ocsf.ACCOUNT_CHANGE, 10)
MFA_DISABLED: Kind = (ocsf.ACCOUNT_CHANGE, 11)
USER_UNLOCKED: Kind = (ocsf.ACCOUNT_CHANGE, 12)
MEMBER_ADDED: Kind = (ocsf.GROUP_MANAGEMENT, 3)
MEMBER_REMOVED: Kind = (ocsf.GROUP_MANAGEMENT, 4)
GROUP_DELETED: Kind = (ocsf.GROUP_MANAGEMENT, 5)
GROUP_CREATED: Kind = (ocsf.GROUP_MANAGEMENT, 6)
LOG_DELETED: Kind = (ocsf.EVENT_LOG_ACTIVITY, 2)
LOG_DISABLED: Kind = (ocsf.EVENT_LOG_ACTIVITY, 10)
LOG_ENABLED: Kind = (ocsf.EVENT_LOG_ACTIVITY, 9)
CALL: Kind = (ocsf.API_ACTIVITY, 0)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VERBS = (
    (1, "create add insert new register invite enroll import generate issue publish upload grant copy restore provision install"),
    (2, "read get list view access download search query watch export fetch show describe preview check validate lookup"),
    (3, "update change modify set edit patch write rename enable disable activate deactivate suspend unsuspend assign unassign attach detach move start stop rotate reset revoke approve reject transfer sync replace apply bind"),
    (4, "delete remove destroy purge uninstall unregister erase deletecollection"),
)  # fmt: skip
_ACTIVITIES = {verb: activity for activity, verbs in _VERBS for verb in verbs.split()}
_LONGEST = 400


class Form(NamedTuple):
    """Where one service's audit log keeps what; each is a tuple of native fields, the first that says something holds."""

    product: str
    vendor: str
    operation: tuple[str, ...]
    actor: tuple[str, ...]
    address: tuple[str, ...]
    time: tuple[str, ...]
    service: tuple[str, ...] = ()
    actor_uid: tuple[str, ...] = ()
    agent: tuple[str, ...] = ()
    uid: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    #: Sign-ins are to this, unless the record names a service.
    entrance: str = ""


class Act(NamedTuple):
    """What one record tells beyond its form. ``failed`` None says that the record does not tell."""

    kind: Kind
    failed: bool | None = False
    user: str = ""
    group: str = ""
    log: str = ""
    right: str = ""
    resources: tuple[tuple[str, str], ...] = ()
    mfa: bool | None = None
    host: str = ""
    extra: Mapping[str, Any] = {}


def event(form: Form, line: Line, native: dict[str, Any], logsource: LogSource, act: Act) -> Event:
    """The event of one record. ``host`` is the tenant, so that it can be an asset with a criticality."""
    class_uid, activity = act.kind
    operation = first(native, form.operation) or "unknown"
    service = first(native, form.service) or form.entrance or form.product
    if class_uid == ocsf.API_ACTIVITY and not activity:
        activity = activity_of(operation)
    status = ocsf.UNKNOWN if act.failed is None else ocsf.FAILURE if act.failed else ocsf.SUCCESS
    values = ocsf.template(class_uid, activity, form.product, form.vendor, status)
    if activity == ocsf.OTHER:
        values["activity_name"] = operation[:100]
    actor = first(native, form.actor)
    values["actor.user.name"] = actor or act.user or "unknown"
    for path, names in (
        ("actor.user.uid", form.actor_uid), ("metadata.uid", form.uid), ("status_detail", form.detail),
    ):  # fmt: skip
        if text := first(native, names):
            values[path] = text[:_LONGEST]
    _from(values, first(native, form.address))
    if class_uid != ocsf.EVENT_LOG_ACTIVITY and (agent := first(native, form.agent)):
        values["http_request.user_agent"] = agent
    _what(values, act, class_uid, operation, service)
    values.update(act.extra)
    time = next((at for name in form.time if (at := moment(native.get(name)))), 0)
    return Event(class_uid, values, native, line.text, time, logsource, act.host)


def _from(values: dict[str, Any], address: str) -> None:
    where, found = ocsf.source(without_port(address) or "unknown")
    values[where] = found
    if where != "src_endpoint.ip":
        values["src_endpoint.svc_name"] = found


def _what(values: dict[str, Any], act: Act, class_uid: int, operation: str, service: str) -> None:
    if class_uid == ocsf.AUTHENTICATION:
        values |= {"user.name": act.user or values["actor.user.name"], "service.name": service, "is_remote": True}
        if act.mfa is not None:
            values["is_mfa"] = act.mfa
    elif class_uid == ocsf.ACCOUNT_CHANGE:
        values["user.name"] = act.user or values["actor.user.name"]
        if act.right:
            values["policies"] = [{"name": act.right}]
    elif class_uid == ocsf.GROUP_MANAGEMENT:
        values["group.name"] = act.group or "unknown"
        if act.user:
            values["user.name"] = act.user
    elif class_uid == ocsf.EVENT_LOG_ACTIVITY:
        values |= {"log_name": act.log or service, "log_provider": values["metadata.product.name"]}
    else:
        values |= {"api.operation": operation, "api.service.name": service}
        if act.resources:
            values["resources"] = [{"name": name, "type": kind} for name, kind in act.resources]


def without_port(address: str) -> str:
    """An address without its port: "192.0.2.7:443", "[2001:db8::7]:443"."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


@lru_cache(maxsize=8_192)
def activity_of(operation: str) -> int:
    """API Activity's activity by the verb in an operation's name: create, read, update, delete, else other."""
    words = [word.lower() for word in _WORD.findall(operation[:200])]
    # "deleted" is what "delete" did, "added" what "add" did.
    forms = [(word, word.removesuffix("d"), word.removesuffix("ed")) for word in words]
    found = [_ACTIVITIES[form] for one in forms for form in one if form in _ACTIVITIES]
    return found[-1] if found else ocsf.OTHER


def first(native: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that says something, as text; of a list its first item."""
    for name in names:
        value = native.get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str):
            if value:
                return value
        elif isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def moment(value: Any) -> int:
    """A time as services write it: RFC 3339 (a blank for the T, a missing zone is UTC) or a number since 1970; else 0."""
    if isinstance(value, str):
        text = value.strip().removesuffix(" UTC")
        if text.isdigit() and len(text) < 20:
            return flat.epoch_ns(int(text))
        try:
            return from_rfc3339(text)
        except (ValueError, OverflowError):
            return 0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1 << 62:
        return flat.epoch_ns(value)
    return 0


def respelt(native: dict[str, Any], names: Mapping[str, str]) -> None:
    """Give fields their other spellings, in place, where those are free: {as rules spell it: as the source does}."""
    for wanted, there in names.items():
        if wanted not in native and there in native:
            native[wanted] = native[there]


def cased(data: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The record with its top-level names as the service spells them: data warehouses hand them out in lower case."""
    proper = {name.lower(): name for name in names if name not in data}
    return {proper.get(name, name): value for name, value in data.items()} if proper.keys() & data.keys() else data


def of_named(pairs: Any, name: str = "name", value: str = "value") -> dict[str, Any]:
    """A list of {name, value} objects as a dictionary; anything else is empty."""
    if not isinstance(pairs, list):
        return {}
    return {
        one[name]: one.get(value) for one in pairs if isinstance(one, dict) and isinstance(one.get(name), str)
    }  # fmt: skip
