"""A push listener over a real ledger, spoken to over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from watchbill.engine.collect.push import Push, PushToken, Tokens, digest_of, write_tokens
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path

SECRET = "wbp_test"


class Pushing:
    """The listener, a client, and what came of it."""

    def __init__(self, here, server, client):
        self.here = here
        self.server = server
        self.client = client
        self.stored = here.stored

    async def post(self, path, content=b"", status=200, **headers):
        answer = await self.client.post(path, content=content, headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    def notes(self, event):
        found = map(orjson.loads, self.here.stored("internal"))
        return [note["detail"] for note in found if note["event"] == event]

    async def raw(self, *pieces, pause=0.0):
        """Send bytes as they are, after ``pause`` seconds each; returns all that comes back."""
        reader, writer = await asyncio.open_connection(*self.server.address)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            return await asyncio.wait_for(reader.read(), 60)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
def pushing(collecting, tmp_path):
    """Call it for an async context."""

    @asynccontextmanager
    async def push(limit: int = 32 << 20, tls=None, **more):
        path = tmp_path / "tokens.json"
        write_tokens(path, [PushToken(1, "web-01", digest_of(SECRET)), PushToken(2, "db-01", digest_of("wbp_other"))])
        async with collecting(limit) as here:
            log = TileReader(shard_path(here.data.ledger, 0) / "log")
            server = Push(here.sink, here.origins, ("127.0.0.1", 0), Tokens(path), log, tls=tls, **more)
            await server.start()
            url = f"http://127.0.0.1:{server.address[1]}"
            headers = {"Authorization": f"Bearer {SECRET}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
                yield Pushing(here, server, client)
            await server.stop()

    return push
