"""The state of record with a million alerts: how fast they come in, and how fast the console's pages are answered.

`python -m benchmarks.state [ALERTS]` on SQLite; WATCHBILL_DATABASE=postgresql://… for the other one.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time

from watchbill.core.clock import DAY, HOUR, SECOND
from watchbill.core.paths import DataDir
from watchbill.core.values import AlertStatus, Criticality, Severity
from watchbill.sdk.rules import Detection, EventRef, RuleInfo
from watchbill.state import migrate, setup

NOW = 1_772_600_000 * SECOND
BATCH = 2_000
#: So many go through the actions; the rest are copies of them.
RAISED = 10_000
RULES, HOSTS, USERS = 40, 2_000, 5_000
REPEATS = 30

_COLUMNS = (
    "rule, title, owner, status, severity, criticality, host, controls, why, why_from, assignee, disposition, events, "
    "detections, acknowledged_at, resolved_at, reopened, predecessor_id"
)
_COPY_ALERTS = f"""
    INSERT INTO alerts_alert (id, digest, "group", first, last, opened_at, {_COLUMNS})
    SELECT id + %(shift)s, substr(digest, 1, 26) || %(copy)s, "group", first - %(time)s, last - %(time)s,
        opened_at - %(time)s, {_COLUMNS} FROM alerts_alert WHERE id <= {RAISED}
"""  # noqa: S608 (constants of this file)
_COPY_ENTITIES = f"""
    INSERT INTO alerts_entity (alert_id, kind, value, status)
    SELECT alert_id + %(shift)s, kind, CASE kind WHEN 'user' THEN value || (%(copy)s %% 10) ELSE value END, status
    FROM alerts_entity WHERE alert_id <= {RAISED}
"""  # noqa: S608 (constants of this file)


def infos() -> dict[str, RuleInfo]:
    return {
        f"rule_{number}": RuleInfo(
            id=f"rule_{number}", title=f"Rule number {number} of many", description="", severity=Severity.MEDIUM,
            controls=(f"A.8.{number % 34 + 1}",), owner="security-operations", rationale="", response=(),
            false_positives=(), tags=(), status="stable", path="", text="",
        )
        for number in range(RULES)
    }  # fmt: skip


def detection(number: int, chance: random.Random) -> Detection:
    """Every one of a group of its own, so that each becomes an alert."""
    host, user, at = (
        f"host-{chance.randrange(HOSTS)}",
        f"user{chance.randrange(USERS)}",
        NOW - chance.randrange(90 * DAY),
    )
    address = f"198.51.{chance.randrange(256)}.{chance.randrange(256)}"
    severity = chance.choices(list(Severity), (5, 40, 40, 12, 3))[0]
    return Detection(
        id=f"detection-{number}",
        rule=f"rule_{chance.randrange(RULES)}",
        group=(("device.hostname", host), ("user.name", f"{user}-{number}")),
        severity=severity,
        criticality=Criticality.MEDIUM,
        host=host,
        first=at,
        last=at + chance.randrange(HOUR),
        count=2,
        events=tuple(
            EventRef(0, 2 * number + part, at + part, host, "a message of usual length, " * 3) for part in (0, 1)
        ),
        why=("5 failed sign-ins within 10 min, threshold 5",),
        entities={"user": (user,), "src_ip": (address,)},
    )


def fill(count: int) -> None:
    """Raise alerts in batches, copy them inside the database until there are enough, and resolve nine of ten."""
    from django.db import connection, transaction

    from watchbill.state.alerts import actions, models, tallies

    chance, rules = random.Random(7), infos()
    raising, raised = 0.0, min(count, RAISED)
    for start in range(0, raised, BATCH):
        batch = [detection(number, chance) for number in range(start, min(start + BATCH, raised))]
        begin = time.perf_counter()
        actions.raise_alerts(batch, rules, NOW - 90 * DAY + start * 90 * DAY // raised)
        raising += time.perf_counter() - begin
    print(f"new alerts, in batches of {BATCH}: {raised / raising:.0f}/s")
    begin = time.perf_counter()
    actions.raise_alerts(batch, rules, NOW)
    print(f"repeated detections: {len(batch) / (time.perf_counter() - begin):.0f}/s")
    if connection.vendor == "sqlite":  # filling only: a cache that holds the indexes
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.execute("PRAGMA cache_size=-600000")
    with transaction.atomic(), connection.cursor() as cursor:
        for copy in range(1, count // raised):
            cursor.execute(_COPY_ALERTS, {"shift": copy * raised, "time": copy * HOUR // 7, "copy": copy})
            cursor.execute(_COPY_ENTITIES, {"shift": copy * raised, "copy": copy})
        cursor.execute(
            "UPDATE alerts_alert SET status = 'resolved', disposition = 'benign', resolved_at = %s WHERE id %% 10 > 0",
            [NOW],
        )
        cursor.execute("UPDATE alerts_entity SET status = 'resolved' WHERE alert_id % 10 > 0")
        tallies.recount()
        cursor.execute("ANALYZE")
    connection.close()
    print(f"{models.Alert.objects.count()} alerts, {models.Tally.objects.count()} tallies")


def measured(name: str, do) -> None:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        do()
        times.append((time.perf_counter() - begin) * 1_000)
    times.sort()
    print(f"{name:44} p50 {statistics.median(times):7.1f} ms   p95 {times[int(0.95 * len(times))]:7.1f} ms")


def pages() -> None:
    from watchbill.state.alerts import actions, queries
    from watchbill.state.alerts.values import UNRESOLVED, AlertFilter, Sort

    wanted = {
        "unresolved, worst first": AlertFilter(status=UNRESOLVED),
        "all, worst first": AlertFilter(),
        "all, newest first": AlertFilter(sort=Sort.NEWEST),
        "all, oldest first": AlertFilter(sort=Sort.OLDEST),
        "resolved high, newest first": AlertFilter(
            status=(AlertStatus.RESOLVED,), severity=(Severity.HIGH,), sort=Sort.NEWEST
        ),
        "one rule": AlertFilter(rule=("rule_7",)),
        "one host": AlertFilter(host=("host-77",)),
        "one rule on one host": AlertFilter(rule=("rule_7",), host=("host-77",)),
        "one user": AlertFilter(user="user77"),
        "one address": AlertFilter(src_ip="198.51.7.7"),
        "one control": AlertFilter(control="A.8.5"),
        "unresolved of one control": AlertFilter(control="A.8.5", status=UNRESOLVED),
        "a word (address)": AlertFilter(text="198.51.7"),
        "two words (title, host)": AlertFilter(text="number host-77"),
        "the last day": AlertFilter(start=NOW - DAY, end=NOW, sort=Sort.NEWEST),
        "nobody's, unresolved": AlertFilter(assignee="-", status=UNRESOLVED),
    }
    for name, one in wanted.items():
        measured(f"list: {name}", lambda one=one: queries.alerts(one))
        measured(f"  facets: {name}", lambda one=one: queries.facets(one))
    deep = AlertFilter(sort=Sort.NEWEST)
    for _ in range(20):
        deep = AlertFilter(sort=Sort.NEWEST, cursor=queries.alerts(deep).next)
    measured("list: twenty pages on", lambda: queries.alerts(deep))
    measured("an alert's page", lambda: queries.alert("A-500"))
    measured("counts", queries.counts)
    measured("severity over 30 days", lambda: queries.severity_over_time(NOW - 30 * DAY, NOW, 60))
    measured("mean times of 30 days", lambda: queries.times(NOW - 30 * DAY, NOW))
    measured("unresolved by control", queries.control_alerts)
    measured("pulse", queries.pulse)
    ids = [row.id for row in queries.alerts(AlertFilter(status=(AlertStatus.OPEN,), size=REPEATS)).items]
    measured("acknowledge one", lambda: actions.acknowledge(ids.pop(), by="ana@example.com", at=NOW))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        setup(DataDir(folder))
        migrate()
        from django.db import connection

        print(f"{connection.vendor}, {count} alerts")
        fill(count)
        pages()
        connection.close()


if __name__ == "__main__":
    main()
