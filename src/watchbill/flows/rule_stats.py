"""How many events each rule was held against, which follows from the counts by kind of event, and how often it fired."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from watchbill.engine.detect import Rule, RuleSet
from watchbill.engine.detect.routing import Route
from watchbill.flows import content
from watchbill.sdk import LogSource
from watchbill.state.alerts import queries as alerts
from watchbill.state.coverage import queries
from watchbill.state.coverage.values import Edition, KindCount
from watchbill.state.coverage.values import Route as StoredRoute


class VersionStats(msgspec.Struct, frozen=True):
    """A version of a rule (a digest of its text) and the events that it was held against. ``since`` is when an engine
    first judged by it, in UTC nanoseconds.
    """

    version: str
    since: int
    evaluated: int


class RuleStats(msgspec.Struct, frozen=True):
    """``evaluated`` events were held against the rule, by any of its ``versions``; ``of`` is all events of the time.
    ``alerts`` is how many alerts of it there are, of all times.
    """

    rule: str
    evaluated: int
    of: int
    versions: tuple[VersionStats, ...]
    alerts: int


def editions_rules(ruleset: RuleSet) -> dict[str, tuple[str, list[StoredRoute]]]:
    """What an edition keeps of each rule: its version, and what it asks of an event to be held against it."""
    versions = content.versions(ruleset)
    return {
        rule.name: (versions[rule.name], sorted(_routes(ruleset.by_name, rule), key=repr)) for rule in ruleset.rules
    }


def statistics(ruleset: RuleSet, start: int, end: int) -> dict[str, RuleStats]:
    """For each rule that runs: what happened to it with the events received in [start, end), to the hour."""
    counted = queries.kinds(start, end)
    editions = queries.editions(list(counted))
    total = sum(kind.events for kinds in counted.values() for kind in kinds)
    evaluated: dict[str, Counter[str]] = defaultdict(Counter)
    since: dict[tuple[str, str], int] = {}
    for digest, kinds in counted.items():
        edition = editions[digest]
        for name, (version, count) in _evaluated(edition, kinds).items():
            evaluated[name][version] += count
            since[name, version] = min(edition.since, since.get((name, version), edition.since))
    fired = {name: sum(states.values()) for name, states in alerts.rule_counts().items()}
    return {
        rule.name: RuleStats(
            rule=rule.name,
            evaluated=evaluated[rule.name].total(),
            of=total,
            versions=tuple(
                sorted(
                    (
                        VersionStats(version, since[rule.name, version], count)
                        for version, count in evaluated[rule.name].items()
                    ),
                    key=lambda one: -one.since,
                )
            ),
            alerts=fired.get(rule.name, 0),
        )
        for rule in ruleset.rules
    }


def _evaluated(edition: Edition, kinds: Iterable[KindCount]) -> dict[str, tuple[str, int]]:
    """For each rule of an edition its version and the events that it was held against."""
    by_routes: dict[tuple[StoredRoute, ...], int] = {}
    known = list(kinds)
    found = {}
    for name, (version, routes) in edition.rules.items():
        if routes not in by_routes:
            asked = [Route(*route) for route in routes]
            by_routes[routes] = sum(
                kind.events
                for kind in known
                if any(
                    route.takes(LogSource(kind.product, kind.service, kind.category), kind.class_uid) for route in asked
                )
            )
        found[name] = version, by_routes[routes]
    return found


def _routes(rules: Mapping[str, Rule], rule: Rule) -> set[StoredRoute]:
    """A correlation is held against the events of the rules that it counts."""
    if rule.correlation is None:
        route = rule.route
        return {(route.product, route.service, route.category, route.class_uid)}
    return {route for name in rule.correlation.rules if name in rules for route in _routes(rules, rules[name])}
