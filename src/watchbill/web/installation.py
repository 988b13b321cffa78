"""The installation that this process serves: opened once, handed to the views that need it."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import RuleSet, load_rules
from watchbill.engine.frameworks import Control, Framework
from watchbill.lake import Lake
from watchbill.ledger import Reader


def data() -> DataDir:
    found: DataDir = settings.DATA
    return found


def config() -> Config:
    found: Config = settings.CONFIG
    return found


@cache
def catalog() -> Catalog:
    return Catalog.load("watchbill.content", rule_folders=[data().root / folder for folder in config().detect.rules])


@cache
def ruleset() -> RuleSet:
    return load_rules(catalog().rule_files)


@cache
def framework() -> Framework:
    return catalog().framework("iso27001_2022")


@cache
def requirements() -> dict[str, Control]:
    """The clauses and controls by number, in the order of the standard."""
    return {control.id: control for control in framework().controls}


@cache
def lake() -> Lake:
    return Lake(data().lake)


def reader(shard: int) -> Reader:
    """A reader of its own for each request: it holds open files."""
    return Reader(data().ledger, shard)
