"""Who did what, when, and where that stands in the ledger."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from watchbill.core.times import parse_range
from watchbill.state.trail import queries
from watchbill.state.trail.values import TrailFilter
from watchbill.web.access import needs, now
from watchbill.web.files import as_csv, as_json_lines

SIZE = 100
MOST = 10_000
FAMILIES = (
    ("", "everything"), ("alert.", "alerts"), ("asset.", "assets"), ("source.", "sources"), ("channel.", "channels"),
    ("control.", "controls"), ("user.", "people"), ("token.", "tokens"), ("sign_in", "sign-ins"),
    ("sign_in.failed", "failed sign-ins"), ("export.", "exports"), ("ledger.", "ledger"),
)  # fmt: skip


@needs("trail.read")
def listing(request: HttpRequest) -> HttpResponse:
    start, end = parse_range(request.GET.get("when", "all"), now())
    before = request.GET.get("before", "")
    form = request.GET.get("as", "")
    wanted = TrailFilter(
        actor=request.GET.get("actor", "").strip(), action=request.GET.get("action", ""), kind=request.GET.get("kind", ""),
        object_id=request.GET.get("object", "").strip(), start=start or None, end=None if end >= 1 << 62 else end,
        before=int(before) if before.isdigit() and len(before) < 18 else None, limit=MOST if form else SIZE + 1,
    )  # fmt: skip
    found = queries.entries(wanted)
    if form in {"csv", "json"}:
        columns = ("id", "at", "actor", "action", "kind", "object_id", "detail", "shard", "position")
        rows = ({column: getattr(one, column) for column in columns} for one in found)
        return as_csv(request, "trail", columns, rows) if form == "csv" else as_json_lines(request, "trail", rows)
    more = len(found) > SIZE
    context = {
        "entries": found[:SIZE],
        "next": found[SIZE - 1].id if more else None,
        "families": FAMILIES,
        "pending": queries.pending_count(),
    }
    return render(request, "trail/list.html", context)
