"""Events as the normaliser would hand them over."""

from __future__ import annotations

import pytest

from watchbill.core.clock import SECOND
from watchbill.lake import Lake
from watchbill.sdk.events import Event

#: 2026-03-04T00:00:00Z
START = 1_772_582_400 * SECOND


def make_event(position, message="hello", *, time=None, host="web-01", flaw="", class_uid=3002, shard=0, **ocsf):
    """One event; a double underscore in a keyword is a dot of its OCSF path."""
    at = START + position * SECOND if time is None else time
    fields = {"class_uid": class_uid, "category_uid": class_uid // 1000, "activity_id": 1, "severity_id": 1}
    fields |= {"type_uid": class_uid * 100 + 1, "time": at // 1_000_000, "message": message}
    fields |= {"metadata.version": "1.8.0", "metadata.product.name": "OpenSSH"}
    if host:
        fields["device.hostname"] = host
    fields |= {name.replace("__", "."): value for name, value in ocsf.items()}
    return Event(
        class_uid, fields, {}, message, at, host=host, parser="sshd", source="auth.log", received=at, shard=shard,
        position=position, flaw=flaw,
    )  # fmt: skip


@pytest.fixture(scope="session")
def event():
    return make_event


@pytest.fixture(scope="session")
def start():
    return START


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    yield lake
    lake.close()


@pytest.fixture
def fill(lake):
    """Put events into the lake in one commit, with no rules unless they are given."""

    def fill(events, rules=None):
        events = list(events)
        return lake.append(0, events, rules or [()] * len(events), events[-1].position + 1)

    return fill
