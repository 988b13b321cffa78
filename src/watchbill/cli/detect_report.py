"""What ``watchbill detect`` prints: a table of rules, examples of each, and what was looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from watchbill.cli.options import moment, print_table, safe
from watchbill.core.times import rfc3339

if TYPE_CHECKING:
    from watchbill.engine.detect import RuleSet
    from watchbill.engine.offline import Hit, Source, Triage
    from watchbill.engine.offline.summary import Row, Summary

_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan"}
_MOST_HOSTS = 3
_WIDTH = 110
_encode = msgspec.json.Encoder(enc_hook=str).encode


def as_object(hit: Hit) -> str:
    """A hit as one line of JSON."""
    rule = hit.rule
    found: dict[str, Any] = {
        "rule": rule.name,
        "id": rule.id,
        "title": rule.title,
        "level": hit.severity.value,
        "tags": rule.meta.get("tags") or [],
        "first": rfc3339(hit.first),
        "last": rfc3339(hit.last),
        "count": hit.count,
        "host": hit.host,
        "entities": hit.entities,
        "why": hit.why,
        "file": hit.file,
        "place": hit.place,
        "rule_file": rule.path,
    }
    if (event := hit.event) is not None:
        found["parser"] = event.parser
        found["logsource"] = {name: value for name, value in event.logsource._asdict().items() if value}
        found["fields"] = event.native
    if hit.detection is not None:
        found["group"] = dict(hit.detection.group)
        found["events"] = [
            {"time": rfc3339(ref.time), "host": ref.host, "message": ref.message} for ref in hit.detection.events
        ]
    return _encode(found).decode()


def print_report(summary: Summary, details: int) -> None:
    """The table, then what is behind it."""
    rows = summary.rows
    print_table(
        ("Level", "Rule", "Hits", "Hosts", "First", "Last"),
        [(row.severity, row.rule.title, f"{row.count:,}", _hosts(row), moment(row.first), moment(row.last)) for row in rows],
        empty="No rule was met.",
    )  # fmt: skip
    if details:
        for row in rows:
            _print_details(row)
    if rows:
        click.echo()


def _hosts(row: Row) -> str:
    named = ", ".join(host or "?" for host, _ in row.hosts.most_common(_MOST_HOSTS))
    return f"{named} +{len(row.hosts) - _MOST_HOSTS}" if len(row.hosts) > _MOST_HOSTS else named


def _print_details(row: Row) -> None:
    rule = row.rule
    level = click.style(row.severity.value.upper(), fg=_COLOURS.get(row.severity.value), bold=row.severity.rank > 3)
    techniques = [tag.removeprefix("attack.").upper() for tag in rule.meta.get("tags") or () if _is_technique(str(tag))]
    click.echo(f"\n{level} {click.style(safe(rule.title), bold=True)}  {' '.join(techniques)}".rstrip())
    description = " ".join(str(rule.meta.get("description") or "").split())
    if description:
        click.echo(f"  {safe(_cut(description, 2 * _WIDTH))}")
    click.echo(click.style(f"  {safe(rule.name)} · {safe(rule.path)}", dim=True))
    for hit in row.examples:
        where = f"{safe(hit.file)} at {hit.place}"
        click.echo(f"  {moment(hit.first)}  {safe(hit.host) or '?'}  {click.style(where, dim=True)}")
        for sentence in hit.why:
            click.echo(f"    {safe(_cut(sentence.removeprefix(f'{rule.title}: '), 4 * _WIDTH))}")
    left = row.count - sum(hit.count for hit in row.examples)
    if left > 0:
        click.echo(click.style(f"  … and {left:,} more", dim=True))


def _is_technique(tag: str) -> bool:
    name = tag.removeprefix("attack.t")
    return name != tag and name[:4].isdigit()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def told(triage: Triage, sources: Sequence[Source], ruleset: RuleSet, least: str) -> str:
    """What was looked at, in a few lines: nothing that was left out goes without saying."""
    tally = triage.tally
    kinds: Counter[str] = Counter()
    for (parser, source, _), count in tally.kinds.items():
        name = parser or "not understood"
        kinds[f"{name}/{source.service}" if source.service and source.service != parser else name] += count
    most = ", ".join(f"{name} {count:,}" for name, count in kinds.most_common(8))
    more = f" and {len(kinds) - 8} more kinds" if len(kinds) > 8 else ""
    running = [rule for rule in ruleset.rules if rule.alerts]
    looked = triage.looked_at()
    lines = [
        f"{tally.records:,} records of {len(sources):,} {_files(sources)}: {most or 'nothing'}{more}",
        f"{len(running):,} rules, of which {sum(rule.name in looked for rule in running):,} had records to look at"
        + (f"; {len(ruleset.problems):,} do not run (watchbill rules lint PATH says why)" if ruleset.problems else ""),
    ]
    if tally.flaws:
        flaws = ", ".join(f"{count:,} × {reason}" for reason, count in tally.flaws.most_common(3))
        lines.append(f"records with a flaw: {safe(flaws)}")
    if triage.below:
        lines.append(f"{triage.below:,} hits of rules below {least} are not shown (--min-level informational)")
    return "\n".join(lines)


def _files(sources: Sequence[Source]) -> str:
    return "file" if len(sources) == 1 else "files"
