"""``watchbill keys``: the ledger's keys: list, rotate, keep the root offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from watchbill.cli.options import CLOCK, Topic, actor, json_option, print_json, print_table, with_state
from watchbill.core.errors import ConflictError, NotFoundError
from watchbill.core.paths import DataDir

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Topic)
def keys() -> None:
    """The ledger's keys: list, rotate, keep the root offline."""


@keys.command("list")
@with_state
@json_option
def list_keys(data: DataDir, *, as_json: bool) -> None:
    """List the keys that sign each shard's log, and the root's fingerprint."""
    from watchbill.flows.keys import state

    found = state(data)
    if as_json:
        print_json([found])
        return
    print_table(
        ("Shard", "Key for witnesses", "Second key", "In a", "New key"),
        [
            (one.shard, one.vkey, one.second[:16] or "none", one.kept, "waits for its writer" if one.waiting else "")
            for one in found.logs
        ],
        empty="There are no keys yet: the first start makes them.",
        note=f"root {found.root}"
        + (" (its private key is on this machine: watchbill keys export-root)" if found.root_here else ""),
    )


@keys.command("export-root")
@click.argument("out", type=_PATH)
@click.option("--keep", is_flag=True, help="Leave it on this machine as well.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_state
def export_root(data: DataDir, out: Path, *, keep: bool, yes: bool) -> None:
    """Take the root's private key from this machine to the file OUT (on a disk that goes to a safe).

    It is needed to rotate keys and to begin a shard, never to write or verify.
    """
    from watchbill.flows.keys import export_root as move

    if not keep and not yes:
        click.confirm(f"Copy the root key to {out}, and delete it here?", abort=True)
    click.echo(f"{move(data, out, CLOCK, by=actor(), keep=keep)}  {out}")


@keys.command()
@click.option(
    "--request", "requested", type=_PATH, metavar="FILE", help="Make new keys, and write what the root is to sign."
)
@click.option("--apply", "applied", type=_PATH, metavar="FILE", help="Take up what the root has signed.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option("--module", default="", help="PKCS #11 library: make the new key in a hardware token.")
@click.option("--token", default="", help="The token's label.")
@click.option("--label", default="watchbill", show_default=True, help="The new key's label in the token.")
@click.option("--pin-file", type=click.Path(exists=True, dir_okay=False), help="File with the token's PIN, mode 600.")
@with_state
def rotate(
    data: DataDir, requested: Path | None, applied: Path | None, module: str, token: str, label: str,
    pin_file: str | None, *, force: bool,
) -> None:  # fmt: skip
    """Give the logs new keys; processes that run take them up within a second.

    With the root's key on this machine: all at once. With the root elsewhere: --request FILE here, `watchbill keys sign
    FILE --root ROOT` there, --apply FILE here.
    """
    from watchbill.flows import keys as flow
    from watchbill.ledger import rotation

    if requested and applied:
        raise click.UsageError("Give --request or --apply.")
    if applied:
        _finish(data, rotation.parse(_read(applied), str(applied)))
        return
    place = _token(module, token, label, pin_file)
    if requested:
        if requested.exists() and not force:
            raise ConflictError(f"{requested} is there already", mend="choose another name, or add --force")
        body = flow.request(data, CLOCK, by=actor(), token=place)
        requested.write_text(json.dumps(body, indent=1) + "\n")
        click.echo(f"Have it signed: watchbill keys sign {requested} --root ROOT.KEY")
        click.echo(f"Then here:      watchbill keys rotate --apply {requested}")
        return
    root = data.keys / "root.key"
    if not root.exists():
        raise NotFoundError(
            "the root's key is not on this machine", mend="do it in two steps: --request FILE, then --apply FILE"
        )
    _finish(data, flow.sign(flow.request(data, CLOCK, by=actor(), token=place), root))


def _token(module: str, token: str, label: str, pin_file: str | None) -> dict[str, str] | None:
    if not module:
        return None
    if not token or not pin_file:
        raise click.UsageError("A hardware token wants --token and --pin-file, too.")
    from watchbill.ledger import token as hardware

    place = {"module": module, "token": token, "key": label, "pin_file": str(Path(pin_file).resolve())}
    hardware.generate(place)
    return place


def _finish(data: DataDir, body: dict[str, Any]) -> None:
    from watchbill.flows import keys as flow

    if not flow.apply(data, CLOCK, body, by=actor()):
        raise ConflictError(
            "not every shard has taken up the new keys yet",
            mend="see that its process runs, then give the same command again",
        )
    for one in flow.state(data).logs:
        click.echo(one.vkey)
    said = "Witnesses of Watchbill's follow within a minute. Others have to be told: watchbill witness trust --data DIR KEY"
    click.echo(said, err=True)


@keys.command()
@click.argument("file", type=_PATH)
@click.option("--root", type=_PATH, required=True, help="The root's private key.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def sign(file: Path, root: Path, *, yes: bool) -> None:
    """Sign a request for new keys with the root, on any machine; the signatures are written into FILE."""
    from watchbill.ledger import rotation
    from watchbill.ledger.keys import open_private

    body = rotation.parse(_read(file), str(file))
    for entry in body["entries"]:
        click.echo(f"{entry['origin']}: from {entry['old']} to {entry['key']}")
    if not yes:
        click.confirm("Let these keys follow each other?", abort=True)
    signed = rotation.sign_request(body, open_private(root, create=False))
    file.write_text(json.dumps(signed, indent=1) + "\n")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}") from None
