"""As much of JSON Schema as our document uses."""

from __future__ import annotations

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def wrong(value, schema, schemas, where="answer") -> str:
    """Where a value is not as its schema says; empty when it is."""
    if "$ref" in schema:
        return wrong(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, where)
    if "anyOf" in schema:
        found = [wrong(value, one, schemas, where) for one in schema["anyOf"]]
        return "" if "" in found else found[0]
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"{where}: {value!r} is no {kind}"
    if schema.get("format") == "date-time" and not value.endswith("Z"):
        return f"{where}: {value!r} is no time"
    parts = []
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        if missing := set(schema.get("required", ())) - value.keys():
            return f"{where}: without {missing}"
        if known and (unknown := value.keys() - known.keys()):
            return f"{where}: has {unknown}, of which nothing is said"
        parts = [(one, known.get(name, rest), f"{where}.{name}") for name, one in value.items()]
    if isinstance(value, list):
        kinds = schema.get("prefixItems") or [schema.get("items", {})] * len(value)
        if len(kinds) != len(value):
            return f"{where}: {len(value)} items"
        parts = [(one, kind, f"{where}[{at}]") for at, (one, kind) in enumerate(zip(value, kinds, strict=True))]
    return next((found for one, kind, place in parts if (found := wrong(one, kind, schemas, place))), "")
