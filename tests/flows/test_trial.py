"""Trying rules on their own records says what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from watchbill.engine.detect import load_rules
from watchbill.flows.trial import try_rules

RULE = """
title: Something is said
id: 7f0c3f3e-1c57-4c8e-9b35-0d6a1f1a9c11
name: something_said
status: experimental
description: A word in the log.
author: test
date: '2026-11-23'
logsource: {{product: linux, service: sshd}}
detection:
  words: [something]
  condition: words
falsepositives: [none]
level: high
watchbill:
  controls: [A.8.16]
  owner: security-operations
  rationale: to try it
  response: [look]
  tests:
    - name: it is said
      records: |
        {record}
      alerts: {alerts}
      severity: {severity}
      entities: {{host: {host}}}
"""
SAID = "Mar  4 10:00:00 web-01 sshd[9]: Failed password for something from 192.0.2.7 port 4242 ssh2"


def tried(
    place, tmp_path: Path, *, record: str = SAID, alerts: int = 1, severity: str = "high", host: str = "web-01"
) -> str:
    path = tmp_path / "something_said.yml"
    path.write_text(RULE.format(record=record, alerts=alerts, severity=severity, host=host))
    rules = load_rules([path])
    assert not rules.problems
    (trial,) = try_rules(rules, place.catalog.parsers)
    assert (trial.rule, trial.test) == ("something_said", "it is said")
    assert "it is said" in path.read_text().splitlines()[trial.line - 1]
    return trial.problem


def test_a_right_test_passes_and_a_wrong_one_says_why(place, tmp_path):
    """Number, severity and entities: each difference is said in words."""
    assert tried(place, tmp_path) == ""
    assert tried(place, tmp_path, record=SAID.replace("something", "nobody")) == "0 alerts instead of 1"
    assert tried(place, tmp_path, alerts=0).startswith("1 alerts instead of 0: ")
    assert tried(place, tmp_path, severity="low") == "severity high instead of low"
    assert tried(place, tmp_path, host="web-02") == "host is web-01 instead of web-02"
