"""JSON Schemas of what goes out, made from the types of the frozen values themselves, as ``flows.plain`` spells them."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from watchbill.flows.plain import is_duration, is_foreign, is_time

Schema = dict[str, Any]

_NO_VALUE = {"type": "null"}


class Shapes:
    """Collects the schemas of structs under their names, each once, for ``components/schemas``."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self._owners: dict[str, type] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of a type; structs and named tuples are references."""
        return self._schema(inspect.type_info(kind))

    def _schema(self, info: inspect.Type) -> Schema:
        match info:
            case inspect.StructType(cls=kind, fields=fields):
                return self._object(kind, [(field.encode_name, field.type) for field in fields])
            case inspect.NamedTupleType(cls=kind, fields=fields):
                return self._object(kind, [(field.encode_name, field.type) for field in fields])
            case inspect.EnumType(cls=kind):
                return self._name(kind, {"type": "string", "enum": [one.value for one in kind]})
            case inspect.UnionType(types=types):
                return {"anyOf": [self._schema(one) for one in types]}
            case inspect.TupleType(item_types=types):
                items = [self._schema(one) for one in types]
                return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
            case inspect.CollectionType(item_type=item):
                return {"type": "array", "items": self._schema(item)}
            case inspect.DictType(value_type=value):
                return {"type": "object", "additionalProperties": self._schema(value)}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType():
                return {"type": "integer"}
            case inspect.FloatType():
                return {"type": "number"}
            case inspect.StrType():
                return {"type": "string"}
            case inspect.NoneType():
                return dict(_NO_VALUE)
            case inspect.AnyType():
                return {}
        raise TypeError(f"no schema is known for {info}")

    def _object(self, kind: type, fields: list[tuple[str, inspect.Type]]) -> Schema:
        reference = self._name(kind, {})
        schema = self.named[_name(kind)]
        if not schema:
            properties = dict(self._field(name, info) for name, info in fields)
            schema |= {"type": "object", "properties": properties, "required": list(properties)}
        return reference

    def _field(self, name: str, info: inspect.Type) -> tuple[str, Schema]:
        number = _is_integer(info)
        if is_foreign(name):
            return name, {"type": "object", "description": "In the units of where it comes from."}
        if number and is_time(name):
            return name, {"anyOf": [{"type": "string", "format": "date-time"}, dict(_NO_VALUE)]}
        if number and is_duration(name):
            maybe = isinstance(info, inspect.UnionType)
            return f"{name}_seconds", {"anyOf": [{"type": "number"}, dict(_NO_VALUE)]} if maybe else {"type": "number"}
        return name, self._schema(info)

    def _name(self, kind: type, schema: Schema) -> Schema:
        name = _name(kind)
        if self._owners.setdefault(name, kind) is not kind:
            raise TypeError(f"two shapes are called {name}: {kind} and {self._owners[name]}")
        self.named.setdefault(name, schema)
        return {"$ref": f"#/components/schemas/{name}"}


def _name(kind: type) -> str:
    """The lake's words are about events; state has facets and buckets of alerts."""
    return f"Event{kind.__name__}" if kind.__module__.startswith("watchbill.lake") else kind.__name__


def _is_integer(info: inspect.Type) -> bool:
    types = info.types if isinstance(info, inspect.UnionType) else (info,)
    return any(isinstance(one, inspect.IntType) for one in types)
