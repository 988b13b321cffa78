"""The OpenAPI document: ninja's, with our answers, errors and security in it."""

from __future__ import annotations

from typing import Any

from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from watchbill.api import errors
from watchbill.api.files import File
from watchbill.api.shapes import Shapes

SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token: wb_…"},
    "session": {
        "type": "apiKey", "in": "cookie", "name": "watchbill_…",
        "description": "The console's own session; what changes something needs the header X-CSRFToken.",
    },
}  # fmt: skip
_ERRORS = {
    "400": "The query cannot be understood", "401": "No token, or one that opens nothing",
    "403": "The role lacks the capability", "404": "The thing that was named is not there",
    "409": "The thing is not in a state in which this can be done", "422": "A value makes no sense",
    "429": "Too many wrong tokens from this address", "503": "Try again in a moment",
}  # fmt: skip
_EMPTY = type(None)


class Document(OpenAPISchema):
    """What ``/api/v1/openapi.json`` says."""

    def __init__(self, api: Any, path_prefix: str) -> None:
        self.shapes = Shapes()
        super().__init__(api, path_prefix)

    def operation_details(self, operation: Operation) -> dict[str, Any]:
        details = super().operation_details(operation)
        if not details["description"]:
            del details["description"]
        answer, said = details.pop("x-answer"), details.pop("x-said")
        for one in details["parameters"]:
            one.setdefault("description", said.get(one["name"], ""))
            for part in one["schema"].pop("allOf", ()):
                one["schema"] = part | one["schema"]
        details["responses"] = self._answers(answer)
        details["security"] = [{name: []} for name in SECURITY]
        return details

    def get_components(self) -> dict[str, Any]:
        schemas = self.schemas | self.shapes.named | {"Error": errors.SCHEMA}
        problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        problems = {status: {"description": said, "content": problem} for status, said in _ERRORS.items()}
        return {"schemas": dict(sorted(schemas.items())), "responses": problems, "securitySchemes": SECURITY}

    def _answers(self, answer: Any) -> dict[str, Any]:
        if answer is _EMPTY:
            found: dict[str, Any] = {"204": {"description": "Done"}}
        elif answer is File:
            content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
            found = {"200": {"description": "A file", "content": content}}
        else:
            content = {"application/json": {"schema": self.shapes.of(answer)}}
            found = {"200": {"description": "OK", "content": content}}
        return found | {status: {"$ref": f"#/components/responses/{status}"} for status in _ERRORS}
