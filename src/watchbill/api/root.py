"""The API as a whole: every topic, one way to answer errors, one document."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from watchbill.api import (
    alerts,
    assets,
    channels,
    controls,
    copies,
    errors,
    events,
    ledger,
    receivers,
    retention,
    rules,
    sources,
    suppressions,
    tokens,
    trail,
    users,
)
from watchbill.api.document import Document

TOPICS = (
    alerts,
    suppressions,
    events,
    assets,
    sources,
    controls,
    rules,
    ledger,
    retention,
    copies,
    channels,
    receivers,
    users,
    tokens,
    trail,
)


class Reference(DocsBase):
    """The reference page is not ninja's: its pages run scripts that our Content-Security-Policy does not let in."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:  # noqa: ARG002
        from watchbill.api.reference import page

        return page(request, api.get_openapi_schema())


class Api(NinjaAPI):
    """Ninja's API with our document; 404 and 405 answer in JSON too."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> Document:  # fmt: skip
        return Document(self, self.get_root_path(path_params or {}) if path_prefix is None else path_prefix)

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        found = super()._get_urls()
        for one in found:
            if isinstance(one, URLPattern):
                one.callback = _in_json(one.callback)
        return [*found, path("<path:rest>", _nothing)]


def _in_json(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = view(request, *args, **kwargs)
        except Http404:
            return _nothing(request)
        if isinstance(answer, HttpResponseNotAllowed):
            allowed = answer["Allow"]
            return errors.answer(405, f"{request.method} is not done here", mend=f"use {allowed}", Allow=allowed)
        answer.setdefault("Cache-Control", "no-store")
        return answer

    return answered


def _nothing(request: HttpRequest, rest: str = "") -> HttpResponse:
    return errors.answer(404, "there is nothing at this address", mend="see openapi.json for the addresses")


def build() -> Api:
    """Put the API together; once a process."""
    api = Api(
        title="Watchbill", version="v1", description="What the console and the command line do, for programs.",
        urls_namespace="api", docs=Reference(),
    )  # fmt: skip
    errors.handle(api)
    for topic in TOPICS:
        api.add_router("", topic.topic.router)
    return api
