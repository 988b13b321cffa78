"""An attempt is counted once, in whatever order its lines come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.clock import MINUTE
from watchbill.engine.normalise.attempts import WINDOW, Attempts
from watchbill.sdk import Event


def failure(kind: str, at: int = 0, *, pid: str = "7", count: int = 1, user: str = "ana") -> Event:
    values = {"service.name": "sshd", "user.name": user, "src_endpoint.ip": "192.0.2.7"}
    if count != 1:
        values["count"] = count
    return Event(3002, values, {"pid": pid, "attempt": kind}, "", time=at, host="web-01")


def counted(events) -> list[int]:
    attempts = Attempts()
    for event in events:
        attempts.count(event)
    return [event.ocsf.get("count", 1) for event in events]


def test_lines_of_one_attempt_count_once():
    """sshd's announcement, verdict and farewell of one wrong password are one attempt, three verdicts are three."""
    kinds = ["invalid user", "password", "left"]
    assert counted([failure(kind) for kind in kinds]) == [1, 0, 0]
    assert counted([failure(kind) for kind in ["invalid user", "password", "password", "password", "maximum"]]) == [
        1,
        0,
        1,
        1,
        0,
    ]


def test_a_summary_adds_what_was_not_told():
    """ "message repeated 5 times" and "3 incorrect password attempts" count what goes beyond the lines before."""
    assert counted([failure("pam"), failure("sudo", count=3)]) == [1, 2]
    assert counted([failure("password"), failure("password", count=5)]) == [1, 5]


def test_connections_users_and_times_are_apart():
    assert counted([failure("invalid user"), failure("password", pid="8")]) == [1, 1]
    assert counted([failure("invalid user"), failure("password", user="eve")]) == [1, 1]
    assert counted([failure("invalid user"), failure("password", at=WINDOW + MINUTE)]) == [1, 1]


@given(st.lists(st.sampled_from(["invalid user", "pam", "password", "left"]), max_size=12), st.randoms())
def test_the_total_does_not_depend_on_the_order(kinds, random):
    """Shuffled lines end in the same number of attempts: that of the most frequent kind."""
    shuffled = random.sample(kinds, len(kinds))
    total = max((kinds.count(kind) for kind in kinds), default=0)
    assert sum(counted([failure(kind) for kind in shuffled])) == total
