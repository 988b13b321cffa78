"""The reference page: the OpenAPI document as plain HTML, without a script and without anybody else's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine

_TEMPLATE = Engine(autoescape=True).from_string((Path(__file__).parent / "reference.html").read_text("utf-8"))


def page(request: HttpRequest, document: dict[str, Any]) -> HttpResponse:
    """Every operation with its parameters, body and answer."""
    topics: dict[str, list[dict[str, Any]]] = {}
    for address, methods in document["paths"].items():
        for method, details in methods.items():
            topics.setdefault(details["tags"][0], []).append(
                {
                    "method": method.upper(),
                    "address": address,
                    "details": details,
                    "capability": details["x-capability"],
                    "parameters": [_parameter(one) for one in details["parameters"]],
                    "body": _shape(details.get("requestBody")),
                    "answer": _shape(details["responses"].get("200")),
                }
            )
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if "properties" in schema}
    shapes = [(name, _fields(schema)) for name, schema in schemas.items()]
    return HttpResponse(_TEMPLATE.render(Context({"info": document["info"], "topics": topics, "shapes": shapes})))


def _parameter(one: dict[str, Any]) -> dict[str, str]:
    """Name, place, default and meaning; the words to choose from are part of the meaning."""
    schema = one["schema"]
    choices = schema.get("enum") or schema.get("items", {}).get("enum") or ()
    default = schema.get("default")
    return {
        "name": one["name"],
        "in": one["in"] + (", repeatable" if schema.get("type") == "array" else ""),
        "default": "required" if one["required"] else "" if default in (None, []) else str(default),
        "meaning": one.get("description", "") if not choices else ", ".join(choices),
    }


def _shape(holder: dict[str, Any] | None) -> str:
    """What stands in a body or answer, in a word."""
    for content in (holder or {}).get("content", {}).values():
        return _said(content["schema"])
    return ""


def _fields(schema: dict[str, Any]) -> list[tuple[str, str, bool]]:
    required = schema.get("required", ())
    return [(name, _said(one), name in required) for name, one in schema["properties"].items()]


def _said(schema: dict[str, Any]) -> str:
    """A schema in a few words: "list of AlertRow", "date-time or null"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_said(one) for one in schema["anyOf"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(_said(one) for one in schema['prefixItems'])}]"
        case "array":
            return f"list of {_said(schema.get('items', {}))}"
        case "object" if schema.get("additionalProperties"):
            value = schema["additionalProperties"]
            return f"object of {_said(value)}" if isinstance(value, dict) else "object"
        case list(kinds):
            return " or ".join(kinds)
    return str(schema.get("format") or schema.get("type") or "anything")
