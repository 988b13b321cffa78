"""Triage of files beside the peers that are on this machine, in one run: the same records, the same rules.

``python -m benchmarks.peers --data FOLDER [--rsigma PROGRAM]``. What is measured is a peer's whole command, by its CPU
time; that of a run over one record (start, and reading the rules) is taken off. A peer that is not there is left out.

rsigma is in the registry of Rust's crates (``cargo install rsigma``). It knows no log sources by itself: its own pipeline
``sysmon`` turns categories into event ids, and one made here turns services into channels. Zircolite, Hayabusa and
Chainsaw are in no registry.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks import detect
from watchbill.content.windows import channels

RECORDS = 60_000
TOLD = 8


class Peer(NamedTuple):
    """A program: its name with version, and its command; ``rule`` is the member of its output that names a rule's id."""

    name: str
    command: tuple[str, ...]
    rule: str

    def run(self, rules: Path, file: Path) -> tuple[float, Counter[str]]:
        """CPU seconds (user and system), and how often each rule was met, by its id."""
        told = [part.format(rules=rules, file=file) for part in self.command]
        before = os.times()
        done = subprocess.run(told, capture_output=True, check=False, timeout=3_600)
        after = os.times()
        if done.returncode not in {0, 1}:
            raise RuntimeError(f"{self.name}: {done.stderr.decode(errors='replace')[-500:]}")
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return spent, Counter(str(json.loads(line).get(self.rule)) for line in done.stdout.splitlines() if line)


def pipeline(folder: Path) -> Path:
    """What makes conditions of the services of Windows, for rsigma."""
    by_service: dict[str, list[str]] = {}
    for channel, service in channels.SERVICES.items():
        by_service.setdefault(service, []).append(channel)
    made = [
        {
            "id": f"service_{number}",
            "type": "add_condition",
            "conditions": {"Channel": sorted(of)},
            "rule_conditions": [{"type": "logsource", "product": "windows", "service": service}],
        }
        for number, (service, of) in enumerate(sorted(by_service.items()))
    ]
    path = folder / "services.yml"
    path.write_text(yaml.safe_dump({"name": "services", "priority": 20, "transformations": made}))
    return path


def peers(rsigma: str | None, folder: Path) -> list[Peer]:
    """Watchbill, and who else is here."""
    found = [
        Peer(
            "watchbill detect, one process",
            (sys.executable, "-m", "watchbill", "detect", "--json", "--min-level", "informational", "--workers", "1",
             "--rules", "{rules}", "{file}"),
            "id",
        )
    ]  # fmt: skip
    program = rsigma or shutil.which("rsigma")
    if program:
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        command = (
            program,
            "engine",
            "eval",
            "-r",
            "{rules}",
            "-p",
            "sysmon",
            "-p",
            str(pipeline(folder)),
            "-e",
            "@{file}",
        )
        found.append(Peer(version, (*command, "--output-format", "ndjson"), "rule_id"))
    return found


def main(arguments: Sequence[str] = ()) -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--data", type=Path, default=detect.DATA, help="the folder of the third-party data")
    reader.add_argument("--rsigma", help="the program, where it is not on PATH")
    reader.add_argument("--records", type=int, default=RECORDS)
    asked = reader.parse_args(arguments)
    rules = asked.data / "sigma" / "rules_tree" / "rules" / "windows"
    if not rules.is_dir():
        print("the third-party data (../shared/data) is not on this machine: nothing to compare on")
        return
    mixed, creations = detect.corpora()
    with tempfile.TemporaryDirectory() as folder:
        for title, raws, chosen in (
            ("all kinds mixed", mixed, rules),
            ("process creations", creations, rules / "process_creation"),
        ):
            file, one = Path(folder) / "records.jsonl", Path(folder) / "one.jsonl"
            records = list(islice(raws(), asked.records))
            file.write_bytes(b"\n".join(records) + b"\n")
            one.write_bytes(records[0] + b"\n")
            compare(title, peers(asked.rsigma, Path(folder)), chosen, file, one, records)


def compare(title: str, found: list[Peer], rules: Path, file: Path, one: Path, raws: Sequence[bytes]) -> None:
    """Print each peer's figures, and on which rules they differ from Watchbill's."""
    ids = {
        document["id"]
        for path in rules.rglob("*.yml")
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if "id" in document
    }
    print(f"{title}: {len(raws)} records, {len(ids)} rules")
    start = time.process_time()
    for raw in raws:
        detect.orjson.loads(raw)
    parsing = time.process_time() - start
    print(f"  {'orjson parse':<32}{len(raws) / parsing:12,.0f} records/s of CPU")
    ours: Counter[str] | None = None
    for peer in found:
        peer.run(rules, one)  # what it keeps of the rules is there from now on
        started, _ = peer.run(rules, one)
        spent, told = peer.run(rules, file)
        matches = Counter({rule: count for rule, count in told.items() if rule in ids})
        net = max(spent - started, 1e-9)
        print(
            f"  {peer.name:<32}{len(raws) / net:12,.0f} records/s of CPU, {parsing / net:.3f} of parsing; start {started:.1f} s;"
            f" {matches.total():,} matches of {len(matches)} rules"
        )  # fmt: skip
        if ours is None:
            ours = matches
            continue
        differing = {rule: (ours[rule], matches[rule]) for rule in ours | matches if ours[rule] != matches[rule]}
        print(
            f"    {len(differing)} rules differ: {sum(one > other for one, other in differing.values())} with more of ours"
        )
        for rule, (one_count, other) in sorted(differing.items(), key=lambda item: -abs(item[1][0] - item[1][1]))[
            :TOLD
        ]:
            print(f"      {rule}: {one_count} of ours, {other} of theirs")


if __name__ == "__main__":
    main(sys.argv[1:])
