"""From YAML documents to rules that run: Sigma 2.1 read strictly, everything refused with file and line.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-rules-specification.md
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from watchbill.core.errors import ContentError, Place
from watchbill.core.values import Severity
from watchbill.engine.detect.conditions import Expression, Not, all_of, any_of, parse_condition
from watchbill.engine.detect.documents import Map, Seq
from watchbill.engine.detect.governance import Governance, Tier, read_governance, read_tiers, read_timespan
from watchbill.engine.detect.modifiers import Placeholders, predicates
from watchbill.engine.detect.predicates import Atom
from watchbill.engine.detect.routing import OCSF_CLASSES, Route
from watchbill.engine.detect.rules import Correlation, Problem, Rule, RuleSet

_LATER = {"value_sum", "value_avg", "value_percentile", "value_median"}
_CORRELATIONS = {"event_count", "value_count", "temporal", "temporal_ordered"}
_MAX_VALUES = 20_000


class Loader:
    """Collects documents, then ties correlations to the rules that they name."""

    def __init__(self, placeholders: Placeholders) -> None:
        self.placeholders = placeholders
        self.rules: dict[str, Rule] = {}
        self.problems: list[Problem] = []
        self._ids: dict[str, str] = {}

    def refuse(self, error: ContentError) -> None:
        self.problems.append(Problem(error.place or Place(""), f"{error.what}; {error.mend}".rstrip("; ")))

    def add(self, path: Path, line: int, document: Any, text: str) -> None:
        """Take one document of a file; what cannot run becomes a Problem."""
        try:
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
        return RuleSet(tuple(self.rules[name] for name in order), tuple(self.problems))

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
        names = []
        for reference in correlation.rules:
            name = reference if reference in self.rules else self._ids.get(reference, "")
            if not name:
                part: Map = rule.meta["correlation"]
                place = Place(rule.path, part.lines.get("rules"))
                raise ContentError(
                    f"the rule {reference!r} that it correlates is not there or does not run", place=place
                )
            names.append(name)
        aliases = {
            alias: {self._ids.get(rule_name, rule_name): field for rule_name, field in fields.items()}
            for alias, fields in correlation.aliases.items()
        }
        return msgspec.structs.replace(correlation, rules=tuple(names), aliases=aliases)

    def _rule(self, path: Path, line: int, document: Any, text: str) -> Rule:
        file = str(path)
        if not isinstance(document, Map):
            raise ContentError("a rule must be a mapping", place=Place(file, line))
        if "filter" in document and "detection" not in document:
            raise ContentError("Sigma filters are not supported yet", place=Place(file, document.lines["filter"]))
        title = document.get("title")
        if not isinstance(title, str) or not title.strip():
            raise ContentError("a rule needs a title", place=Place(file, document.lines.get("title", line)))
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
            title=title.strip(),
            level=reader.level(),
            path=file,
            line=document.line,
            text=text,
            meta=document,
            governance=governance,
        )
        if "correlation" in document:
            return msgspec.structs.replace(rule, correlation=reader.correlation())
        if governance.tiers:
            reader.fail(document["watchbill"], "tiers", "tiers belong to a correlation; a plain rule has levels")
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
        searches = {}
        for name, value in detection.items():
            if name not in {"condition", "timeframe"}:
                searches[name] = self.search(space, detection, name, value, 0)
        condition = detection.get("condition")
        if not searches or condition is None:
            self.fail(detection, "condition", "detection needs at least one search and a condition")
        conditions = condition if isinstance(condition, list) else [condition]
        try:
            return any_of([parse_condition(str(text), searches) for text in conditions])
        except ContentError as error:
            self.fail(detection, "condition", error.what, error.mend)
        except IndexError:
            self.fail(detection, "condition", "the condition is empty")

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

    def correlation(self) -> Correlation:
        part = self.part("correlation")
        kind = part.get("type")
        if kind in _LATER:
            self.fail(part, "type", f"correlations of type {kind} are not supported yet")
        if kind not in _CORRELATIONS:
            self.fail(part, "type", f"type must be one of {', '.join(sorted(_CORRELATIONS))}")
        rules = tuple(self.texts(part, "rules"))
        if not rules:
            self.fail(part, "rules", "a correlation needs the rules that it correlates")
        gte, fields = self.condition(part, kind, len(rules))
        default = Tier(gte, read_timespan(self.file, part), self.level())
        return Correlation(
            kind=kind,
            rules=rules,
            group_by=tuple(self.texts(part, "group-by")),
            default=default,
            tiers=read_tiers(self.file, self.governance.tiers, default),
            fields=fields,
            aliases=self.aliases(part),
        )

    def condition(self, part: Map, kind: str, rules: int) -> tuple[int, tuple[str, ...]]:
        """The threshold as "at least", and the fields of value_count."""
        condition = part.get("condition")
        if condition is None and kind.startswith("temporal"):
            return rules, ()
        if not isinstance(condition, Map):
            self.fail(part, "condition", "a correlation needs a condition")
        operators = {key: value for key, value in condition.items() if key != "field"}
        for key, value in operators.items():
            if key not in {"gte", "gt"}:
                what = f"the operator {key} can be judged only when a window is over; it is not supported yet"
                self.fail(condition, key, what if key in {"lt", "lte", "eq", "neq"} else f"{key} is no operator")
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                self.fail(condition, key, f"{key} must be a whole number")
        if not operators:
            self.fail(part, "condition", "the condition has no operator")
        gte = max(1, *(value + (key == "gt") for key, value in operators.items()))
        if kind == "temporal_ordered" and gte != rules:
            self.fail(part, "condition", "temporal_ordered wants all of its rules; leave the condition out")
        if kind == "temporal" and gte > rules:
            self.fail(part, "condition", f"there are only {rules} rules, so {gte} can never be met")
        fields = tuple(self.texts(condition, "field")) if kind == "value_count" else ()
        if kind == "value_count" and not fields:
            self.fail(part, "condition", "value_count needs the field that it counts")
        return gte, fields

    def aliases(self, part: Map) -> dict[str, dict[str, str]]:
        aliases = part.get("aliases") or {}
        if not isinstance(aliases, dict) or not all(isinstance(fields, dict) for fields in aliases.values()):
            self.fail(part, "aliases", "aliases must map each alias to rules and their fields")
        return {alias: {name: str(field) for name, field in fields.items()} for alias, fields in aliases.items()}

    def texts(self, part: Map, key: str) -> Iterator[str]:
        value = part.get(key)
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(item, (str, int)):
                self.fail(part, key, f"{key} must be text or a list of text")
            yield str(item)
