"""``watchbill witness``: a second pair of eyes on another host. Needs no installation, no database, no Django."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from watchbill.cli.options import CLOCK, Topic, json_option, moment, print_json, print_table
from watchbill.core.errors import ConfigError

_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)

data_option = click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), required=True,
    help="The witness's own folder (not an installation's): its keys, and what it saw last.",
)  # fmt: skip


@click.group(cls=Topic, usual="run")
def witness() -> None:
    """Cosign the ledgers of other machines, if they only grow (C2SP tlog-witness)."""


@witness.command()
@data_option
@click.option("--listen", default="127.0.0.1:8860", show_default=True, help="ADDRESS:PORT to answer on.")
@click.option("--name", default="", help="The witness's name, on first start (like witness.example/w1).")
@click.option("--tls-certificate", type=click.Path(exists=True), help="PEM file; else put a proxy with TLS before it.")
@click.option("--tls-key", type=click.Path(exists=True), help="PEM file with the certificate's key.")
def run(data: Path, listen: str, name: str, tls_certificate: str | None, tls_key: str | None) -> None:
    """Answer logs until told to stop. What was seen is on disk before it is cosigned."""
    import uvicorn

    from watchbill.ledger.witness import Witness

    host, _, port = listen.rpartition(":")
    if not (host and port.isdigit() and int(port) < 65_536):
        raise ConfigError(f"{listen!r} is no address to listen on", mend="write --listen 0.0.0.0:8860")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s witness %(levelname)s %(message)s", stream=sys.stderr)
    opened = Witness(data, CLOCK, name)
    try:
        for key in opened.keys:
            click.echo(key.cosigner.vkey())
        sys.stdout.flush()
        server = uvicorn.Server(
            uvicorn.Config(
                application(opened), host=host.strip("[]"), port=int(port), lifespan="off", log_config=None,
                access_log=False, server_header=False, ssl_certfile=tls_certificate, ssl_keyfile=tls_key,
                limit_concurrency=200, timeout_keep_alive=75, h11_max_incomplete_event_size=16 * 1024,
                timeout_graceful_shutdown=3,
            )
        )  # fmt: skip
        server.run()
    finally:
        opened.close()


@witness.command()
@data_option
@click.argument("vkey")
def trust(data: Path, vkey: str) -> None:
    """Cosign for the log with this key, as `watchbill keys list` shows it there. A running witness takes it up."""
    from watchbill.ledger.witness import trust as add

    click.echo(f"This witness cosigns for {add(data, vkey).name}.")


@witness.command(name="list")
@data_option
@json_option
def list_logs(data: Path, *, as_json: bool) -> None:
    """List the logs that it cosigns for, and what it saw of them last."""
    from watchbill.ledger.witness import last_seen, logs

    rows = []
    for one in logs(data):
        seen = last_seen(data, one.name)
        rows.append({
            "log": one.name, "key": one.vkey(), "size": seen.checkpoint.size if seen else 0,
            "root": seen.checkpoint.root.hex() if seen else "", "at": moment(seen.at) if seen else None,
        })  # fmt: skip
    if as_json:
        print_json(rows)
        return
    print_table(
        ("Log", "Entries seen", "Head", "When"),
        [(row["log"], row["size"], str(row["root"])[:16], row["at"] or "never") for row in rows],
        empty="It trusts no log yet: watchbill witness trust --data DIR VKEY",
    )


def application(opened: Any) -> Callable[[dict[str, Any], _Receive, _Send], Awaitable[None]]:
    """Return the ASGI application: POST /add-checkpoint and /follow-key, and GET / for whoever looks by."""
    import asyncio

    from watchbill.ledger.witness import LONGEST_REQUEST, Answer

    async def take(receive: _Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > LONGEST_REQUEST:
                return None
            if not message.get("more_body"):
                return bytes(body)

    async def answer(method: str, path: str, receive: _Receive) -> Answer:
        plain = "text/plain; charset=utf-8"
        asked = {"/add-checkpoint": opened.add_checkpoint, "/follow-key": opened.follow_key}.get(path)
        if asked is not None:
            if method != "POST":
                return Answer(405, plain, "POST it here\n")
            try:
                body = await asyncio.wait_for(take(receive), 20)
            except TimeoutError:
                return Answer(408, plain, "the request came too slowly\n")
            if body is None:
                return Answer(413, plain, f"a request has at most {LONGEST_REQUEST} bytes\n")
            found: Answer = await asyncio.to_thread(asked, body)
            if found.status != 200:
                log.warning("refused with %d: %s", found.status, found.body.strip()[:300])
            elif path == "/follow-key":
                log.info("a log has a new key: %s", found.body.strip())
            return found
        if path == "/" and method in {"GET", "HEAD"}:
            return Answer(200, plain, "".join(f"{key.cosigner.vkey()}\n" for key in opened.keys))
        return Answer(404, plain, "there is /add-checkpoint\n")

    async def app(scope: dict[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        try:
            found = await answer(scope["method"], scope["path"], receive)
        except Exception:
            log.exception("a request could not be judged")
            found = Answer(500, "text/plain; charset=utf-8", "the witness cannot answer now\n")
        headers = [(b"content-type", found.type.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body.encode()})

    return app
