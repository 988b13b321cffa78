"""People: who may come in, as what."""

from __future__ import annotations

import msgspec

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.values import Role
from watchbill.flows import installation
from watchbill.state.accounts import actions, queries
from watchbill.state.accounts.permissions import CAPABILITIES
from watchbill.state.accounts.values import TokenView, UserView

topic = Topic("users")


class Me(msgspec.Struct, frozen=True):
    """Who calls, and what they may do with this token or session."""

    email: str
    role: Role
    token: str | None
    capabilities: tuple[str, ...]


class Invitation(fields.Body):
    email: fields.Word = ""
    role: Role = Role.VIEWER


class Invited(msgspec.Struct, frozen=True):
    """``url`` opens once, within a day, and is not shown again."""

    url: str
    email: str
    role: Role


class NewRole(fields.Body):
    role: Role


@topic.get("/me", needs="tokens.own")
def me(request: Request) -> Me:
    """Say who calls, as what, and with which capabilities."""
    caller = request.auth
    names = tuple(name for name in CAPABILITIES if caller.may(name))
    return Me(caller.email, caller.role, caller.token.token_name if caller.token else None, names)


@topic.get("/users", needs="users.read")
def list_users(request: Request) -> tuple[UserView, ...]:
    """List who may come in, and as what."""
    return queries.users()


@topic.post("/users/invite", needs="users.write")
def invite_user(request: Request, body: Invitation) -> Invited:
    """Make a one-time link with which somebody becomes a user."""
    secret = actions.make_setup_link(at=now(), role=body.role, email=body.email, by=request.auth.email)
    return Invited(f"{installation.config().console.url}/setup/{secret}/", body.email, body.role)


@topic.get("/users/tokens", needs="users.read")
def list_all_tokens(request: Request) -> tuple[TokenView, ...]:
    """List everybody's tokens; their secrets are not kept."""
    return queries.tokens()


@topic.delete("/users/tokens/{token_id}", needs="users.write")
def revoke_any_token(request: Request, token_id: fields.Number) -> None:
    """End anybody's token at once."""
    actions.revoke_token(token_id, by=request.auth.email, at=now())


@topic.get("/users/{email}", needs="users.read")
def show_user(request: Request, email: fields.Word) -> UserView:
    """Show one user."""
    return queries.user(email)


@topic.put("/users/{email}/role", needs="users.write")
def set_role(request: Request, email: fields.Word, body: NewRole) -> UserView:
    """Give a user another role."""
    actions.set_role(email, body.role, by=request.auth.email, at=now())
    return queries.user(email)


@topic.post("/users/{email}/deactivate", needs="users.write")
def deactivate_user(request: Request, email: fields.Word) -> UserView:
    """Shut a user out: sessions and tokens end at once."""
    actions.deactivate(email, by=request.auth.email, at=now())
    return queries.user(email)


@topic.post("/users/{email}/activate", needs="users.write")
def activate_user(request: Request, email: fields.Word) -> UserView:
    """Let a user in again; their tokens stay revoked."""
    actions.activate(email, by=request.auth.email, at=now())
    return queries.user(email)
