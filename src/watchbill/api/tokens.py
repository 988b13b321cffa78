"""One's own API tokens. A token cannot make one that may more, or holds longer, than itself."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Caller, Request, now
from watchbill.api.operation import Topic
from watchbill.core.clock import DAY
from watchbill.core.errors import DeniedError
from watchbill.core.values import Role
from watchbill.state.accounts import actions, queries
from watchbill.state.accounts.permissions import includes
from watchbill.state.accounts.values import TokenView

topic = Topic("tokens")

_DEFAULT = 90 * DAY


class NewToken(fields.Body):
    name: Annotated[fields.Word, Field(min_length=1, max_length=100, description="What it is for.")]
    role: Annotated[Role | None, Field(description="At most the caller's own, which is the default.")] = None
    expires: Annotated[
        fields.Duration | None, Field(description="Default: 90 days, at most as long as the token that asks for it.")
    ] = None


class Issued(msgspec.Struct, frozen=True):
    """``token`` is shown this once."""

    token: str
    about: TokenView


@topic.get("/tokens", needs="tokens.own")
def list_tokens(request: Request) -> tuple[TokenView, ...]:
    """List one's own tokens, revoked ones too; their secrets are not kept."""
    return queries.tokens(request.auth.email)


@topic.post("/tokens", needs="tokens.own")
def issue_token(request: Request, body: NewToken) -> Issued:
    """Make a token for oneself; it is shown this once."""
    caller, at = request.auth, now()
    role = body.role or caller.role
    if not includes(caller.role, role):
        raise DeniedError(f"a token cannot have the role {role.value}", mend=f"at most {caller.role.value}")
    expires_at = _expiry(caller, at, body.expires)
    email = caller.email
    token = actions.issue_token(email, name=body.name, by=email, at=at, role=role, expires_at=expires_at)
    return Issued(token, queries.tokens(email)[0])


@topic.delete("/tokens/{token_id}", needs="tokens.own")
def revoke_token(request: Request, token_id: fields.Number) -> None:
    """End one of one's own tokens at once."""
    caller = request.auth
    if caller.token is not None and token_id != caller.token.token_id:
        about = next((one for one in queries.tokens(caller.email) if one.id == token_id), None)
        if about is not None and not includes(caller.role, about.role):
            raise DeniedError("this token may less than that one", mend="end it on the console, or with its own token")
    actions.revoke_token(token_id, by=caller.email, at=now(), owner=caller.email)


def _expiry(caller: Caller, at: int, asked: str | None) -> int:
    """When a new token ends. Otherwise a token that leaked would be a way to keep what it was made for."""
    wanted = at + (fields.length(asked) if asked else _DEFAULT)
    tokens = queries.tokens(caller.email) if caller.token else ()
    limit = next((one.expires_at for one in tokens if caller.token and one.id == caller.token.token_id), None)
    if limit is None or wanted <= limit:
        return wanted
    if asked:
        raise DeniedError(
            "a token cannot make one that outlives it", mend="give a shorter `expires`, or use the console"
        )
    return limit
