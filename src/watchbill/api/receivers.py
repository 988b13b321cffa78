"""What listens, and the tokens with which senders push."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.flows import installation, receivers
from watchbill.flows.listening import ListenerView, listeners
from watchbill.state.receivers import queries
from watchbill.state.receivers.values import SenderTokenView

topic = Topic("receivers")


class NewSenderToken(fields.Body):
    name: Annotated[fields.Word, Field(min_length=1, max_length=100, description="The source's name.")]
    format: Annotated[fields.Word, Field(max_length=64, description="A parser's id; empty: recognised by content.")] = (
        ""
    )


class IssuedSenderToken(msgspec.Struct, frozen=True):
    """``token`` is shown this once."""

    token: str
    about: SenderTokenView


@topic.get("/receivers", needs="receivers.read")
def list_receivers(request: Request) -> tuple[ListenerView, ...]:
    """List the receivers: which listen where, and why others do not."""
    return listeners(installation.data())


@topic.get("/receivers/tokens", needs="receivers.read")
def list_sender_tokens(request: Request) -> tuple[SenderTokenView, ...]:
    """List senders' tokens, revoked ones too; their secrets are not kept."""
    return queries.tokens()


@topic.post("/receivers/tokens", needs="receivers.write")
def issue_sender_token(request: Request, body: NewSenderToken) -> IssuedSenderToken:
    """Make a token with which a sender pushes as this source; it is shown this once."""
    number, secret = receivers.issue_token(
        installation.data(), body.name, by=request.auth.email, at=now(), form=body.format
    )
    return IssuedSenderToken(secret, next(one for one in queries.tokens() if one.id == number))


@topic.delete("/receivers/tokens/{token_id}", needs="receivers.write")
def revoke_sender_token(request: Request, token_id: fields.Number) -> None:
    """End a sender's token at once."""
    receivers.revoke_token(installation.data(), token_id, by=request.auth.email, at=now())
