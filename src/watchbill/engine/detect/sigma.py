"""From YAML documents to rules that run: Sigma 2.1 read strictly, everything refused with file and line.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-rules-specification.md
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from watchbill.core.errors import ContentError, Place
from watchbill.core.times import rfc3339
from watchbill.core.values import Severity
from watchbill.engine.detect.conditions import Expression, Not, all_of, any_of, parse_condition
from watchbill.engine.detect.correlation import Correlation, renamed
from watchbill.engine.detect.documents import Map, Seq
from watchbill.engine.detect.filters import Filter, expiry, filtered, kept, targets
from watchbill.engine.detect.governance import Governance, read_governance
from watchbill.engine.detect.modifiers import Placeholders, predicates
from watchbill.engine.detect.predicates import Atom
from watchbill.engine.detect.routing import OCSF_CLASSES, Route
from watchbill.engine.detect.rules import Problem, Rule, RuleSet
from watchbill.engine.detect.sigma_correlation import read_correlation

_MAX_VALUES = 20_000


class Loader:
    """Collects documents, then ties correlations to the rules that they name."""

    def __init__(self, placeholders: Placeholders, now: int) -> None:
        self.placeholders = placeholders
        self.now = now
        self.rules: dict[str, Rule] = {}
        self.filters: list[Filter] = []
        self.problems: list[Problem] = []
        self._ids: dict[str, str] = {}

    def refuse(self, error: ContentError) -> None:
        self.problems.append(Problem(error.place or Place(""), f"{error.what}; {error.mend}".rstrip("; ")))

    def add(self, path: Path, line: int, document: Any, text: str) -> None:
        """Take one document of a file; what cannot run becomes a Problem."""
        try:
            if isinstance(document, Map) and "filter" in document and "detection" not in document:
                self.filters.append(self._filter(path, document))
                return
            rule = self._rule(path, line, document, text)
        except ContentError as error:
            self.refuse(error)
            return
        if other := self.rules.get(rule.name) or self.rules.get(self._ids.get(rule.id, "")):
            reason = f"the name or id of this rule is taken by {other.path}:{other.line}"
            self.problems.append(Problem(Place(str(path), line), reason))
            return
        self.rules[rule.name] = rule
        if rule.id:
            self._ids[rule.id] = rule.name

    def finish(self) -> RuleSet:
        """Resolve what correlations refer to; one that names a rule that does not run does not run either."""
        self._apply_filters()
        feeding: set[str] = set()
        generated: set[str] = set()
        graph: dict[str, set[str]] = {}
        for rule in list(self.rules.values()):
            if rule.correlation is None:
                continue
            try:
                correlation = self._resolved(rule, rule.correlation)
            except ContentError as error:
                self.refuse(error)
                del self.rules[rule.name]
                continue
            self.rules[rule.name] = msgspec.structs.replace(rule, correlation=correlation)
            graph[rule.name] = set(correlation.rules)
        self._drop_broken(graph)
        for name, fed in graph.items():
            if name in self.rules:
                meta = self.rules[name].meta
                generates = True in {meta.get("generate"), meta["correlation"].get("generate")}
                (generated if generates else feeding).update(fed)
        for name in feeding - generated:
            self.rules[name] = msgspec.structs.replace(self.rules[name], alerts=False)
        order = list(graphlib.TopologicalSorter({n: graph.get(n, set()) for n in self.rules}).static_order())
        ends = min((one.expires for one in self.filters if one.expires > self.now), default=0)
        return RuleSet(tuple(self.rules[name] for name in order), tuple(self.problems), ends)

    def _apply_filters(self) -> None:
        """Take out of rules what filters say; a filter that is over, or finds no rule, is told as a problem."""
        for one in self.filters:
            if one.expires and one.expires <= self.now:
                what = f"the filter {one.title!r} is over since {rfc3339(one.expires)} and no longer filters"
                self.problems.append(Problem(one.place, what))
                continue
            for found in one.chosen(self.rules, self._ids):
                if isinstance(found, str):
                    self.rules[found] = filtered(self.rules[found], one)
                else:
                    self.problems.append(Problem(Place(one.place.file, found[0]), found[1]))

    def _filter(self, path: Path, document: Map) -> Filter:
        file = str(path)
        reader = _Document(file, document, self.placeholders, Governance())
        part = reader.part("filter")
        route = reader.route()
        expires, reason = expiry(file, document)
        return Filter(
            title=reader.title(),
            place=Place(file, document.line),
            route=route,
            keeps=reader.keeps(part, route.space),
            rules=targets(file, part),
            expires=expires,
            reason=reason,
        )

    def _drop_broken(self, graph: dict[str, set[str]]) -> None:
        """Take out correlations that need a rule that is not there, and circles, until all is sound."""
        while True:
            broken = [name for name in graph if name in self.rules and not graph[name] <= self.rules.keys()]
            if not broken:
                try:
                    graphlib.TopologicalSorter({n: graph[n] for n in graph if n in self.rules}).prepare()
                except graphlib.CycleError as error:
                    broken = [name for name in error.args[1] if name in self.rules]
                else:
                    return
            for name in set(broken):
                rule = self.rules.pop(name)
                self.problems.append(
                    Problem(
                        Place(rule.path, rule.line),
                        f"the correlation {name!r} needs a rule that does not run, or itself",
                    )
                )

    def _resolved(self, rule: Rule, correlation: Correlation) -> Correlation:
        names: dict[str, str] = {}
        for reference in correlation.rules:
            name = reference if reference in self.rules else self._ids.get(reference, "")
            if not name:
                part: Map = rule.meta["correlation"]
                place = Place(rule.path, part.lines.get("rules"))
                raise ContentError(
                    f"the rule {reference!r} that it correlates is not there or does not run", place=place
                )
            names[reference] = name
        if len(set(names.values())) < len(names):
            raise ContentError("it correlates a rule twice", place=Place(rule.path, rule.meta["correlation"].line))
        return msgspec.structs.replace(
            correlation,
            rules=tuple(names.values()),
            aliases={alias: self._by_name(rule, alias, fields, names) for alias, fields in correlation.aliases.items()},
            expression=correlation.expression and renamed(correlation.expression, names),
            absence=names.get(correlation.absence, ""),
        )

    def _by_name(self, rule: Rule, alias: str, fields: dict[str, str], names: dict[str, str]) -> dict[str, str]:
        """An alias's fields by the names of rules, which it may have named by their ids."""
        made = {self._ids.get(reference, reference): field for reference, field in fields.items()}
        if stranger := next((name for name in made if name not in names.values()), None):
            place = Place(rule.path, rule.meta["correlation"].lines.get("aliases"))
            raise ContentError(f"the alias {alias} names {stranger!r}, which it does not correlate", place=place)
        return made

    def _rule(self, path: Path, line: int, document: Any, text: str) -> Rule:
        file = str(path)
        if not isinstance(document, Map):
            raise ContentError("a rule must be a mapping", place=Place(file, line))
        title = _Document(file, document, self.placeholders, Governance()).title()
        governance = read_governance(file, document)
        name = str(document.get("name") or (path.stem if path.stem not in self.rules else document.get("id")))
        if "watchbill" in document and document.get("name") != path.stem:
            raise ContentError(
                f"the rule must be called {path.stem!r}, as its file",
                place=Place(file, document.lines.get("name", line)),
            )
        reader = _Document(file, document, self.placeholders, governance)
        rule = Rule(
            name=name,
            id=str(document.get("id") or ""),
            title=title,
            level=reader.level(),
            path=file,
            line=document.line,
            text=text,
            meta=document,
            governance=governance,
        )
        if "correlation" in document:
            return msgspec.structs.replace(rule, correlation=read_correlation(file, document, governance, rule.level))
        for key, what in (
            ("tiers", "tiers belong to a correlation; a plain rule has levels"),
            ("absence", "absence belongs to a correlation"),
        ):
            if key in document.get("watchbill", ()):
                reader.fail(document["watchbill"], key, what)
        route = reader.route()
        return msgspec.structs.replace(rule, route=route, expression=reader.expression(route.space))


class _Document:
    """Reads the parts of one document."""

    def __init__(self, file: str, document: Map, placeholders: Placeholders, governance: Governance) -> None:
        self.file = file
        self.document = document
        self.placeholders = placeholders
        self.governance = governance
        self.values = 0

    def fail(self, part: Map, key: str, what: str, mend: str = "") -> NoReturn:
        raise ContentError(what, place=Place(self.file, part.lines.get(key, part.line)), mend=mend)

    def part(self, key: str) -> Map:
        value = self.document.get(key)
        if not isinstance(value, Map) or not value:
            self.fail(self.document, key, f"{key} must be there and must be a mapping")
        return value

    def title(self) -> str:
        title = self.document.get("title")
        if not isinstance(title, str) or not title.strip():
            self.fail(self.document, "title", "a title must be there")
        return title.strip()

    def level(self) -> Severity:
        try:
            return Severity(self.document.get("level") or Severity.MEDIUM)
        except ValueError:
            self.fail(self.document, "level", f"level must be one of {', '.join(Severity)}")

    def route(self) -> Route:
        source = self.part("logsource")
        said = {key: str(source.get(key) or "").lower() for key in ("product", "service", "category")}
        if not any(said.values()):
            self.fail(self.document, "logsource", "logsource names neither product, service nor category")
        taxonomy = self.document.get("taxonomy", "sigma")
        if taxonomy == "sigma":
            return Route(said["product"], said["service"], said["category"])
        if taxonomy != "ocsf":
            self.fail(self.document, "taxonomy", f"the taxonomy {taxonomy!r} is unknown; known are sigma and ocsf")
        if said["category"] not in OCSF_CLASSES:
            self.fail(source, "category", f"{said['category']!r} is no OCSF class (its caption in snake case)")
        return Route(said["product"], said["service"], class_uid=OCSF_CLASSES[said["category"]])

    def expression(self, space: str) -> Expression:
        detection = self.part("detection")
        searches = self.searches(space, detection, {"condition", "timeframe"})
        condition = detection.get("condition")
        conditions = condition if isinstance(condition, list) else [condition]
        return any_of([self.condition(detection, text, searches, parse_condition) for text in conditions])

    def keeps(self, part: Map, space: str) -> Expression:
        """What a filter leaves."""
        searches = self.searches(space, part, {"condition", "rules"})
        return self.condition(part, part.get("condition"), searches, kept)

    def searches(self, space: str, part: Map, besides: set[str]) -> dict[str, Expression]:
        found = {name: self.search(space, part, name, value, 0) for name, value in part.items() if name not in besides}
        if not found or part.get("condition") is None:
            self.fail(part, "condition", "detection needs at least one search and a condition")
        return found

    def condition(
        self,
        part: Map,
        text: Any,
        searches: dict[str, Expression],
        read: Callable[[str, dict[str, Expression]], Expression],
    ) -> Expression:
        try:
            return read(str(text), searches)
        except ContentError as error:
            self.fail(part, "condition", error.what, error.mend)
        except IndexError:
            self.fail(part, "condition", "the condition is empty")

    def search(self, space: str, parent: Map, name: str, value: Any, depth: int) -> Expression:
        """A mapping is all of its fields; a list is any of its items; text is a keyword."""
        if isinstance(value, (Map, Seq)) and not value:
            self.fail(parent, name, f"{name} is empty")
        if isinstance(value, Map):
            return all_of([self.item(space, value, key, given) for key, given in value.items()])
        if isinstance(value, Seq):
            if depth > 3:
                self.fail(parent, name, "lists are nested too deeply")
            plain = [given for given in value if not isinstance(given, (Map, Seq))]
            nested = [given for given in value if isinstance(given, (Map, Seq))]
            parts = [self.search(space, parent, name, given, depth + 1) for given in nested]
            return any_of(parts + ([self.values_of(space, parent, name, "", plain)] if plain else []))
        return self.values_of(space, parent, name, "", [value])

    def item(self, space: str, part: Map, key: str, value: Any) -> Expression:
        if isinstance(value, Map):
            self.fail(part, key, f"{key} has a mapping where values should stand")
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, (Map, Seq)) for one in values):
            self.fail(part, key, f"{key} has a list or mapping among its values")
        if not values:
            self.fail(part, key, f"{key} has no values")
        return self.values_of(space, part, key, key, values)

    def values_of(self, space: str, part: Map, key: str, spec: str, values: list[Any]) -> Expression:
        self.values += len(values)
        if self.values > _MAX_VALUES:
            self.fail(part, key, f"the rule has more than {_MAX_VALUES} values")
        field, *modifiers = spec.split("|")
        if not field and not {"re", "contains", "startswith", "endswith"} & set(modifiers):
            modifiers = [*modifiers, "contains"]  # a keyword is looked for anywhere in the message
        if not field and (None in values or "exists" in modifiers):
            self.fail(part, key, "null and exists need a field")
        try:
            made = predicates(modifiers, values, self.placeholders)
        except ContentError as error:
            self.fail(part, key, f"{spec or 'keyword'}: {error.what}", error.mend)
        where = (space, field) if field else ("message", "message")
        choices: list[Expression] = [any_of([Atom(*where, one) for one in any_]) for any_ in made if any_]
        if not choices:
            self.fail(part, key, f"{key} has no values")
        expression = all_of(choices) if "all" in modifiers else any_of(choices)
        return Not(expression) if "neq" in modifiers else expression
