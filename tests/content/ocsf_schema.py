"""A validator of flat OCSF events against the compiled schema."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import duckdb

_PYTHON = {"integer_t": int, "long_t": int, "timestamp_t": int, "port_t": int, "boolean_t": bool, "json_t": object}


class Schema:
    """OCSF 1.8: says what is wrong with an event, as sentences."""

    def __init__(self, compiled: dict) -> None:
        self.classes = {value["uid"]: value for value in compiled["classes"].values()}
        self.objects = compiled["objects"]
        self.types = compiled["types"]

    def faults(self, event: dict) -> list[str]:
        found = self.classes.get(event.get("class_uid"))
        if found is None:
            return [f"unknown class {event.get('class_uid')}"]
        faults = []
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            faults.append("type_uid is not class_uid * 100 + activity_id")
        if event["category_uid"] != event["class_uid"] // 1000:
            faults.append("category_uid does not fit class_uid")
        tree = _nested(event)
        profiles = {None, "host"} | ({"cloud"} if "cloud" in tree else set())
        self._object(tree, found["attributes"], "", faults, profiles)
        constraints = (found.get("constraints") or {}).values()
        return faults + [f"none of {names}" for names in constraints if not any(name in tree for name in names)]

    def _object(self, node, attributes, path, faults, profiles=None):
        for name, value in node.items():
            if name in attributes:
                self._value(value, attributes[name], f"{path}{name}", faults)
            else:
                faults.append(f"{path}{name} is no attribute")
        for name, attribute in attributes.items():
            required = attribute["requirement"] == "required" and name not in node
            if required and attribute["profile"] in (profiles or {None}):
                faults.append(f"{path}{name} is required")

    def _value(self, value, attribute, path, faults):
        if attribute["is_array"]:
            if not isinstance(value, list):
                faults.append(f"{path} is no list")
                return
            for item in value:
                self._value(item, {**attribute, "is_array": False}, f"{path}[]", faults)
        elif attribute["type"] in self.objects:
            known = self.objects[attribute["type"]]["attributes"]
            if not isinstance(value, dict):
                faults.append(f"{path} is no object")
            elif known:
                self._object(value, known, f"{path}.", faults)
        elif attribute["enum"] and str(value) not in attribute["enum"]:
            faults.append(f"{path}: {value!r} is not in the enumeration")
        else:
            self._scalar(value, attribute["type"], path, faults)

    def _scalar(self, value, type_name, path, faults):
        kind = self.types[type_name]
        expected = _PYTHON.get(type_name) or _PYTHON.get(kind["type"] or "", str)
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            faults.append(f"{path}: {value!r} is no {type_name}")
        elif isinstance(value, str) and kind["regex"] and not re.search(kind["regex"], value):
            faults.append(f"{path}: {value!r} does not fit {type_name}")
        elif kind["range"] and not kind["range"][0] <= value <= kind["range"][1]:
            faults.append(f"{path}: {value!r} is out of range")


def _nested(event: dict) -> dict:
    tree: dict = {}
    for path, value in event.items():
        if path.startswith("unmapped."):
            continue
        node = tree
        *parents, leaf = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


@cache
def load(folder: Path) -> Schema:
    """Read the compiled schema; DuckDB is the zstd decompressor that is at hand."""
    path = folder / "compiled_by_ocsf-lib.json.zst"
    options = "compression='zstd', columns={'line':'VARCHAR'}, delim='\x01', quote='', escape='', header=false"
    query = f"select line from read_csv('{path}', {options}, max_line_size=100000000, auto_detect=false)"  # noqa: S608
    return Schema(json.loads("\n".join(row[0] or "" for row in duckdb.sql(query).fetchall())))
