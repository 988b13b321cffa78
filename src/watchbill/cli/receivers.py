"""``watchbill receivers``: what listens, who may send, and with which certificates."""

from __future__ import annotations

from pathlib import Path

import click

from watchbill.cli.options import (
    CLOCK,
    Topic,
    actor,
    installed,
    json_option,
    moment,
    print_json,
    print_table,
    with_state,
)
from watchbill.core.paths import DataDir


@click.group(cls=Topic)
def receivers() -> None:
    """What listens, who may send, and with which certificates."""


@receivers.command("list")
@installed
@json_option
def list_receivers(data: DataDir, *, as_json: bool) -> None:
    """List the receivers: which listen where, and why others do not."""
    from watchbill.flows.listening import listeners

    found = listeners(data)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Receiver", "State", "Where", "Why"),
        [(one.kind, one.state, one.where, one.reason) for one in found],
        empty="The receiving process has not run yet. Start it with: watchbill up",
    )


@receivers.command()
@click.argument("names", nargs=-1)
@with_state
def cert(data: DataDir, names: tuple[str, ...]) -> None:
    """Make the receivers' own certificate for NAMES, under which senders call this machine.

    The first time an authority is made, too, which signs it and the certificates of senders. Without NAMES the
    machine's own name is taken. It is used at once, without a restart; make it anew before it ends.
    """
    import platform

    from watchbill.flows.receivers import make_server_certificate

    wanted = names or (platform.node(), "localhost", "127.0.0.1")
    issued = make_server_certificate(data, wanted, by=actor(), at=CLOCK.now())
    click.echo(f"{', '.join(wanted)}: until {moment(issued.expires_at)}, SHA-256 {issued.fingerprint}")
    click.echo(f"What senders must trust: {data.receivers / 'ca.pem'}")


@receivers.command()
@click.argument("name")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder for the files.")
@with_state
def client(data: DataDir, name: str, out: Path) -> None:
    """Make a certificate for the sender NAME; its name is then the source's.

    Writes NAME.pem, NAME.key and ca.pem. Bring them to the sender and delete the key here: it is not kept.
    """
    from watchbill.flows.receivers import make_client_certificate

    issued, paths = make_client_certificate(data, name, out, by=actor(), at=CLOCK.now())
    click.echo(f"{name}: until {moment(issued.expires_at)}, serial {issued.serial}")
    for path in paths:
        click.echo(str(path))


@receivers.command("certs")
@installed
@json_option
def list_certificates(data: DataDir, *, as_json: bool) -> None:
    """List the certificates that were issued here."""
    from watchbill.engine.collect.certificates import Authority

    found = Authority(data.receivers).issued()
    if as_json:
        print_json([one._asdict() for one in found])
        return
    print_table(
        ("Name", "For", "Ends", "Revoked", "Serial", "SHA-256"),
        [
            (
                one.name, one.purpose, moment(one.expires_at), moment(one.revoked_at) if one.revoked_at else "",
                one.serial, one.fingerprint,
            )
            for one in found
        ],
        empty="None. Make the receivers' own with: watchbill receivers cert NAME",
    )  # fmt: skip


@receivers.command()
@click.argument("which")
@with_state
def revoke(data: DataDir, which: str) -> None:
    """Revoke the certificates of the name WHICH, or the one with that serial. It takes effect within seconds."""
    from watchbill.flows.receivers import revoke_certificate

    for one in revoke_certificate(data, which, by=actor(), at=CLOCK.now()):
        click.echo(f"{one.name}: {one.serial} is revoked")


@receivers.group()
def token() -> None:
    """Tokens with which senders push over HTTP."""


@token.command("add")
@click.argument("name")
@click.option("--format", "form", default="", help="A parser's id, such as nginx; left out: recognised by content.")
@with_state
def add_token(data: DataDir, name: str, form: str) -> None:
    """Make a token for the source NAME and print it: it is not shown again."""
    from watchbill.flows.receivers import issue_token

    _, secret = issue_token(data, name, by=actor(), at=CLOCK.now(), form=form)
    click.echo(secret)


@token.command("list")
@with_state
@json_option
def list_tokens(data: DataDir, *, as_json: bool) -> None:
    """List tokens; their secrets are not kept."""
    from watchbill.state.receivers import queries

    found = queries.tokens()
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "Source", "Format", "Token", "Made", "By", "Revoked"),
        [
            (
                one.id, one.name, one.format, f"{one.prefix}…", moment(one.created_at), one.created_by,
                moment(one.revoked_at) if one.revoked_at else "",
            )
            for one in found
        ],
        empty="None. Make one with: watchbill receivers token add NAME",
    )  # fmt: skip


@token.command("revoke")
@click.argument("token_id", type=int)
@with_state
def revoke_token(data: DataDir, token_id: int) -> None:
    """End a token at once."""
    from watchbill.flows.receivers import revoke_token as end

    end(data, token_id, by=actor(), at=CLOCK.now())
    click.echo(f"token {token_id} opens nothing any more")
