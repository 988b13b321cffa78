"""Which events, who and what: the parts of a detection that people follow up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from watchbill.core.values import Criticality
from watchbill.engine.detect.fields import lookup
from watchbill.engine.detect.predicates import MISSING, text_of
from watchbill.engine.detect.windows import About, Entry
from watchbill.sdk.events import Event
from watchbill.sdk.rules import EventRef

#: A detection names at most this many events, from both ends of the story; it counts them all.
MOST_EVENTS = 50
MOST_VALUES = 50
MOST_CHARACTERS = 2_000
#: The most that one event counts.
MOST_WEIGHT = 10_000

Entities = dict[str, tuple[str, ...]]

_ENTITIES = {
    "host": ("device.hostname",),
    "user": ("user.name", "actor.user.name"),
    "src_ip": ("src_endpoint.ip",),
    "process": ("process.name",),
    "group": ("group.name",),
    "app": ("app.name",),
    "file": ("file.path",),
    "resource": ("resource.name", "resource.uid"),
    "account": ("cloud.account.uid",),
}
_PATHS = tuple((path, entity) for entity, paths in _ENTITIES.items() for path in paths)
#: The fields that say who and what is involved.
NAMES = tuple(path for path, _ in _PATHS)
PLAIN = frozenset((str, type(None)))
_RANKS = {criticality: rank for rank, criticality in enumerate(Criticality)}


def about(event: Event) -> About:
    """Who and what an event involves, as it is kept: the plain values of NAMES, which is quick, or all by kind."""
    fields = event.ocsf
    values = tuple(map(fields.get, NAMES))
    if PLAIN.issuperset(map(type, values)) and "resources" not in fields:
        return values
    return entities_of(event)


def entities(entry: Entry) -> Entities:
    """Who and what the event of an entry involves, by kind."""
    if isinstance(entry.about, dict):
        return entry.about
    fields = {name: value for name, value in zip(NAMES, entry.about, strict=False) if value}
    return _by_kind(entry.host, fields)


def entities_of(event: Event) -> Entities:
    """Who and what an event involves, by kind."""
    fields = event.ocsf
    found = _by_kind(event.host, fields)
    if "resources" in fields:
        for path in ("resources.name", "resources.uid"):
            value = lookup(fields, path)
            if value is not MISSING:
                found["resource"] = (*found.get("resource", ()), *_texts(value))
    return found


def _by_kind(host: str, fields: Mapping[str, Any]) -> Entities:
    found: dict[str, tuple[str, ...]] = {"host": (host,)} if host else {}
    for path, entity in _PATHS:
        value = fields.get(path)
        if value is None or value == "":
            continue
        values = (value,) if isinstance(value, str) else _texts(value)
        found[entity] = (*found.get(entity, ()), *values) if entity != "host" else values
    return found


def weight_of(event: Event) -> int:
    """How many things an event stands for (OCSF's ``count``), at most MOST_WEIGHT: whoever writes a record does not
    decide alone how often it counts. It is 0 only for a line that repeats what another told, which the normaliser
    found out (``attempts``).
    """
    count = event.ocsf.get("count")
    if type(count) is not int:
        return 1
    return min(max(count, 0 if "attempt" in event.native else 1), MOST_WEIGHT)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text_of(item) for item in (value if isinstance(value, list) else [value]) if item is not None)


def united(parts: Iterable[dict[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """The entities of several events, each sorted, at most MOST_VALUES of a kind."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for entity, values in part.items():
            found.setdefault(entity, set()).update(values)
    return {entity: tuple(sorted(values)[:MOST_VALUES]) for entity, values in sorted(found.items())}


def refs_of(entries: Sequence[Entry]) -> tuple[EventRef, ...]:
    """The first and the last events of the story."""
    half = MOST_EVENTS // 2
    chosen = entries if len(entries) <= MOST_EVENTS else (*entries[:half], *entries[-half:])
    return tuple(EventRef(one.shard, one.position, one.time, one.host, one.message) for one in chosen)


def detection_id(rule: str, group: Sequence[tuple[str, str]], entries: Sequence[Entry]) -> str:
    """A digest of the rule, the group and the events that are counted here for the first and only time."""
    digest = hashlib.sha256(repr((rule, tuple(group), len(entries))).encode("utf-8", "backslashreplace"))
    for entry in entries:
        digest.update(b"%d-%d;" % (entry.shard, entry.position))
    return digest.hexdigest()[:32]


def most_critical(entries: Iterable[Entry]) -> Entry:
    """The entry on the most critical asset; of those the earliest."""
    return max(entries, key=lambda entry: (_RANKS[entry.criticality], -entry.time))
