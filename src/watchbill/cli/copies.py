"""``watchbill copies``: second copies of the ledger."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import click

from watchbill.cli.options import (
    CLOCK,
    Topic,
    actor,
    ago,
    data_option,
    json_option,
    moment,
    print_json,
    print_table,
    with_state,
)
from watchbill.core.errors import ConfigError, LedgerError
from watchbill.core.paths import DataDir

_SECRET = "WATCHBILL_COPY_SECRET"  # noqa: S105 - the variable's name


@click.group(cls=Topic)
def copies() -> None:
    """Second copies of the ledger, kept up to date."""


@copies.command("list")
@with_state
@json_option
def list_copies(data: DataDir, *, as_json: bool) -> None:
    """List copies, and how far each has come."""
    from watchbill.state.copies import queries

    found = queries.copies()
    if as_json:
        print_json(found)
        return
    print_table(
        ("Name", "Place", "Records", "Copied", "Verified", "Behind since", "Trouble"),
        [
            (
                one.name,
                _place(one.kind, one.config),
                " ".join(f"shard {shard}: {upto:,}" for shard, upto in sorted(one.upto.items())),
                ago(one.copied_at),
                ago(one.verified_at) or "never",
                moment(one.behind_since),
                one.error,
            )
            for one in found
        ],
        empty="No second copy: if this disk is lost, so is the ledger. Example: watchbill copies add disk --folder /mnt/watchbill",
    )


@copies.command()
@click.argument("name")
@click.option("--folder", default="", metavar="PATH", help="A folder that is there: another disk, a mounted share.")
@click.option("--s3", "bucket", default="", metavar="s3://BUCKET/PREFIX", help="A bucket of an S3-compatible store.")
@click.option("--endpoint", default="", help="Address of the store; empty: AWS.")
@click.option("--region", default="", help="Default: us-east-1.")
@click.option("--access-key-id", default="", help=f"Its secret is asked for, or taken from {_SECRET}.")
@with_state
def add(data: DataDir, name: str, folder: str, bucket: str, endpoint: str, region: str, access_key_id: str) -> None:
    """Add a place. It is written to and read from once; then the worker keeps it up to date."""
    from watchbill.flows import copies as flow

    kind, config = _asked(folder, bucket, endpoint, region, access_key_id)
    flow.add(data, name, kind, config, by=actor(), at=CLOCK.now())
    click.echo(f"{name} is added: the worker copies to it within seconds. See: watchbill copies")


@copies.command()
@click.argument("name")
@with_state
def remove(data: DataDir, name: str) -> None:
    """Copy no more to a place; what lies there stays."""
    from watchbill.state.copies import actions

    actions.remove_copy(name, by=actor(), at=CLOCK.now())
    click.echo(f"{name} is removed; what lies there stays")


@copies.command()
@with_state
def run(data: DataDir) -> None:
    """Bring all copies up to date once, now."""
    from watchbill.flows import copies as flow
    from watchbill.state.copies import queries

    def tell(name: str, size: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{name}: {size / 1e6:,.1f} MB ", err=True, nl=False)

    flow.Following(data, CLOCK).step(tell)
    failed = [one for one in queries.copies() if one.error]
    for one in failed:
        click.echo(f"{one.name}: {one.error}", err=True)
    sys.exit(1 if failed else 0)


@copies.command(hidden=True)
@with_state
def follow(data: DataDir) -> None:
    """Keep all copies up to date until told to stop (the worker starts this)."""
    import signal

    from watchbill.flows import copies as flow

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    flow.follow(data, CLOCK, stop)


@copies.command()
@click.argument("name")
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder with room for all of it."
)
@with_state
@json_option
def verify(data: DataDir, name: str, work: Path | None, *, as_json: bool) -> None:
    """Fetch a whole copy and check it as the ledger is checked. Exit code 1 if anything is wrong."""
    from watchbill.flows import copies as flow

    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\rverifying {100 * done // max(total, 1)} % ", err=True, nl=False)

    report = flow.verify(data, CLOCK, name, by=actor(), progress=tell, work=work)
    if as_json:
        print_json([{"ok": report.ok, "events": report.events, "findings": [list(one) for one in report.findings]}])
    else:
        for finding in report.findings:
            click.echo(f"wrong: {finding.place}: {finding.what}")
        click.echo(
            f"{report.events:,} sealed records: {'all as they were signed' if report.ok else 'NOT as they were signed'}"
        )
    sys.exit(0 if report.ok else 1)


@copies.command()
@click.option("--folder", default="", metavar="PATH")
@click.option("--s3", "bucket", default="", metavar="s3://BUCKET/PREFIX")
@click.option("--endpoint", default="")
@click.option("--region", default="")
@click.option("--access-key-id", default="", help=f"Its secret is asked for, or taken from {_SECRET}.")
@click.option("--root-fpr", required=True, help='The root key\'s fingerprint that you hold ("any": do not compare).')
@data_option
def restore(
    data: DataDir, folder: str, bucket: str, endpoint: str, region: str, access_key_id: str, root_fpr: str
) -> None:
    """Make the ledger of an empty installation from a copy; it takes its place only if all of it verifies.

    Put the backup of keys/ into the installation's folder first: without it the ledger can be read and verified, and
    not be written on.
    """
    from watchbill.flows.restore import restore_from

    kind, config = _asked(folder, bucket, endpoint, region, access_key_id)
    data.create()
    try:
        report = restore_from(kind, config, data, root_fingerprint=None if root_fpr == "any" else root_fpr)
    except OSError as error:
        raise LedgerError(f"the copy cannot be read: {error}", mend="see that the place is there") from error
    click.echo(f"restored {report.events:,} sealed records, all as they were signed; root key {report.root}")
    if not (data.keys / "log.key").exists():
        click.echo("keys/log.key is not here: put the backup of keys/ there before you start Watchbill", err=True)


def _asked(folder: str, bucket: str, endpoint: str, region: str, access_key_id: str) -> tuple[str, dict[str, str]]:
    if bool(folder) == bool(bucket):
        raise ConfigError("name one place", mend="--folder /mnt/copy or --s3 s3://bucket/prefix")
    if folder:
        return "folder", {"path": str(Path(folder).expanduser().absolute())}
    if not bucket.startswith("s3://"):
        raise ConfigError(f"{bucket!r} is no bucket", mend="write s3://bucket/prefix")
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    config = {"bucket": name, "prefix": prefix, "endpoint": endpoint, "region": region}
    if access_key_id:
        secret = os.environ.get(_SECRET) or click.prompt("Secret access key", hide_input=True, err=True)
        config |= {"access_key_id": access_key_id, "secret_access_key": secret}
    return "s3", config


def _place(kind: str, config: dict[str, str]) -> str:
    return config.get("path", "") if kind == "folder" else f"s3://{config.get('bucket')}/{config.get('prefix', '')}"
