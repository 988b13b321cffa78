"""How an operation is declared: its address, the capability that it needs, and its answer by its return type."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from ninja.signature import ViewSignature
from pydantic.fields import FieldInfo

from watchbill.api.auth import Needs
from watchbill.core.errors import QueryError
from watchbill.flows.plain import plain

View = TypeVar("View", bound=Callable[..., Any])
_ENCODER = msgspec.json.Encoder()


class Topic:
    """The operations on one topic; ``router`` is what ninja mounts."""

    def __init__(self, name: str) -> None:
        self.router = Router(tags=[name])

    def get(self, path: str, *, needs: str) -> Callable[[View], View]:
        return self._operation("GET", path, needs)

    def post(self, path: str, *, needs: str) -> Callable[[View], View]:
        return self._operation("POST", path, needs)

    def put(self, path: str, *, needs: str) -> Callable[[View], View]:
        return self._operation("PUT", path, needs)

    def patch(self, path: str, *, needs: str) -> Callable[[View], View]:
        return self._operation("PATCH", path, needs)

    def delete(self, path: str, *, needs: str) -> Callable[[View], View]:
        return self._operation("DELETE", path, needs)

    def _operation(self, method: str, path: str, needs: str) -> Callable[[View], View]:
        def declare(view: View) -> View:
            hints = typing.get_type_hints(view, include_extras=True)
            answered = _answered(view, path, hints)
            summary, _, rest = " ".join((view.__doc__ or "").split()).partition(". ")
            extra = {"description": rest, "x-capability": needs, "x-answer": hints["return"], "x-said": _said(hints)}
            self.router.api_operation(
                [method], path, auth=[Needs(needs)], operation_id=view.__name__, url_name=view.__name__,
                summary=summary.rstrip("."), openapi_extra=extra,
            )(answered)  # fmt: skip
            return view

        return declare


def _said(hints: dict[str, Any]) -> dict[str, str]:
    """What the types of parameters say of them; ninja drops it where a parameter has a default."""
    return {
        name: part.description
        for name, hint in hints.items()
        for part in getattr(hint, "__metadata__", ())
        if isinstance(part, FieldInfo) and part.description
    }


def _answered(view: Callable[..., Any], path: str, hints: dict[str, Any]) -> Callable[..., HttpResponseBase]:
    """The view with its result as JSON (204 for None); a query parameter that it does not know is refused."""

    @wraps(view)
    def answered(request: HttpRequest, **values: Any) -> HttpResponseBase:
        if unknown := sorted(request.GET.keys() - known):
            mend = f"it takes: {', '.join(sorted(known))}" if known else "it takes none"
            raise QueryError(f"there is no query parameter {unknown[0]!r} here", mend=mend)
        result = view(request, **values)
        if isinstance(result, HttpResponseBase):
            return result
        if result is None:
            return HttpResponse(status=204)
        return HttpResponse(_ENCODER.encode(plain(result)), content_type="application/json")

    signature = inspect.signature(view)
    parameters = [one.replace(annotation=hints[one.name]) for one in signature.parameters.values()]
    answered.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    models = ViewSignature(path, answered).models
    queries = [model for model in models if model.__ninja_param_source__ == "query"]
    known = {name for model in queries for name in model.__ninja_flatten_map__}
    return answered
