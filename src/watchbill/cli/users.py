"""``watchbill users``: people, roles and API tokens."""

from __future__ import annotations

import click

from watchbill.cli.options import CLOCK, Topic, actor, ago, json_option, print_json, print_table, with_state
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.core.values import Role

_ROLE = click.Choice([role.value for role in Role])


@click.group(cls=Topic)
def users() -> None:
    """People, roles and API tokens."""


@users.command("list")
@with_state
@json_option
def list_users(data: DataDir, *, as_json: bool) -> None:
    """List who may come in, and as what."""
    from watchbill.state.accounts import queries

    found = queries.users()
    if as_json:
        print_json(found)
        return
    print_table(
        ("E-mail", "Name", "Role", "MFA", "Last sign-in", "Active"),
        [
            (
                one.email,
                one.name,
                one.role,
                ", ".join(one.mfa) or "none",
                ago(one.last_sign_in),
                "yes" if one.is_active else "no",
            )
            for one in found
        ],
        empty="Nobody yet. Create the first administrator with: watchbill users invite --role administrator",
    )


@users.command()
@click.argument("email", default="")
@click.option("--role", type=_ROLE, default=Role.VIEWER.value, show_default=True)
@with_state
def invite(data: DataDir, email: str, role: str) -> None:
    """Print a one-time link, valid for a day, with which EMAIL (or anybody) becomes a user."""
    from watchbill.state.accounts import actions

    secret = actions.make_setup_link(at=CLOCK.now(), role=Role(role), email=email, by=actor())
    click.echo(f"{Config.load(data).console.url}/setup/{secret}/")


@users.command()
@click.argument("email")
@click.option("--role", type=_ROLE, default=Role.VIEWER.value, show_default=True)
@click.option("--name", default="", help="The person's name as others see it.")
@click.password_option(help="Asked for when it is not given; it must not be guessable.")
@with_state
def add(data: DataDir, email: str, role: str, name: str, password: str) -> None:
    """Add a user with a password."""
    from watchbill.state.accounts import actions

    actions.create_user(email, role=Role(role), at=CLOCK.now(), by=actor(), name=name, password=password)
    click.echo(f"{email} may come in as {role}")


@users.command("set-role")
@click.argument("email")
@click.argument("role", type=_ROLE)
@with_state
def set_role(data: DataDir, email: str, role: str) -> None:
    """Give EMAIL another ROLE."""
    from watchbill.state.accounts import actions

    actions.set_role(email, Role(role), by=actor(), at=CLOCK.now())
    click.echo(f"{email} is {role}")


@users.command()
@click.argument("email")
@with_state
def deactivate(data: DataDir, email: str) -> None:
    """Shut EMAIL out: sessions and tokens end at once. `activate` undoes it."""
    from watchbill.state.accounts import actions

    actions.deactivate(email, by=actor(), at=CLOCK.now())
    click.echo(f"{email} is shut out")


@users.command()
@click.argument("email")
@with_state
def activate(data: DataDir, email: str) -> None:
    """Let EMAIL in again."""
    from watchbill.state.accounts import actions

    actions.activate(email, by=actor(), at=CLOCK.now())
    click.echo(f"{email} may come in again")


@users.group()
def tokens() -> None:
    """API tokens."""


@tokens.command("list")
@with_state
@json_option
def list_tokens(data: DataDir, *, as_json: bool) -> None:
    """List tokens; their secrets are not kept."""
    from watchbill.state.accounts import queries

    found = queries.tokens()
    if as_json:
        print_json(found)
        return
    print_table(
        ("Id", "User", "Name", "Begins with", "Role", "Expires", "Last used", "Revoked"),
        [
            (
                one.id,
                one.user,
                one.name,
                one.prefix,
                one.role,
                ago(one.expires_at),
                ago(one.last_used_at),
                ago(one.revoked_at),
            )
            for one in found
        ],
        empty="No tokens. Make one with: watchbill users tokens issue EMAIL --name …",
    )


@tokens.command()
@click.argument("email")
@click.option("--name", required=True, help="What it is for.")
@click.option("--role", type=_ROLE, help="At most the user's own, which is the default.")
@click.option("--expires", default="90d", show_default=True, metavar="DURATION")
@with_state
def issue(data: DataDir, email: str, name: str, role: str | None, expires: str) -> None:
    """Make a token for EMAIL and print it, this once."""
    from watchbill.state.accounts import actions

    now = CLOCK.now()
    token = actions.issue_token(
        email,
        name=name,
        by=actor(),
        at=now,
        role=Role(role) if role else None,
        expires_at=now + parse_duration(expires),
    )
    click.echo(token)


@tokens.command()
@click.argument("token_id", type=int)
@with_state
def revoke(data: DataDir, token_id: int) -> None:
    """End a token at once."""
    from watchbill.state.accounts import actions

    actions.revoke_token(token_id, by=actor(), at=CLOCK.now())
    click.echo(f"token {token_id} is revoked")
