"""Search over events at rest, and one event whole: its OCSF form and its bytes as they arrived."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from watchbill.core.errors import LedgerError, NotFoundError, QueryError
from watchbill.core.times import parse_range, rfc3339
from watchbill.engine.normalise.text import safe
from watchbill.flows import installation
from watchbill.lake import Row
from watchbill.lake.fields import CLASSES
from watchbill.ledger import Reader, StoredRecord
from watchbill.state.accounts.permissions import may
from watchbill.web.access import actor, needs, now
from watchbill.web.files import given
from watchbill.web.paging import Choice, Facet
from watchbill.web.templatetags.charts import Bar, Part

SIZE = 50
DEFAULT_RANGE = "last 24h"
RANGES = ("last 15m", "last 1h", "last 24h", "last 7d", "last 30d", "today", "all")
EXAMPLES = (
    ("failed password", "both words in the message"),
    ('"accepted publickey"', "the phrase"),
    ("user:root src_ip:192.0.2.0/24", "fields; addresses take networks"),
    ("http_response.code:>=500", "any OCSF path, numbers compared"),
    ("host:web-* -user:deploy", "* stands for anything, - excludes"),
    ("class:authentication status:failure", "classes and states by name"),
    ("(user:anna OR user:bert) is:detected", "OR, parentheses; what a rule met"),
    ("is:quarantined", "what no parser could read"),
)
_CLASS_NAMES = {str(uid): name for name, uid in CLASSES.items()}
_FACET_LABELS = {"host": "Host", "user": "User", "src_ip": "Source address", "class": "Class", "rule": "Rule"}


@needs("events.read")
def listing(request: HttpRequest) -> HttpResponse:
    words, when = request.GET.get("q", ""), request.GET.get("when", DEFAULT_RANGE)
    context: dict[str, Any] = {"q": words, "when": when, "ranges": RANGES, "examples": EXAMPLES}
    try:
        start, end = parse_range(when, now())
        lake = installation.lake()
        found = lake.search(
            words,
            start,
            end,
            limit=SIZE,
            cursor=request.GET.get("cursor", ""),
            oldest_first=request.GET.get("order") == "oldest",
        )
        seen = lake.histogram(words, start, end, 60)
        facets = lake.facets(words, start, end, top=8)
    except QueryError as error:
        return render(request, "events/list.html", context | {"error": error}, status=400)
    context |= {
        "found": found,
        "bars": [
            Bar(
                rfc3339(one.start)[:16].replace("T", " "),
                (Part("bar", one.count),),
                "?" + urlencode({"q": words, "when": f"{rfc3339(one.start)} to {rfc3339(one.end)}"}),
            )
            for one in seen.buckets
        ],
        "facets": [_facet(words, key, values) for key, values in facets.fields.items()],
        "facets_of": facets,
        "class_names": _CLASS_NAMES,
    }
    return render(request, "events/list.html", context)


def _facet(words: str, key: str, values: tuple[tuple[str, int], ...]) -> Facet:
    """Facets of events write into the query itself, so that the address says all."""
    choices = []
    for value, count in values:
        label = _CLASS_NAMES.get(str(value), str(value)) if key == "class" else str(value)
        choices.append(Choice(_term(key, label), label, count, _term(key, label) in words))
    return Facet(key, _FACET_LABELS.get(key, key), tuple(choices))


def _term(key: str, value: str) -> str:
    plain = all(letter.isalnum() or letter in "._-/@" for letter in value)
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f"{key}:{value}" if plain and value else f'{key}:"{quoted}"'


@needs("events.read")
def detail(request: HttpRequest, shard: int, position: int) -> HttpResponse:
    row = installation.lake().get(shard, position)
    raw = evidence(shard, position) if may(actor(request).role, "events.raw") else None
    if row is None and raw is None:
        raise NotFoundError(
            f"there is no event {shard}-{position}", mend="it may be older than what is kept; search for it"
        )
    part = request.headers.get("HX-Request") == "true"
    context = {"row": row, "shard": shard, "position": position, "raw": raw, "pretty": pretty(row) if row else ""}
    return render(request, "events/part.html" if part else "events/detail.html", context)


@needs("events.raw")
def raw(request: HttpRequest, shard: int, position: int) -> HttpResponse:  # noqa: ARG001 - a view's signature
    """The record's bytes exactly as they arrived, as a file that no browser renders."""
    record = _stored(shard, position)
    return HttpResponse(
        record.raw,
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{shard}-{position}.log"'},
    )


@needs("events.raw")
def export(request: HttpRequest, form: str) -> HttpResponse:
    """Every match as CSV or JSON lines."""
    start, end = parse_range(request.GET.get("when", DEFAULT_RANGE), now())
    content = installation.lake().export(request.GET.get("q", ""), start, end, form)
    kind = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson"}[form]
    name = f"events.{'csv' if form == 'csv' else 'jsonl'}"
    return given(request, content, kind, name)


def evidence(shard: int, position: int) -> dict[str, Any] | None:
    """The raw record and where it stands in the ledger; None where there is none."""
    try:
        record = _stored(shard, position)
    except NotFoundError:
        return None
    return {
        # Spelled, not shown: nothing that was logged may hide, reorder or overwrite what stands beside it.
        "text": "\n".join(map(safe, record.raw.decode("utf-8", "backslashreplace").split("\n"))),
        "bytes": len(record.raw),
        "received": record.received,
        "source": record.source,
        "sequence": record.sequence,
        "url": reverse("event-raw", args=[shard, position]),
    }


def _stored(shard: int, position: int) -> StoredRecord:
    reader = Reader(installation.data().ledger, shard)
    try:
        return reader.get(position)
    except (LedgerError, OSError, IndexError, KeyError) as error:
        raise NotFoundError(f"the ledger has no record {shard}-{position}", mend="see the ledger's page") from error
    finally:
        reader.close()


def pretty(row: Row) -> str:
    """The whole OCSF event as indented JSON, keys in order."""
    return orjson.dumps(row.ocsf, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str).decode()
