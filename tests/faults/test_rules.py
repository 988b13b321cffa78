"""Fault 18: rules that are bombs. Aliases, depth and size are in tests/engine/detect/test_loading.py; here, expressions."""

from __future__ import annotations

import pytest

from cpu import cpu_seconds
from watchbill.engine.detect import Detector, parse_rules
from watchbill.sdk import Event, LogSource

RULE = """
title: Bomb
name: bomb
logsource: {{product: linux}}
detection:
  s:
    a|re: '{}'
  condition: s
"""


@pytest.mark.parametrize("expression", ["(?=x)", r"(a)\1", "(a{1000}){1000}", "(?<!a)b", "("])
def test_an_expression_that_could_be_catastrophic_is_refused(expression):
    """What cannot be matched in linear time, or not in little memory, does not load, and the reason is said."""
    loaded = parse_rules(RULE.format(expression), "bomb.yml")
    assert [(found.place.file, "RE2 refuses" in found.reason) for found in loaded.problems] == [("bomb.yml", True)]


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_an_expression_that_hangs_others_is_linear_here(expression):
    """Half a megabyte of the text that such an expression fears is judged within a second of CPU time."""
    detector = Detector(parse_rules(RULE.format(expression), "bomb.yml"), {}.get)
    text = "a" * 500_000 + "!"
    event = Event(
        0,
        {},
        {"a": text},
        text,
        time=1,
        host="h",
        source="s",
        logsource=LogSource("linux", "", ""),
        position=1,
        received=1,
    )
    assert cpu_seconds(lambda: detector.feed([event], detector.match([event])), 1) < 1
