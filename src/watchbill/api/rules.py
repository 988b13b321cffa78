"""The rules: what is watched for, why, and which of them cannot run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.operation import Topic
from watchbill.core.errors import NotFoundError
from watchbill.flows import engine_status, installation
from watchbill.flows.engine_status import EngineStatus
from watchbill.flows.reconcile import Standing, standings
from watchbill.flows.rule_stats import RuleStats, statistics
from watchbill.sdk import RuleInfo

topic = Topic("rules")


class RuleProblem(msgspec.Struct, frozen=True):
    """Why a rule does not run: in which file and line."""

    file: str
    line: int | None
    reason: str


@topic.get("/rules", needs="rules.read")
def list_rules(request: Request, text: fields.Word = "", control: fields.Word = "") -> tuple[RuleInfo, ...]:
    """List the rules that run; with `control` only those that support it."""
    words = text.lower().split()
    return tuple(
        _shown(info)
        for info in installation.ruleset().infos.values()
        if (not control or control in info.controls)
        and all(word in f"{info.id} {info.title} {info.description}".lower() for word in words)
    )


@topic.get("/rules/{name}", needs="rules.read")
def show_rule(request: Request, name: fields.Word) -> RuleInfo:
    """Show one rule: what it watches and why, its thresholds, and what to do when it fires."""
    info = installation.ruleset().infos.get(name)
    if info is None:
        raise NotFoundError(f"no rule {name!r} runs", mend="see /api/v1/rules, and /api/v1/rule-problems")
    return _shown(info)


@topic.get("/rule-statistics", needs="rules.read")
def list_rule_statistics(request: Request, within: fields.Range = "last 24h") -> tuple[RuleStats, ...]:
    """Say of each rule how many events received in a range (to the hour) were held against it, by version."""
    return tuple(statistics(installation.ruleset(), *fields.within(within)).values())


@topic.get("/judged", needs="rules.read")
def list_judged(request: Request) -> tuple[Standing, ...]:
    """Say what was judged of each shard of the ledger, and whether that is all that it holds."""
    return standings()


@topic.get("/engine", needs="rules.read")
def show_engine(request: Request) -> EngineStatus:
    """Say how the engine is: how far behind, and what it could not judge as it should."""
    found = engine_status.read(installation.data())
    if found is None:
        raise NotFoundError("no engine has run here yet", mend="start it: watchbill up")
    return found


@topic.get("/rule-problems", needs="rules.read")
def list_rule_problems(request: Request) -> tuple[RuleProblem, ...]:
    """List the rules that do not run, each with its place and the reason."""
    return tuple(
        RuleProblem(Path(one.place.file).name, one.place.line, one.reason) for one in installation.ruleset().problems
    )


def _shown(info: RuleInfo) -> RuleInfo:
    """Without the folders of the server."""
    return msgspec.structs.replace(info, path=Path(info.path).name)
