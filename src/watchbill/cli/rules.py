"""``watchbill rules``: list, show, lint and test detection rules. Needs neither a server nor a database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from watchbill.cli.options import Topic, data_option, json_option, print_facts, print_json, print_table, safe
from watchbill.core.config import Config
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.engine.detect import RuleSet
from watchbill.flows import content


@click.group(cls=Topic)
def rules() -> None:
    """List, show, lint and test detection rules."""


@rules.command("list")
@data_option
@json_option
@click.option("--control", default="", help="Only rules that support this control, for instance A.8.15.")
def list_rules(data: DataDir, control: str, *, as_json: bool) -> None:
    """List the rules that run; those that do not run are named below, with the reason."""
    ruleset = _installed(data)
    infos = [info for info in ruleset.infos.values() if not control or control in info.controls]
    if as_json:
        print_json(infos)
        return
    print_table(
        ("Rule", "Severity", "Title", "Controls", "Owner"),
        [(one.id, one.severity, one.title, " ".join(one.controls), one.owner) for one in infos],
        empty="No rule runs.",
        note=f"{len(infos)} rules run, {len(ruleset.problems)} do not",
    )
    _say_problems(ruleset)


@rules.command()
@click.argument("rule")
@data_option
@json_option
@click.option("--source", is_flag=True, help="Print the rule's own text.")
def show(data: DataDir, rule: str, *, as_json: bool, source: bool) -> None:
    """Show one rule: what it watches and why, its thresholds, and what to do when it fires."""
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
            "Controls": " ".join(info.controls), "Owner": info.owner,
            "To do": "\n".join(f"{number}. {step}" for number, step in enumerate(info.response, 1)),
            "False positives": "\n".join(info.false_positives), "Tags": " ".join(info.tags), "File": info.path,
        })  # fmt: skip


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


def _installed(data: DataDir) -> RuleSet:
    return content.rules(content.installed(data, Config.load(data)))


def _chosen(data: DataDir, paths: Sequence[Path]) -> RuleSet:
    from watchbill.engine.detect import load_rules

    if not paths:
        return _installed(data)
    files = [file for path in paths for file in (sorted(path.rglob("*.yml")) if path.is_dir() else [path])]
    return load_rules(files)


def _say_problems(ruleset: RuleSet) -> None:
    for problem in ruleset.problems:
        click.echo(safe(problem), err=True)
