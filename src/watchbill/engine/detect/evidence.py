"""Which events, who and what: the parts of a detection that people follow up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from watchbill.core.values import Criticality
from watchbill.engine.detect.fields import lookup
from watchbill.engine.detect.predicates import MISSING, text_of
from watchbill.engine.detect.windows import Entry
from watchbill.sdk.events import Event
from watchbill.sdk.rules import EventRef

#: A detection names at most this many events, from both ends of the story; it counts them all.
MOST_EVENTS = 50
MOST_VALUES = 50
MOST_CHARACTERS = 2_000

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
_NAMES = tuple(path for path, _ in _PATHS)
_MOST_KNOWN = 8_192
_RANKS = {criticality: rank for rank, criticality in enumerate(Criticality)}


class Involved:
    """Who and what events involve; the same ones come again and again, so their entities are one object."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Entities] = {}

    def of(self, event: Event) -> Entities:
        """The event's entities. They are shared: never change them."""
        fields = event.ocsf
        if "resources" in fields:
            return entities_of(event)
        key = (event.host, *map(fields.get, _NAMES))
        try:
            found = self._known.get(key)
        except TypeError:  # a list among the values
            return entities_of(event)
        if found is None:
            found = entities_of(event)
            # True, 1 and 1.0 would be one key, but not one text.
            if all(value is None or type(value) is str for value in key):
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = found
        return found


def entities_of(event: Event) -> Entities:
    """Who and what an event involves."""
    found: dict[str, tuple[str, ...]] = {"host": (event.host,)} if event.host else {}
    fields = event.ocsf
    for path, entity in _PATHS:
        value = fields.get(path)
        if value is None or value == "":
            continue
        values = (value,) if isinstance(value, str) else _texts(value)
        found[entity] = (*found.get(entity, ()), *values) if entity != "host" else values
    if "resources" in fields:
        for path in ("resources.name", "resources.uid"):
            value = lookup(fields, path)
            if value is not MISSING:
                found["resource"] = (*found.get("resource", ()), *_texts(value))
    return found


def weight_of(event: Event) -> int:
    """How many things an event stands for (OCSF's ``count``); 0 for a line that repeats what another has told."""
    count = event.ocsf.get("count", 1)
    return count if isinstance(count, int) and count >= 0 else 1


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
