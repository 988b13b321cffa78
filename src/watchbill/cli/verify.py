"""``watchbill verify``: check the ledger, or a bundle of it. Needs the standard library and ``cryptography`` alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.ledger import Report, ShardFacts, verify_bundle, verify_ledger

PROVEN, WRONG, UNREADABLE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if everything was proven, 1 if something is wrong, 2 if it was not used or readable as it should."""
    options = _parser().parse_args(argv)
    data = DataDir(options.data) if options.data else DataDir.default()
    try:
        if options.bundle:
            report = verify_bundle(options.bundle, options.root_fpr)
        elif not data.ledger.is_dir():
            print(f"watchbill verify: there is no ledger in {data.root}; name one with --data DIR", file=sys.stderr)
            return UNREADABLE
        else:
            keys = data.keys if data.keys.is_dir() else None
            progress = _progress if sys.stderr.isatty() else None
            report = verify_ledger(data.ledger, keys=keys, root_fingerprint=options.root_fpr, progress=progress)
    except WatchbillError as error:
        print(f"watchbill verify: {error}", file=sys.stderr)
        return UNREADABLE
    print(_json(report) if options.json else _text(report))
    return PROVEN if report.ok else WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="watchbill verify", description="Check the ledger, or a bundle exported from one."
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="a bundle; without one the ledger is checked"
    )
    parser.add_argument("--data", metavar="DIR", help="the installation's folder (else WATCHBILL_DATA)")
    parser.add_argument(
        "--root-fpr", metavar="F", help="the root key's fingerprint, as the organisation gave it to you"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _progress(done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    print(f"\r{done >> 20} of {total >> 20} MiB checked", end=end, file=sys.stderr, flush=True)


def _json(report: Report) -> str:
    return json.dumps({"ok": report.ok, "events": report.events, **asdict(report)})


def _text(report: Report) -> str:
    lines = [
        f"{'PROVEN' if report.ok else 'WRONG'}: {report.events:,} records checked, root key {report.root or 'unknown'}"
    ]
    lines += [f"  wrong    {place}: {what}" for place, what in report.findings]
    for facts in report.shards:
        lines += _shard(facts)
    lines += [f"  not shown: {point}" for point in report.open_points]
    return "\n".join(lines)


def _shard(facts: ShardFacts) -> list[str]:
    if not facts.segments:
        return [f"  shard {facts.shard}: no sealed records were proven"]
    low, high = map(rfc3339, facts.received or (0, 0))
    return [
        f"  shard {facts.shard}: positions {facts.first_position} to {facts.end_position - 1}, {facts.segments:,} segments",
        f"    received {low} to {high}; {facts.dropped:,} declared as lost before receipt",
        f"    log {facts.origin}: {facts.log_size:,} entries, head {facts.log_root}, signed by key {facts.key}",
        *([f"    {facts.unsealed} more records are stored and not signed yet"] if facts.unsealed else []),
    ]
