"""The rules: what is watched for, why, and which of them cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from ninja import Query, Schema
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.operation import Topic
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.values import Severity
from watchbill.flows import engine_status, installation
from watchbill.flows.engine_status import EngineStatus
from watchbill.flows.reconcile import Standing, standings
from watchbill.flows.rule_stats import RuleStats, statistics
from watchbill.flows.rulebook import RuleCollection, RuleFilter, RuleProblem
from watchbill.sdk import RuleInfo

topic = Topic("rules")
Item = TypeVar("Item")


class Wanted(Schema):
    """All that is given must hold; of a repeated parameter one value must."""

    text: Annotated[fields.Word, Field(description="Words of a title, description, log source, tag, id or file.")] = ""
    control: Annotated[fields.Word, Field(description="Rules that support this control: A.8.5")] = ""
    collection: Annotated[
        fields.Words, Field(description='Names of collections; "watchbill" for shipped rules, "own" for one\'s own.')
    ] = ()
    level: tuple[Severity, ...] = ()
    product: Annotated[fields.Words, Field(description='Of the log source; "none" for rules without one.')] = ()
    service: Annotated[fields.Words, Field(description='Of the log source; "none" for rules without one.')] = ()
    category: Annotated[fields.Words, Field(description='Of the log source; "none" for rules without one.')] = ()
    status: Annotated[fields.Words, Field(description="Sigma's: stable, test, experimental.")] = ()
    owner: fields.Words = ()

    def filter(self) -> RuleFilter:
        return RuleFilter(
            text=self.text, control=self.control, collection=self.collection, severity=self.level, product=self.product,
            service=self.service, category=self.category, status=self.status, owner=self.owner,
        )  # fmt: skip


class RulePage(msgspec.Struct, frozen=True):
    """``next`` is what `cursor` wants for the page that follows; "" on the last one."""

    items: tuple[RuleInfo, ...]
    total: int
    next: str


class ProblemPage(msgspec.Struct, frozen=True):
    """``next`` is what `cursor` wants for the page that follows; "" on the last one."""

    items: tuple[RuleProblem, ...]
    total: int
    next: str


@topic.get("/rules", needs="rules.read")
def list_rules(
    request: Request, wanted: Query[Wanted], cursor: fields.Cursor = "", limit: fields.Limit = 50
) -> RulePage:
    """List the rules that run, the worst first. Page on with `cursor` = the page's `next`, until that is empty."""
    found = installation.rulebook().find(wanted.filter())
    return RulePage(*_part(found, cursor, limit))


@topic.get("/rules/{name}", needs="rules.read")
def show_rule(request: Request, name: fields.Word) -> RuleInfo:
    """Show one rule: what it watches and why, its thresholds, and what to do when it fires."""
    info = installation.rulebook().by_name.get(name)
    if info is None:
        raise NotFoundError(f"no rule {name!r} runs", mend="see /api/v1/rules, and /api/v1/rule-problems")
    return info


@topic.get("/rule-collections", needs="rules.read")
def list_rule_collections(request: Request) -> tuple[RuleCollection, ...]:
    """List the collections of other people's rules. They are added by a command on the server: rules are never uploaded."""
    return installation.rulebook().collections


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
def list_rule_problems(
    request: Request, text: fields.Word = "", collection: fields.Word = "", cursor: fields.Cursor = "",
    limit: fields.Limit = 50,
) -> ProblemPage:  # fmt: skip
    """List the rules that do not run, each with its place and the reason. Page on as with the rules that run."""
    found = installation.rulebook().find_problems(text, [collection] if collection else [])
    return ProblemPage(*_part(found, cursor, limit))


def _part(found: Sequence[Item], cursor: str, limit: int) -> tuple[tuple[Item, ...], int, str]:
    """A page of what was found: its items, how many there are in all, and the cursor of the next page."""
    if cursor and not cursor.isdigit():
        raise QueryError("this is no cursor of this list", mend="take it from the page before")
    start = int(cursor or 0)
    end = start + limit
    return tuple(found[start:end]), len(found), str(end) if end < len(found) else ""
