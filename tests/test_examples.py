"""The programs in the documents do what the documents say."""

from __future__ import annotations

import re
import time
from pathlib import Path

from watchbill.content.notifiers.webhook import signature

RESPOND = Path(__file__).resolve().parents[1] / "docs" / "respond.md"


def test_webhook_receiver_knows_our_signature():
    """The receiver in docs/respond.md takes what we signed just now, and nothing else."""
    (program,) = re.findall(r"```python\n(.*?)```", RESPOND.read_text("utf-8"), re.DOTALL)
    names: dict = {"__name__": "example"}
    exec(compile(program, str(RESPOND), "exec"), names)  # noqa: S102 - it is our own document
    genuine, secret, now = names["genuine"], names["SECRET"].decode(), int(time.time())
    assert genuine(signature(secret, now, b"{}"), b"{}")
    assert not genuine(signature(secret, now, b"{}"), b"{} ")
    assert not genuine(signature("another", now, b"{}"), b"{}")
    assert not genuine(signature(secret, now - 3600, b"{}"), b"{}")
    assert not genuine("", b"{}")
