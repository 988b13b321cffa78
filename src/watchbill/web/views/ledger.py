"""The ledger: how far it is sealed and signed, verified by whom; verify now; export a period."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import SystemClock
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.times import parse_range, rfc3339
from watchbill.flows import engine_status, installation, keys, ledger_state, reconcile
from watchbill.flows.export import export as write_bundle
from watchbill.flows.export import prove as prove_record
from watchbill.web.access import actor, needs, now
from watchbill.web.files import given

_CHUNK = 1 << 16
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
    """A bundle for a period: `watchbill verify BUNDLE` checks it on another machine."""
    words = request.POST.get("when", "")
    moment = now()
    start, end = parse_range(words, moment)
    end = min(end, moment + 1)
    data = installation.data()
    handle, name = tempfile.mkstemp(suffix=".zip", dir=data.run)
    os.close(handle)
    path = Path(name)
    try:
        write_bundle(data, path, start, end, SystemClock(), by=actor(request).email)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    stamp = rfc3339(moment)[:19].replace(":", "")
    return given(request, _given_away(path), "application/zip", f"watchbill-{stamp}.zip", size=path.stat().st_size)


@needs("ledger.export", "POST")
def prove(request: HttpRequest) -> HttpResponse:
    """One record with its proof: `watchbill verify FILE` checks it on another machine."""
    event = request.POST.get("event", "").strip()
    found = _EVENT.fullmatch(event)
    if not found:
        raise QueryError(f"{event[:60]!r} is no event's id", mend="write it as shard-position: 0-1234")
    body = prove_record(installation.data(), int(found[1]), int(found[2]), SystemClock(), by=actor(request).email)
    return given(request, iter([body]), "application/json", f"watchbill-{event}.json", size=len(body))


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


def _given_away(path: Path) -> Iterator[bytes]:
    """The file's bytes; the file itself is gone as soon as it is open."""
    with path.open("rb") as file:
        path.unlink()
        while chunk := file.read(_CHUNK):
            yield chunk
