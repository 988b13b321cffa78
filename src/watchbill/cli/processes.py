"""The four processes of an installation, each a command of its own for systemd or containers."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from types import FrameType

import click

from watchbill.cli.options import data_option
from watchbill.core.clock import SystemClock
from watchbill.core.config import Config, write_default
from watchbill.core.paths import DataDir

_PR_SET_PDEATHSIG = 1


def _begin(data: DataDir, name: str) -> threading.Event:
    """What every process does first: logging, the end with its supervisor, an event that says when to stop."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for loud in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    data.create()
    if os.environ.get("WATCHBILL_SUPERVISED"):
        with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere the supervisor ends us itself
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:
            sys.exit(0)
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    return stop


@click.command()
@data_option
def prepare(data: DataDir) -> None:
    """Create or migrate an installation without starting it."""
    from watchbill.flows.prepare import prepare as make_ready

    data.create()
    write_default(data.config)
    make_ready(data, Config.load(data), SystemClock())


@click.command()
@data_option
def receive(data: DataDir) -> None:
    """Run the receiving process alone: listeners, followed files, the journal, the local door."""
    from watchbill.flows.receive import run

    stop = _begin(data, "receive")
    run(data, Config.load(data), SystemClock(), stop)


@click.command()
@data_option
def engine(data: DataDir) -> None:
    """Run the judging process alone: normalise, detect, raise alerts, write events at rest."""
    from watchbill.state import setup

    stop = _begin(data, "engine")
    setup(data)
    from watchbill.flows.ingest import run

    run(data, Config.load(data), SystemClock(), stop)


@click.command()
@data_option
def worker(data: DataDir) -> None:
    """Run the timers' process alone: notifications, checks, silence, the trail's way into the ledger."""
    from watchbill.flows.watch import run

    stop = _begin(data, "worker")
    run(data, Config.load(data), SystemClock(), stop)


@click.command()
@click.option("--unpack", is_flag=True, help="Before going back by one version: write the ledger as that one reads it.")
@data_option
def maintain(data: DataDir, *, unpack: bool) -> None:
    """Compact the lake and pack the ledger now (the worker does it every few minutes)."""
    if unpack:
        _unpack(data)
        return
    from watchbill.state import setup

    setup(data)
    from watchbill.flows.maintain import maintain as do

    do(data, SystemClock())


def _unpack(data: DataDir) -> None:
    from watchbill.ledger import shards
    from watchbill.ledger.compaction import unpack

    stay = 0
    for shard in shards(data.ledger):
        done, left = unpack(data.ledger, shard, SystemClock().now(), data.keys)
        click.echo(f"shard {shard}: {len(done)} volumes unpacked")
        for number in left:
            click.echo(f"shard {shard}: volume {number} stays packed, because records were deleted from it", err=True)
        stay += len(left)
    sys.exit(1 if stay else 0)


@click.command()
@data_option
def web(data: DataDir) -> None:
    """Run the console and API process alone."""
    import uvicorn

    from watchbill.state import setup

    _begin(data, "web")
    config = Config.load(data)
    setup(data)
    console = config.console
    server = uvicorn.Server(
        uvicorn.Config(
            "watchbill.web.asgi:application",
            host=console.host,
            port=console.port,
            ssl_certfile=console.tls_certificate or None,
            ssl_keyfile=console.tls_key or None,
            proxy_headers=console.behind_tls_proxy,
            server_header=False,
            access_log=False,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=3,
            timeout_keep_alive=30,
            limit_concurrency=500,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
    server.run()
