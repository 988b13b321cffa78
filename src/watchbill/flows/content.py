"""The content of an installation: what Watchbill brings, what packages add, and the installation's own rules."""

from __future__ import annotations

import hashlib
from pathlib import Path

from watchbill.core.config import Config
from watchbill.core.errors import Place
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Problem, RuleSet, load_rules

PACKAGE = "watchbill.content"


def installed(data: DataDir, config: Config) -> Catalog:
    """The catalog with the installation's own rules: DATA/rules, and the folders that the configuration names."""
    return Catalog.load(PACKAGE, rule_folders=[data.root / "rules", *map(Path, config.detect.rules)])


def rules(catalog: Catalog) -> RuleSet:
    """All rules of a catalog; ``problems`` names each one that does not run, with its place and reason."""
    found = load_rules(catalog.rule_files)
    refused = tuple(Problem(error.place or Place(PACKAGE), error.what) for error in catalog.problems)
    return RuleSet(found.rules, (*refused, *found.problems))


def digest(ruleset: RuleSet) -> str:
    """Names a set of rules: the same rules, in the same words, have the same digest."""
    found = hashlib.sha256()
    for name, version in sorted(versions(ruleset).items()):
        found.update(f"{name}\0{version}\n".encode())
    return found.hexdigest()[:16]


def versions(ruleset: RuleSet) -> dict[str, str]:
    """The version of each rule that runs: a digest of the text that it stands in."""
    texts = {rule.text: hashlib.sha256(rule.text.encode()).hexdigest()[:16] for rule in ruleset.rules}
    return {rule.name: texts[rule.text] for rule in ruleset.rules}
