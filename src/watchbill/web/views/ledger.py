"""The ledger: how far it is sealed and signed, verified by whom; verify now; export a period."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import SystemClock
from watchbill.core.times import parse_range, rfc3339
from watchbill.flows import installation, ledger_state
from watchbill.flows.export import export as write_bundle
from watchbill.web.access import actor, needs, now
from watchbill.web.files import given

_CHUNK = 1 << 16


@needs("ledger.read")
def ledger(request: HttpRequest) -> HttpResponse:
    running = ledger_state.verification.running  # asked first: what ends from here on is among the past ones below
    past = ledger_state.verifications()
    context = {
        "running": running, "shards": ledger_state.states(), "verification": ledger_state.verification, "past": past,
        "last": past[0] if past else None, "root": ledger_state.root_fingerprint(),
    }  # fmt: skip
    if request.headers.get("HX-Request") == "true":
        return render(request, "ledger/progress.html", context)
    return render(request, "ledger/ledger.html", context)


@needs("ledger.verify", "POST")
def verify(request: HttpRequest) -> HttpResponse:
    """Begin to verify everything; the page shows how far it is."""
    if not ledger_state.verification.start(actor(request).email):
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


def _given_away(path: Path) -> Iterator[bytes]:
    """The file's bytes; the file itself is gone as soon as it is open."""
    with path.open("rb") as file:
        path.unlink()
        while chunk := file.read(_CHUNK):
            yield chunk
