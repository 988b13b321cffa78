"""What a search calls the fields of an event, and how one ``field:value`` is compared in SQL.

Short names, OCSF paths and the lake's columns all work; a path without a column is read from the rest's JSON. Text is
compared without regard to case; ``*`` stands for anything; numbers take >, >=, < and <=; addresses take CIDR blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import TypeAlias

from watchbill.lake.columns import HOT, NUMBERS

CLASSES = {
    "base_event": 0, "file_system_activity": 1001, "scheduled_job_activity": 1006, "process_activity": 1007,
    "event_log_activity": 1008, "account_change": 3001, "authentication": 3002, "group_management": 3006,
    "network_activity": 4001, "http_activity": 4002, "application_lifecycle": 6002, "api_activity": 6003,
}  # fmt: skip
_STATUS = {"unknown": 0, "success": 1, "failure": 2, "other": 99}
_SEVERITY = {"unknown": 0, "informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5, "fatal": 6}

_TEXTS = {
    **{path: (column,) for column, path in HOT.items() if column not in NUMBERS},
    **{name: (name,) for name in ("host", "source", "parser", "process", "service", "src_ip", "dst_ip", "flaw")},
    "user": ("user", "actor_user"), "actor": ("actor_user",), "actor_user": ("actor_user",),
    "device.hostname": ("host",),
}  # fmt: skip
_NUMBERS: dict[str, tuple[str, dict[str, int]]] = {
    "class": ("class_uid", CLASSES), "class_uid": ("class_uid", CLASSES),
    "activity": ("activity_id", {}), "activity_id": ("activity_id", {}),
    "status": ("status_id", _STATUS), "status_id": ("status_id", _STATUS),
    "severity": ("severity_id", _SEVERITY), "severity_id": ("severity_id", _SEVERITY),
    "shard": ("shard", {}), "position": ("position", {}),
    "category_uid": ("class_uid // 1000", {}), "type_uid": ("class_uid * 100 + coalesce(activity_id, 0)", {}),
}  # fmt: skip
_STATES = {"quarantined": "flaw IS NOT NULL", "detected": "rules IS NOT NULL"}
_ADDRESSES = frozenset({"src_ip", "dst_ip"})
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,9})?")

_Sql: TypeAlias = tuple[str, tuple[object, ...]]


class Refusal(Exception):  # noqa: N818  the parser turns it into a QueryError with its column
    """A term that cannot be compared; ``of_name`` tells whether the field or its value is at fault."""

    def __init__(self, what: str, mend: str, *, of_name: bool = False) -> None:
        super().__init__(what)
        self.what, self.mend, self.of_name = what, mend, of_name


@dataclass(frozen=True)
class FieldTerm:
    """One ``name:value``; ``operator`` is "", ">", ">=", "<" or "<="; a literal value was quoted."""

    name: str
    operator: str
    value: str
    literal: bool = False

    def sql(self) -> _Sql:
        """The comparison with its bound values. Raises Refusal."""
        name = self.name.lower()
        match name:
            case "is":
                return self._state()
            case "rule" | "rules":
                return self._rule()
            case "id":
                return self._id()
        if name in _NUMBERS:
            return self._number(*_NUMBERS[name])
        if name in _TEXTS:
            parts = [self._text(column) for column in _TEXTS[name]]
            return f"({' OR '.join(part[0] for part in parts)})", tuple(value for part in parts for value in part[1])
        return self._path()

    def _state(self) -> _Sql:
        if self.value.lower() not in _STATES or self.operator:
            raise Refusal(f"events have no state {self.value!r}", f"write is:{' or is:'.join(_STATES)}")
        return _STATES[self.value.lower()], ()

    def _rule(self) -> _Sql:
        self._no_order()
        if self._anything:
            return "rules IS NOT NULL", ()
        return "rules ILIKE ? ESCAPE '\\'", (f"% {self._like()} %",)

    def _id(self) -> _Sql:
        match = re.fullmatch(r"(\d{1,9})-(\d{1,18})", self.value)
        if not match or self.operator:
            raise Refusal(f"{self.value!r} is no event's id", "an id is shard-position, for instance id:0-4711")
        return "(shard = ? AND position = ?)", (int(match[1]), int(match[2]))

    def _number(self, column: str, words: dict[str, int]) -> _Sql:
        if self._anything:
            return f"{column} IS NOT NULL", ()
        value = words.get(self.value.lower().replace(" ", "_"))
        if value is None:
            if not re.fullmatch(r"-?\d{1,18}", self.value):
                known = f" or one of {', '.join(words)}" if words else ""
                raise Refusal(f"{self.name} is a number, not {self.value!r}", f"write a number{known}")
            value = int(self.value)
        return f"{column} {self.operator or '='} ?", (value,)

    def _text(self, column: str) -> _Sql:
        self._no_order()
        if self._anything:
            return f"{column} IS NOT NULL", ()
        if column in _ADDRESSES and "/" in self.value:
            return self._block(column)
        if "*" in self.value and not self.literal:
            return f"{column} ILIKE ? ESCAPE '\\'", (self._like(),)
        return f"lower({column}) = ?", (self.value.lower(),)

    def _block(self, column: str) -> _Sql:
        try:
            block = ip_network(self.value, strict=False)
        except ValueError:
            raise Refusal(f"{self.value!r} is no address block", "write for instance 192.0.2.0/24") from None
        if isinstance(block, IPv4Network):
            return _V4.format(column), (int(block.network_address), int(block.broadcast_address))
        return _V6.format(column), (f"{int(block.network_address):032x}", f"{int(block.broadcast_address):032x}")

    def _path(self) -> _Sql:
        """Compare an attribute that has no column. The first test is a plain text search that spares most of the JSON."""
        there = (f'"{self.name}":', f'$."{self.name}"')
        if self._anything:
            return "(contains(ocsf, ?) AND json_extract_string(ocsf, ?) IS NOT NULL)", there
        if self.operator:
            if not _NUMBER.fullmatch(self.value):
                raise Refusal(f"{self.operator} compares numbers, not {self.value!r}", "write a number")
            comparison = f"try_cast(json_extract_string(ocsf, ?) AS DOUBLE) {self.operator} ?"
            return f"(contains(ocsf, ?) AND {comparison})", (*there, float(self.value))
        if "*" in self.value and not self.literal:
            return "(contains(ocsf, ?) AND json_extract_string(ocsf, ?) ILIKE ? ESCAPE '\\')", (*there, self._like())
        return "(contains(ocsf, ?) AND lower(json_extract_string(ocsf, ?)) = ?)", (*there, self.value.lower())

    @property
    def _anything(self) -> bool:
        return self.value == "*" and not self.literal and not self.operator

    def _like(self) -> str:
        escaped = re.sub(r"([\\%_])", r"\\\1", self.value)
        return escaped if self.literal else escaped.replace("*", "%")

    def _no_order(self) -> None:
        if self.operator:
            raise Refusal(f"{self.name} is text and has no {self.operator}", f"write {self.name}:value", of_name=True)


#: DuckDB's inet extension is not part of the base package, so addresses are compared as numbers or as 32 hex digits.
_V4 = """(contains({0}, '.') AND NOT contains({0}, ':') AND
 coalesce(try_cast(split_part({0}, '.', 1) AS BIGINT), -1) * 16777216
 + coalesce(try_cast(split_part({0}, '.', 2) AS BIGINT), 0) * 65536
 + coalesce(try_cast(split_part({0}, '.', 3) AS BIGINT), 0) * 256
 + coalesce(try_cast(split_part({0}, '.', 4) AS BIGINT), 0) BETWEEN ? AND ?)"""
_LEFT = "string_split(split_part({0}, '::', 1), ':')"
_RIGHT = "string_split(split_part({0}, '::', 2), ':')"
_V6 = f"""(contains({{0}}, ':') AND array_to_string(list_transform(
 CASE WHEN contains({{0}}, '::')
 THEN list_concat({_LEFT}, list_resize(CAST([] AS VARCHAR[]), greatest(8 - len({_LEFT}) - len({_RIGHT}), 0), '0'), {_RIGHT})
 ELSE string_split({{0}}, ':') END,
 lambda part: lpad(lower(part), 4, '0')), '') BETWEEN ? AND ?)"""
