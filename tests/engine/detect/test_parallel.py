"""Several processes give what one gives, in the same order."""

import json

import pytest

from watchbill.core.errors import NotFoundError, WatchbillError
from watchbill.engine.detect.parallel import Pool, Task, shape_of

RULE = """title: T
name: rule
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\\cmd.exe', CommandLine|contains: ' /c '}, condition: s}
"""


def record(number):
    system = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Computer": "a.example"}
    data = {"Image": f"C:\\{number}\\cmd.exe", "CommandLine": f"cmd{' /c ' if number % 3 else ' '}{number}"}
    return json.dumps({"Event": {"System": system, "EventData": data}}).encode()


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "rule.yml"
    path.write_text(RULE)
    return Task((str(path),), "watchbill.content", "windows", cache=str(tmp_path / "cache"))


def test_two_processes_give_what_one_gives(task):
    """Batch by batch, and what is no record is handed back."""
    batches = [[record(100 * batch + at) for at in range(100)] + [b"no record"] for batch in range(12)]
    matcher = task.matcher()
    expected = [matcher.match(batch) for batch in batches]
    with Pool(task, 2) as pool:
        assert list(pool.match(batches)) == expected
        assert list(pool.match(batches[:1])) == expected[:1]
    assert sum(len(judged.matches) for judged in expected) == 800
    assert expected[0].others == [100]


def test_a_worker_that_ends_is_told_and_nothing_waits_for_ever(task):
    """Its batch is not taken for judged."""
    with Pool(task, 1) as pool:
        assert next(pool.match([[record(1)]])).matches
        pool._workers[0].kill()
        pool._workers[0].wait()
        with pytest.raises(WatchbillError, match="ended"):
            list(pool.match([[record(1)]] * 3))


def test_a_parser_that_is_not_there_is_named():
    """Rather than found out by silence."""
    with pytest.raises(NotFoundError, match="absent"):
        shape_of("watchbill.content", "absent", 0)
