"""The installation that a web process serves: opened once, handed to the console and the API that need it."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import RuleSet
from watchbill.engine.frameworks import Control, Framework
from watchbill.flows import content
from watchbill.flows.prepare import FRAMEWORK
from watchbill.lake import Lake


def data() -> DataDir:
    found: DataDir = settings.DATA
    return found


def config() -> Config:
    found: Config = settings.CONFIG
    return found


@cache
def catalog() -> Catalog:
    return content.installed(data(), config())


@cache
def ruleset() -> RuleSet:
    return content.rules(catalog())


@cache
def framework() -> Framework:
    return catalog().framework(FRAMEWORK)


@cache
def requirements() -> dict[str, Control]:
    """The clauses and controls by number, in the order of the standard."""
    return {control.id: control for control in framework().controls}


@cache
def lake() -> Lake:
    return Lake(data().lake)
