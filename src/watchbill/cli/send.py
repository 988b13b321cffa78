"""``watchbill send``: files to another installation, exactly once."""

from __future__ import annotations

import os
import platform
import re
import signal
import ssl
from contextlib import ExitStack
from pathlib import Path

import click

from watchbill.core.errors import ConfigError, WatchbillError

_UNFIT = re.compile(r"[^0-9A-Za-z_.:@-]+")
_file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=_file)
@click.option("--to", "url", required=True, metavar="URL", help="The receiver, such as https://logs.example.com:8088.")
@click.option("--token-file", type=_file, help="File with the token; else WATCHBILL_TOKEN.")
@click.option("--ca", type=_file, help="The authority to trust (ca.pem); else those of the system.")
@click.option("--stream", default="", help="The stream's name; else made of this machine's name and the file's path.")
@click.option("--state", type=_file, help="Where to remember what was sent; else in ~/.local/state/watchbill.")
@click.option("--format", "form", default="", metavar="PARSER", help="What the records are; else it is recognised.")
@click.option("--log-key", default="", metavar="VKEY", help="The ledger's key, to check what its checkpoints sign.")
@click.option("--follow", is_flag=True, help="Go on with what is written later, through renaming, until Ctrl-C.")
def send(
    files: tuple[Path, ...], url: str, token_file: Path | None, ca: Path | None, stream: str, state: Path | None,
    form: str, log_key: str, *, follow: bool,
) -> None:  # fmt: skip
    """Send the lines of FILEs to another installation's push listener, each exactly once.

    Started again it goes on where it stopped, after a crash of either side, too. It keeps the receiver's checkpoints
    and ends with exit code 1 when the receiver's ledger was cut back or written anew. Needs no installation here.
    """
    import httpx
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from watchbill.flows.send import Progress as Sent
    from watchbill.flows.send import Sender, State
    from watchbill.ledger.consistency import RollbackError

    if len(files) > 1 and (follow or stream or state):
        raise ConfigError("--follow, --stream and --state are for one file", mend="run one command for each file")
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=url, headers=_headers(token_file), verify=_trust(ca)))
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        for path in files:
            name = stream or _stream_of(path)
            task = bar.add_task(name, total=path.stat().st_size if path.exists() else None)

            def tell(sent: Sent, task: int = task, name: str = name) -> None:
                bar.update(task, completed=sent.offset, description=f"{name} waits: {sent.waiting}" if sent.waiting else name)  # type: ignore[arg-type] # fmt: skip

            try:
                memory = State(state or _state_of(name))
                sender = Sender(
                    client, name, memory, form=form, key=_key(log_key), tell=tell, stop=lambda: bool(stopping)
                )
                done = sender.send(path, follow=follow)
            except RollbackError as error:
                click.echo(f"watchbill: {error}", err=True)
                raise SystemExit(1) from None
            click.echo(f"{path}: {done:,} records sent, {memory.next - 1:,} in all", err=True)


def _headers(path: Path | None) -> dict[str, str]:
    try:
        token = path.read_text().strip() if path else os.environ.get("WATCHBILL_TOKEN", "")
    except OSError as error:
        raise ConfigError(f"the token cannot be read: {error}", mend="name another file with --token-file") from None
    if not token:
        raise ConfigError("a token is needed", mend="put it into a file and name that with --token-file")
    return {"Authorization": f"Bearer {token}"}


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca} cannot be used: {error}", mend="name the receiver's ca.pem") from None


def _key(words: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - imported when asked for
    if not words:
        return None
    from watchbill.ledger.note import Verifier

    try:
        return Verifier.from_vkey(words)
    except ValueError as error:
        raise WatchbillError(f"--log-key: {error}", mend='see "watchbill ledger" at the receiver') from None


def _stream_of(path: Path) -> str:
    """The machine and the file's whole path, in letters that a stream may have."""
    return _UNFIT.sub("-", f"{platform.node()}:{path.absolute().as_posix().lstrip('/')}")[-100:].lstrip("-._:@")


def _state_of(stream: str) -> Path:
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "watchbill" / "send" / f"{stream}.json"
