"""The ledger: how far it is sealed and signed, verified by whom; verify now; export a period."""

from __future__ import annotations

import re

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from watchbill.core.clock import SystemClock
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.times import parse_period, parse_range
from watchbill.flows import engine_status, installation, keys, ledger_state, reconcile
from watchbill.flows.export import held
from watchbill.flows.export import prove as prove_record
from watchbill.flows.exports import State, exports
from watchbill.ledger.note import Checkpoint
from watchbill.web.access import actor, needs, now
from watchbill.web.files import given

#: Seconds: a small period is ready when the page comes back.
_PATIENCE_SECONDS = 1.0
_NAMES = re.compile(r"[\s,;]+")
_EVENT = re.compile(r"(\d{1,5})-(\d{1,18})")
_TILE = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x\d{3}/){0,5}\d{3})(?:\.p/([1-9]\d{0,2}))?")


@needs("ledger.read")
def ledger(request: HttpRequest) -> HttpResponse:
    running = ledger_state.verification.running  # asked first: what ends from here on is among the past ones below
    past = ledger_state.verifications()
    context = {
        "running": running, "shards": ledger_state.states(), "verification": ledger_state.verification, "past": past,
        "last": past[0] if past else None, "root": ledger_state.root_fingerprint(),
        "keys": keys.state(installation.data()), "config": installation.config().ledger,
        "judged": reconcile.standings(), "engine": engine_status.read(installation.data()),
    }  # fmt: skip
    if actor(request).may("ledger.export"):
        context |= _exports()
    if request.headers.get("HX-Request") == "true":
        return render(request, "ledger/progress.html", context)
    return render(request, "ledger/ledger.html", context)


@needs("ledger.verify", "POST")
def verify(request: HttpRequest) -> HttpResponse:
    """Begin to verify everything, or a period; the page shows how far it is."""
    words = request.POST.get("when", "").strip()
    period = parse_range(words, now()) if words else None
    if not ledger_state.verification.start(actor(request).email, period):
        messages.info(request, "A verification is running already.")
    return redirect("ledger")


@needs("ledger.export", "POST")
def export(request: HttpRequest) -> HttpResponse:
    """Begin to make a bundle of a period; the page shows how far it is, and then where to fetch it."""
    words = request.POST
    period = parse_period(words.get("when", ""), words.get("from", ""), words.get("to", ""), now())
    named = [one for one in _NAMES.split(words.get("controls", "")) if one]
    try:
        begun = exports().begin(actor(request).email, *period, named=named, held=_held(request))
    except NotFoundError as error:  # a control that is not there is a word to mend in the form, no page that is missing
        raise QueryError(error.what, mend=error.mend) from error
    exports().wait(begun.id, _PATIENCE_SECONDS)
    return redirect(f"{reverse('ledger')}#exports")


@needs("ledger.export")
def export_list(request: HttpRequest) -> HttpResponse:
    """The exports that are kept, for the page that watches them."""
    return render(request, "ledger/exports.html", _exports())


@needs("ledger.export", "POST")
def export_file(request: HttpRequest, export_id: str) -> HttpResponse:
    """The bundle: `watchbill verify BUNDLE` checks it on another machine. That it was handed out goes on the trail."""
    pieces, size, name = exports().take(export_id, by=actor(request).email)
    return given(request, pieces, "application/zip", name, size=size)


@needs("ledger.export", "POST")
def export_remove(request: HttpRequest, export_id: str) -> HttpResponse:
    exports().remove(export_id)
    messages.info(request, "The export is gone.")
    return redirect(f"{reverse('ledger')}#exports")


@needs("ledger.export", "POST")
def prove(request: HttpRequest) -> HttpResponse:
    """One record with its proof: `watchbill verify FILE` checks it on another machine."""
    event = request.POST.get("event", "").strip()
    found = _EVENT.fullmatch(event)
    if not found:
        raise QueryError(f"{event[:60]!r} is no event's id", mend="write it as shard-position: 0-1234")
    body = prove_record(
        installation.data(), int(found[1]), int(found[2]), SystemClock(), by=actor(request).email, held=_held(request)
    )
    return given(request, iter([body]), "application/json", f"watchbill-{event}.json", size=len(body))


def _exports() -> dict[str, object]:
    kept = exports().all()
    return {"exports": kept, "busy": any(one.state in {State.WAITING, State.RUNNING} for one in kept)}


def _held(request: HttpRequest) -> list[Checkpoint]:
    """The auditor's checkpoint, if one was given. Raises QueryError."""
    note = request.POST.get("since", "").strip()
    return held([note]) if note else []


def _published(request: HttpRequest, shard: int, tile: str) -> HttpResponse:
    """The log as tiles (https://c2sp.org/tlog-tiles), for witnesses and monitors: heads, hashes, manifests, no records."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
    found = _TILE.fullmatch(tile)
    try:
        if tile == "checkpoint":
            note = ledger_state.checkpoint(shard)
            return HttpResponse(note, "text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})
        data = _tile(shard, found) if found else None
    except NotFoundError:
        data = None
    if data is None:
        return HttpResponse("there is no such tile\n", "text/plain; charset=utf-8", status=404)
    return HttpResponse(
        data, "application/octet-stream", headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


def _tile(shard: int, found: re.Match[str]) -> bytes:
    level: int | str = found[1] if found[1] == "entries" else int(found[1])
    index = int(found[2].replace("x", "").replace("/", ""))
    return ledger_state.tile(shard, level, index, int(found[3] or 256))


_for_readers = needs("ledger.read", "GET", "HEAD")(_published)


def published(request: HttpRequest, shard: int, tile: str) -> HttpResponse:
    """For everybody if the installation publishes its log, else for those who may read the ledger."""
    return (_published if installation.config().ledger.publish else _for_readers)(request, shard, tile)


published.needs = "ledger.read"  # type: ignore[attr-defined]
