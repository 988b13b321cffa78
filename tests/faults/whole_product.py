"""The product as a user starts it, its processes killed at random while a followed log grows."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

#: The processes that hold what must not be lost; each is started again by the supervisor.
PROCESSES = ("receive", "engine", "worker")
_LINES = 6  # of failed logins a host, which one rule makes one alert of


def _installation(folder: Path, log: Path):
    path = Path(__file__).parents[1] / "system" / "conftest.py"
    spec = importlib.util.spec_from_file_location("system_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    configuration = f'[collect]\ndiscover = false\n[[collect.files]]\npath = "{log}"\nname = "auth"\n'
    return module.Installation(folder, configuration)


def killed_at_random(folder: Path, times: int, chance: random.Random) -> Iterator[str]:
    """Write the failed logins of one host after another, killing a process at a random moment of each.

    In the end each host has one alert with all of its events, every line is stored once, and the ledger verifies.
    Raises AssertionError.
    """
    log = folder / "auth.log"
    log.touch()
    product = _installation(folder / "data", log).start()
    try:
        with log.open("a", buffering=1) as file:
            for number in range(times):
                for line in range(_LINES):
                    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
                    file.write(
                        f"{stamp} host-{number:03} sshd[{4000 + line}]: Failed password for root from "
                        f"203.0.113.{number % 250 + 1} port {41000 + line} ssh2\n"
                    )
                    time.sleep(chance.random() * 0.02)
                time.sleep(chance.random() * 0.5)
                process = chance.choice(PROCESSES)
                if pid := product.pid(process):
                    os.kill(pid, signal.SIGKILL)
                product.wait_for(
                    lambda before=pid, name=process: product.pid(name) not in {0, before}, f"{process} again"
                )
                yield process
        wanted = {f"host-{number:03}": [_LINES] for number in range(times)}
        product.wait_for(
            lambda: _found(product, wanted) == wanted, f"one whole alert a host: {_found(product, wanted)}", 120
        )
        stored = [row["raw"] for row in product.rows("ledger", "records", "--limit", "1000000")]
        for host in wanted:
            assert sum(f" {host} sshd" in raw for raw in stored) == _LINES, f"{host} is not stored once"
    finally:
        product.stop()
    assert "all as they were written" in product.run("ledger", "verify")


def _found(product, wanted: dict[str, list[int]]) -> dict[str, list[int]]:
    """The events of each alert about a host that was written of."""
    found: dict[str, list[int]] = {}
    for row in product.alerts():
        if row["rule"] == "failed_logins_by_address" and row["host"] in wanted:
            found.setdefault(row["host"], []).append(row["events"])
    return found
