"""``watchbill rules``: list, show, lint and test detection rules, without server or database; what they were held against."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from watchbill.cli.options import (
    CLOCK,
    Command,
    Topic,
    data_option,
    json_option,
    moment,
    open_state,
    print_facts,
    print_json,
    print_table,
    range_option,
    safe,
)
from watchbill.core.config import Config
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.core.values import Severity
from watchbill.engine.detect import RuleSet
from watchbill.flows import content

if TYPE_CHECKING:
    from watchbill.flows.collections import Added
    from watchbill.flows.reconcile import Standing


def _chosen_by(name: str, words: str, kind: click.ParamType[Any] = click.STRING) -> Callable[[Command], Command]:
    """An option to choose rules by; it may be given again."""
    return click.option(f"--{name}", name, multiple=True, type=kind, help=words)


@click.group(cls=Topic)
def rules() -> None:
    """List, show, add, lint and test detection rules."""


@rules.command("list")
@data_option
@json_option
@click.option("--text", default="", help="Words of a title, description, log source, tag, id or file.")
@click.option("--control", default="", help="Only rules that support this control, for instance A.8.15.")
@_chosen_by("product", "Of the log source, for instance windows.")
@_chosen_by("service", "Of the log source, for instance sysmon.")
@_chosen_by("category", "Of the log source, for instance process_creation.")
@_chosen_by("level", "How bad it is.", click.Choice([str(one) for one in Severity]))
@_chosen_by("status", "Sigma's: stable, test, experimental.")
@_chosen_by("collection", 'A collection that was added; "watchbill" for shipped rules, "own" for your own.')
def list_rules(
    data: DataDir, text: str, control: str, level: tuple[str, ...], *, as_json: bool, **chosen: tuple[str, ...]
) -> None:
    """List the rules that run, the worst first; unless some are chosen, those that do not run are named below.

    Of an option that is given again, one value must hold; "none" stands for rules that say nothing there.
    """
    from watchbill.flows.rulebook import Rulebook, RuleFilter, on_what

    config = Config.load(data)
    ruleset = _installed(data)
    book = Rulebook(data, config, ruleset)
    wanted = RuleFilter(text=text, control=control, severity=level, **chosen)
    infos = book.find(wanted)
    if as_json:
        print_json(infos)
        return
    print_table(
        ("Rule", "Level", "Title", "Log source", "Controls", "Owner", "Collection"),
        [
            (one.id, one.severity, one.title, on_what(one), " ".join(one.controls), one.owner, one.collection)
            for one in infos
        ],
        empty="No rule runs, or none is of that kind.",
        note=f"{len(infos)} of {len(ruleset.infos)} rules that alert; {len(ruleset.problems)} do not run"
        + (" (named by: watchbill rules lint)" if ruleset.problems and wanted != RuleFilter() else ""),
    )
    if wanted == RuleFilter():
        _say_problems(ruleset)


@rules.command()
@click.argument("rule")
@data_option
@json_option
@click.option("--source", is_flag=True, help="Print the rule's own text.")
def show(data: DataDir, rule: str, *, as_json: bool, source: bool) -> None:
    """Show one rule: what it watches and why, its thresholds, and what to do when it fires."""
    from watchbill.flows.rulebook import on_what

    info = _installed(data).infos.get(rule)
    if info is None:
        raise NotFoundError(f"no rule {rule!r} runs", mend="see the list: watchbill rules list")
    if as_json:
        print_json([info])
    elif source:
        click.echo(info.text)
    else:
        print_facts({
            "Rule": info.id, "Title": info.title, "Severity": info.severity, "What": info.description,
            "Why": info.rationale, "Thresholds": "\n".join(f"{who}: {what} → {level}" for who, what, level in info.tiers),
            "Log source": on_what(info), "Controls": " ".join(info.controls), "Owner": info.owner,
            "To do": "\n".join(f"{number}. {step}" for number, step in enumerate(info.response, 1)),
            "False positives": "\n".join(info.false_positives), "Tags": " ".join(info.tags), "File": info.path,
        })  # fmt: skip


@rules.command()
@click.argument("names", nargs=-1, metavar="[RULE]…")
@data_option
@json_option
@range_option("last 24h")
def stats(data: DataDir, names: tuple[str, ...], within: tuple[int, int], *, as_json: bool) -> None:
    """Say how many events each rule was held against, and how many alerts it raised.

    An event counts in the hour in which it was received. Below stands whether what was judged is all that the ledger
    holds: exit code 1 when it is not.
    """
    open_state(data)
    from watchbill.flows.reconcile import standings
    from watchbill.flows.rule_stats import statistics

    found = statistics(_installed(data), *within)
    for name in names:
        if name not in found:
            raise NotFoundError(f"no rule {name!r} runs", mend="see the list: watchbill rules list")
    rows = [found[name] for name in names] or list(found.values())
    known = standings()
    if as_json:
        print_json(rows)
    else:
        print_table(
            ("Rule", "Events held against it", "of", "Alerts", "Versions"),
            [(one.rule, one.evaluated, one.of, one.alerts, len(one.versions)) for one in rows],
            empty="No rule runs.",
            note="\n".join([*map(_standing, known), *_engine(data)]),
        )
    sys.exit(0 if all(one.agrees or not one.at for one in known) else 1)


def _engine(data: DataDir) -> Iterator[str]:
    from watchbill.flows import engine_status

    if now := engine_status.read(data):
        yield f"{now.behind} records wait to be judged; {now.groups} windows are open, {now.spilled} of them on disk"
        yield (
            f"since the engine started: {now.late} events came too late to be sorted in (they were judged), "
            f"{now.repeated} came again, {now.unusable} lacked a number, {now.discarded} stored windows were dropped"
        )


def _standing(one: Standing) -> str:
    judged = f"shard {one.shard}: {one.events} events judged, {one.quarantined} of them in quarantine"
    if not one.at:
        return f"{judged}; not compared with the ledger yet"
    if one.agrees:
        return f"{judged}: all that the ledger holds up to {one.upto}"
    words = ", ".join(f"{name}: {count:+}" for name, count in one.differences.items())
    return f"{judged}; the ledger holds something else up to {one.upto}, by source: {words}"


@rules.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@data_option
def lint(data: DataDir, paths: tuple[Path, ...]) -> None:
    """Say what is wrong in rule files (default: all of the installation's), each with file and line; exit code 1."""
    ruleset = _chosen(data, paths)
    _say_problems(ruleset)
    click.echo(f"{len(ruleset.rules)} rules run, {len(ruleset.problems)} do not")
    sys.exit(1 if ruleset.problems else 0)


@rules.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@data_option
@json_option
def test(data: DataDir, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Run the tests that rules carry, through the real parsers; exit code 1 when one fails."""
    from watchbill.flows.trial import try_rules

    ruleset = _chosen(data, paths)
    catalog = content.installed(data, Config.load(data))
    results = list(try_rules(ruleset, catalog.parsers))
    failed = [one for one in results if one.problem]
    if as_json:
        print_json(results)
    else:
        for one in failed:
            click.echo(f"{one.path}:{one.line}: {one.rule}, {one.test!r}: {safe(one.problem)}")
        untested = [rule.name for rule in ruleset.rules if rule.alerts and not rule.tests]
        if untested:
            click.echo(f"without a test: {', '.join(untested)}")
        click.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    _say_problems(ruleset)
    sys.exit(1 if failed or ruleset.problems else 0)


@rules.command()
@click.argument("source", metavar="PATH|URL")
@click.option("--name", default="", metavar="NAME", help="What to call the collection (default: made of its source).")
@click.option("--dry-run", is_flag=True, help="Say what would be added, and add nothing.")
@data_option
@json_option
def add(data: DataDir, source: str, name: str, *, dry_run: bool, as_json: bool) -> None:
    """Add other people's Sigma rules: a folder, a zip, a git repository or the https address of either.

    They run unmodified; a running engine takes them up within seconds. The same again replaces them.
    """
    from watchbill.flows import collections

    _say_added(collections.add(data, source, CLOCK, name=name, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


@rules.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@data_option
@json_option
def update(data: DataDir, name: str, *, dry_run: bool, as_json: bool) -> None:
    """Fetch a collection again from where it came."""
    from watchbill.flows import collections

    _say_added(collections.update(data, name, CLOCK, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


@rules.command()
@click.argument("name")
@data_option
def remove(data: DataDir, name: str) -> None:
    """Take a collection out again; its alerts stay."""
    from watchbill.flows import collections

    click.echo(f"removed {collections.remove(data, name).name}")


@rules.command("collections")
@data_option
@json_option
def list_collections(data: DataDir, *, as_json: bool) -> None:
    """List the collections that were added."""
    from watchbill.flows import collections

    found = collections.collections(data)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Collection", "Files", "Licence", "Version", "From", "Fetched"),
        [
            (one.name, one.files, one.licence or "none found", one.version or "unsaid", one.source, moment(one.at))
            for one in found
        ],
        empty="No collection was added: watchbill rules add PATH|URL",
    )


def _say_added(added: Added, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json([added])
        return
    collection = added.collection
    for problem in added.problems:
        click.echo(safe(problem), err=True)
    done = "would be " if dry_run else ""
    click.echo(f"{collection.name}: {collection.files} files {done}{'replaced' if added.replaced else 'added'}")
    click.echo(f"{added.rules} rules run, {len(added.problems)} do not")
    licence = (
        f"{safe(collection.licence)} ({collection.licence_file})" if collection.licence else "no licence file found"
    )
    click.echo(f"licence: {licence}")
    if collection.version:
        click.echo(f"version: {collection.version}")


def _installed(data: DataDir) -> RuleSet:
    return content.RuleFolders(data, Config.load(data)).load()


def _chosen(data: DataDir, paths: Sequence[Path]) -> RuleSet:
    from watchbill.engine import rulefiles

    if not paths:
        return _installed(data)
    return rulefiles.load(rulefiles.rule_files(paths))


def _say_problems(ruleset: RuleSet) -> None:
    for problem in ruleset.problems:
        click.echo(safe(problem), err=True)
