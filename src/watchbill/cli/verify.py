"""``watchbill verify``: check the ledger, or a bundle of it. Needs the standard library and ``cryptography`` alone."""

from __future__ import annotations

import argparse
import json
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_range, rfc3339
from watchbill.ledger.bundle import verify_bundle
from watchbill.ledger.record import verify_record
from watchbill.ledger.report import Report, Seen, ShardFacts
from watchbill.ledger.trusted import Trusted
from watchbill.ledger.verify import verify_ledger

PROVEN, WRONG, UNREADABLE, UNPROVEN = 0, 1, 2, 3
_EXIT_CODES = """exit codes: 0 all of it was proven; 1 something is wrong; 2 it could not be read, or was asked for wrongly;
3 nothing is wrong, but something that was asked for (a witness, a time stamp, an earlier checkpoint) was not shown"""


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if everything was proven, 1 if something is wrong, 2 if it was not used or readable as it should, 3 if
    nothing is wrong and something that was asked for was not shown.
    """
    options = _parser().parse_args(argv)
    try:
        report = _verify(options)
    except WatchbillError as error:
        print(f"watchbill verify: {error}", file=sys.stderr)
        return UNREADABLE
    print(_json(report) if options.json else _text(report))
    if not report.ok:
        return WRONG
    return UNPROVEN if report.unproven else PROVEN


def _verify(options: argparse.Namespace) -> Report:
    """Check what the options name. Raises WatchbillError."""
    progress = _progress if sys.stderr.isatty() else None
    trusted = Trusted.load(options.anchors) if options.anchors else None
    if options.bundle:
        if not options.bundle.is_file():
            raise WatchbillError(f"there is no file {options.bundle}", mend="name a bundle, or a record with its proof")
        if zipfile.is_zipfile(options.bundle) or options.bundle.suffix != ".json":
            return verify_bundle(options.bundle, options.root_fpr, trusted, progress)
        return verify_record(options.bundle, options.root_fpr, trusted)
    data = DataDir(options.data) if options.data else DataDir.default()
    if not data.ledger.is_dir():
        raise WatchbillError(f"there is no ledger in {data.root}", mend="name one with --data DIR")
    period = parse_range(options.range, time.time_ns()) if options.range else None
    keys = data.keys if data.keys.is_dir() else None
    return verify_ledger(
        data.ledger, keys=keys, root_fingerprint=options.root_fpr, progress=progress, trusted=trusted, period=period,
        workers=options.workers,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="watchbill verify",
        description="Check the ledger, a bundle exported from one, or one record with its proof.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundle",
        nargs="?",
        type=Path,
        metavar="BUNDLE",
        help="a bundle, or a record's proof (.json); without one the ledger is checked",
    )
    parser.add_argument("--data", metavar="DIR", help="the installation's folder (else WATCHBILL_DATA)")
    parser.add_argument(
        "--root-fpr", metavar="F", help="the root key's fingerprint, as the organisation gave it to you"
    )
    parser.add_argument(
        "--anchors",
        type=Path,
        metavar="DIR",
        help="a folder with what you trust or remember: witnesses' keys, roots of time stamps, earlier checkpoints or bundles",
    )
    parser.add_argument(
        "--range", metavar="PERIOD", help='check the records of a period alone ("last 7d"; ledger only)'
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes to check with (ledger only; default: cores)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _progress(done: int, total: int) -> None:
    end = "\n" if done >= total else ""
    print(f"\r{done >> 20} of {total >> 20} MiB checked", end=end, file=sys.stderr, flush=True)


def _json(report: Report) -> str:
    body = asdict(report)
    body["findings"] = [finding._asdict() for finding in report.findings]
    return json.dumps({"ok": report.ok, "complete": report.ok and not report.unproven, "events": report.events, **body})


def _text(report: Report) -> str:
    verdict = "WRONG" if not report.ok else "NOT ALL SHOWN" if report.unproven else "PROVEN"
    lines = [f"{verdict}: {report.events:,} records checked, root key {report.root or 'unknown'}"]
    lines += [f"  wrong    {place}: {what}" for place, what in report.findings]
    for facts in report.shards:
        lines += _shard(facts)
    lines += [f"  not proven: {point}" for point in report.unproven]
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
        *_others(facts),
        *([f"    {facts.unsealed} more records are stored and not signed yet"] if facts.unsealed else []),
        *(f"    {records} records were deleted by the log's entry {entry}" for entry, records in facts.deleted.items()),
    ]


def _others(facts: ShardFacts) -> list[str]:
    def line(words: str, one: Seen) -> str:
        return f"    {words} {one.by}: the first {one.size:,} log entries, {rfc3339(one.at)}"

    lines = [line("witnessed by", one) for one in facts.witnessed]
    lines += [line("time-stamped by", one) for one in facts.stamped]
    return lines + [f"    extends the checkpoint of {one.size:,} log entries in {one.by}" for one in facts.held]
