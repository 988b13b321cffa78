"""Write docs/reference/*.md from the code: what can be looked up is made, never typed.

``python docs/reference.py`` writes the pages; ``tests/test_reference.py`` says when they are not what the code gives.
Everything here is deterministic: nothing of the machine, the time or the terminal's width goes into a page.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args, get_type_hints

import click

import watchbill
from watchbill.cli.root import watchbill as command_line
from watchbill.cli.verify import _parser as verifier_parser
from watchbill.content.parsers.watchbill import PARSER as OWN
from watchbill.core import config
from watchbill.core.paths import DataDir
from watchbill.core.values import Criticality, Role
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import load_rules
from watchbill.engine.detect.routing import OCSF_CLASSES
from watchbill.sdk import Line, Parser, RuleInfo
from watchbill.state import setup
from watchbill.state.accounts.permissions import CAPABILITIES
from watchbill.state.alerts.life import STEPS

FOLDER = Path(__file__).resolve().parent / "reference"
SOURCE = Path(watchbill.__file__).resolve().parent
CATALOG = Catalog.load("watchbill.content", outside=False)
_CLASSES = {number: name for name, number in OCSF_CLASSES.items()}
_EVENT = re.compile(
    r"sign_in|sign_in\.failed|sign_out|"
    r"(alert|asset|channel|control|delivery|export|ledger|process|source|storage|token|user)\.[a-z_]+"
)


def main() -> None:
    """Write every page anew, and remove those that are no more."""
    FOLDER.mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
    print(f"{len(made)} pages in docs/{FOLDER.name}")


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    made = {f"{name}.md": _page(make) for name, make in PAGES.items()}
    listed = [
        f"- [{text.splitlines()[2].removeprefix('# ')}]({name}): {_summary(PAGES[name[:-3]])}"
        for name, text in sorted(made.items())
    ]
    made["README.md"] = "\n".join(["# Reference", "", "Made from the code by `make docs`.", "", *listed, ""])
    return made


def _page(make: Callable[[], Iterable[str]]) -> str:
    lines = ["<!-- Made by docs/reference.py from the code: change that, then run `make docs`. -->", "", *make()]
    return "\n".join(lines).rstrip() + "\n"


def api() -> Iterator[str]:
    """Every operation of the REST API, with the capability that it needs."""
    yield from (
        "# API",
        "",
        "Under `/api/v1`, described for programs by `/api/v1/openapi.json`. Send a token of yours as",
    )
    yield "`Authorization: Bearer wb_…` (make one on your account page, or with `watchbill users tokens issue`). Who has"
    yield from ("which capability: [permissions](permissions.md).", "")
    topics: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, operations in _openapi()["paths"].items():
        for method, operation in operations.items():
            given = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
            fields = [f"`{name}`" for name in _body(operation)]
            row = (
                _code(f"{method.upper()} {path.removeprefix('/api/v1')}"), _cell(operation["summary"]),
                " ".join(given + fields), f"`{operation['x-capability']}`",
            )  # fmt: skip
            topics.setdefault(operation["tags"][0], []).append(row)
    for topic, rows in topics.items():
        yield from (f"## {topic.capitalize()}", "")
        yield from _table(("operation", "", "takes", "needs"), rows)


@functools.cache
def _openapi() -> dict[str, Any]:
    """The document as the console gives it. Django wants a folder, and gets one that is not kept."""
    from django.apps import apps

    if not apps.ready:
        with TemporaryDirectory() as folder:
            setup(DataDir(folder))
    from watchbill.api.urls import api as found

    document: dict[str, Any] = found.get_openapi_schema(path_prefix="/api/v1/")
    return document


def _body(operation: dict[str, Any]) -> Iterator[str]:
    """The names of the fields of a body."""
    schemas = _openapi()["components"]["schemas"]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for schema in content["schema"].get("anyOf", [content["schema"]]):
            yield from schemas.get(schema.get("$ref", "").rpartition("/")[2], schema).get("properties", {})


def cli() -> Iterator[str]:
    """Every command with its options."""
    yield from ("# Commands", "", "Exit codes: 0 done, 1 done and something was found, 2 not done.", "")
    root = click.Context(command_line, info_name="watchbill", **command_line.context_settings)
    for name in command_line.list_commands(root):
        if name == "verify":
            yield from _verifier()
        elif command := command_line.get_command(root, name):
            yield from _command(command, click.Context(command, info_name=name, parent=root))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}"
    yield ""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from (f"    {usage}", "", _prose(inspect.cleandoc(command.help or "")), "")
    rows = [record for param in command.params if (record := param.get_help_record(context)) and record[1]]
    yield from _table(("option", ""), [(_code(names), _cell(text)) for names, text in rows])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if inner := command.get_command(context, name):
                yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _verifier() -> Iterator[str]:
    """The verifier has a parser of its own: it runs where click is not installed."""
    parser = verifier_parser()
    yield from ("## watchbill verify", "", "    watchbill verify [BUNDLE] [--data DIR] [--root-fpr F] [--json]", "")
    yield from (f"{parser.description} Needs the standard library and `cryptography` alone.", "")
    rows = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells its arguments nowhere else
        if not isinstance(action, argparse._HelpAction):  # noqa: SLF001
            names = ", ".join(action.option_strings) or str(action.metavar)
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            rows.append((_code(names + value), _cell(action.help or "")))
    yield from _table(("option", ""), rows)


def configuration() -> Iterator[str]:
    """Every setting of watchbill.toml and its environment variable."""
    yield from ("# Configuration", "", "`watchbill.toml` in the installation's folder, read at the start of each")
    yield from (
        "process; the environment overrides it. Every setting may be left out. A slip is refused with its",
        "line.",
    )
    yield ""
    yield from _settings(config.Config, "", "WATCHBILL")
    yield from ("## Beside the file", "")
    yield from _table(
        ("variable", "meaning"),
        [
            ("`WATCHBILL_DATA`", "The installation's folder, where a command has no `--data`."),
            ("`XDG_DATA_HOME`", "Where the folder `watchbill` lies when neither is given (else `~/.local/share`)."),
        ],
    )


def _settings(kind: type, section: str, prefix: str) -> Iterator[str]:
    hints, comments = get_type_hints(kind), _comments(kind)
    if section:
        yield from (f"## [{section}]", "", _prose(inspect.getdoc(kind) or ""), "")
    rows, inner, lists = [], [], []
    for item in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[item.name]):
            inner.append((hints[item.name], item.name))
            continue
        listed = _listed(hints[item.name])
        variable = "" if listed else f"`{prefix}_{item.name.upper()}`"
        if listed:
            lists.append((listed, f"{section}.{item.name}"))
        rows.append((f"`{item.name}`", _default(item), variable, _cell(comments.get(item.name, ""))))
    yield from _table(("setting", "default", "environment", "meaning"), rows)
    for part, name in inner:
        yield from _settings(part, name, f"{prefix}_{name.upper()}")
    for listed, name in lists:
        yield from (f"## [[{name}]]", "", _prose(inspect.getdoc(listed) or ""), "")
        fields = dataclasses.fields(listed)
        yield from _table(("setting", "default"), [(f"`{item.name}`", _default(item)) for item in fields])


def _listed(hint: object) -> type | None:
    """Of a setting that is a list of tables what one of them is."""
    inner = get_args(hint)
    return inner[0] if inner and dataclasses.is_dataclass(inner[0]) else None


def _default(item: dataclasses.Field[object]) -> str:
    if item.default is dataclasses.MISSING:
        return "(required)"
    spelled = {"True": "true", "False": "false", "()": "[]"}.get(str(item.default), str(item.default))
    return f'`"{spelled}"`' if isinstance(item.default, str) else f"`{spelled}`"


def _comments(kind: type) -> dict[str, str]:
    """The ``#:`` lines above each field."""
    found, held = {}, []
    for line in inspect.getsource(kind).splitlines():
        if comment := re.match(r"\s*#: ?(.*)", line):
            held.append(comment[1])
        elif named := re.match(r"\s+(\w+): ", line):
            found[named[1]], held = " ".join(held), []
    return found


def rules() -> Iterator[str]:
    """Every rule that Watchbill brings: what it watches, why, its thresholds, what to do."""
    infos = sorted(load_rules(CATALOG.rule_files).infos.values(), key=lambda info: info.id)
    yield from ("# Rules", "", f"{len(infos)} rules come with Watchbill. Severity and threshold may depend on how")
    yield from ("critical the asset is; a rule supports the controls that it names and never proves one.", "")
    yield from _table(
        ("rule", "says", "severity", "controls"),
        [
            (f"[{one.id}](#{one.id})", _cell(one.title), " / ".join(_severities(one)), " ".join(one.controls))
            for one in infos
        ],
    )
    for info in infos:
        yield from _rule(info)


def _rule(info: RuleInfo) -> Iterator[str]:
    yield from (f"## {info.id}", "", f"**{_prose(info.title)}** {_prose(_flow(info.description))}", "")
    facts = {
        "Severity": " / ".join(_severities(info)), "Controls": ", ".join(info.controls), "Owner": info.owner,
        "ATT&CK": ", ".join(tag.removeprefix("attack.") for tag in info.tags if tag.startswith("attack.")),
        "Status": info.status,
    }  # fmt: skip
    yield from (f"- {name}: {value}" for name, value in facts.items() if value)
    yield from (f"- Why: {_prose(_flow(info.rationale))}", "")
    yield from _table(("criticality", "alerts at", "severity"), [tuple(map(_cell, tier)) for tier in info.tiers])
    yield from (f"{number}. {_prose(_flow(step))}" for number, step in enumerate(info.response, 1))
    yield ""
    if info.false_positives:
        yield from (f"Not an attack when: {_prose(_flow('; '.join(info.false_positives)))}", "")


def _severities(info: RuleInfo) -> list[str]:
    """The severity on assets of high, medium and low criticality; one when they are all the same."""
    by_tier = {criticality: severity for criticality, _, severity in info.tiers}
    found = [by_tier.get(one.value, info.severity.value) for one in reversed(Criticality)]
    return found if len(set(found)) > 1 else found[:1]


def parsers() -> Iterator[str]:
    """Every kind of record that is understood."""
    yield from ("# Parsers", "", "What is understood, and as what. The log source is Sigma's (product, category,")
    yield "service); the classes are those of [OCSF 1.8](https://schema.ocsf.io/1.8.0). The id is what `format`"
    yield from ("and `watchbill replay --as` take. A record that no parser knows is kept, searchable and counted.", "")
    yield from _table(
        ("id", "reads", "log source", "becomes"),
        [
            (f"`{one.id}`", _cell(one.title), _logsource(one), ", ".join(f"`{name}`" for name in _classes(one)))
            for one in sorted(CATALOG.parsers, key=lambda one: one.id)
        ],
    )


def _logsource(parser: Parser) -> str:
    return ", ".join(f"{name}: {value}" for name, value in parser.logsource._asdict().items() if value)


def _classes(parser: Parser) -> list[str]:
    numbers = {sample.class_uid for sample in parser.samples if sample.class_uid is not None}
    return [_CLASSES[number] for number in sorted(numbers)]


def checks() -> Iterator[str]:
    """Every check that can prove a control."""
    yield from (
        "# Checks",
        "",
        "A check judges a snapshot of the installation; snapshot and verdict are kept. One that",
    )
    yield from ("has nothing to look at is *unknown*, never *passed*.", "")
    for one in sorted(CATALOG.checks, key=lambda check: check.id):
        yield from (f"## {one.id}", "", f"**{_prose(one.title)}.** {_prose(one.rationale)}", "")
        yield f"- Controls: {', '.join(one.controls)}"
        yield f"- Looks at: {', '.join(one.reads)}; every {one.every}; a verdict older than {one.max_age} is stale"
        yield from (f"- When it fails: {_prose(one.mend)}", "")


def notifiers() -> Iterator[str]:
    """Every kind of notification channel and its settings."""
    yield from ("# Notification channels", "", "`watchbill channels add KIND --name NAME --set FIELD=VALUE …`", "")
    for one in sorted(CATALOG.notifiers, key=lambda notifier: notifier.id):
        yield from (f"## {one.id}", "", f"{one.title}.", "")
        yield from _table(
            ("field", "label", "kind", "default", "required", ""),
            [
                (
                    f"`{field.name}`", _cell(field.label), _cell(" | ".join(field.choices) or field.kind),
                    f"`{field.default}`" if field.default else "", "yes" if field.required else "no", _cell(field.help),
                )
                for field in one.config
            ],
        )  # fmt: skip


def permissions() -> Iterator[str]:
    """Which role may do what."""
    yield from ("# Permissions", "", "Whoever may read the installation's folder may do everything by the command line")
    yield from (
        "(as `cli:NAME` on the trail); these hold for console and API. A token has at most its owner's role.",
        "",
    )
    rows = [
        (f"`{name}`", *("yes" if role in roles else "" for role in Role))
        for name, roles in sorted(CAPABILITIES.items())
    ]
    yield from _table(("capability", *(role.value for role in Role)), rows)


def events() -> Iterator[str]:
    """Every event that Watchbill writes about itself and about what people do."""
    yield from (
        "# Internal events",
        "",
        "What Watchbill and its people do is written to the trail, goes from there into",
    )
    yield "ledger shard 1 and through the same rules as every other record. (`source.cut` and `source.gap` are"
    yield "written by the receiver, beside the records that they tell of.) Search: `parser:watchbill`. What those of"
    yield from ("the system mean and ask for: [operate](../operate.md#what-watchbill-says-of-itself).", "")
    texts = {path.stem: path.read_text("utf-8") for path in CATALOG.rule_files}
    rows = []
    for name in sorted(_event_names()):
        event = OWN.parse(Line("", data={"watchbill": 1, "event": name, "at": 1}))
        if event is None:
            raise ValueError(name)
        rules = [f"[{rule}](rules.md#{rule})" for rule, text in texts.items() if _watches(text, name)]
        rows.append((f"`{name}`", f"`{_CLASSES[event.class_uid]}`", ", ".join(sorted(rules))))
    yield from _table(("event", "OCSF class", "rules that name it"), rows)


def _event_names() -> set[str]:
    """The names that stand in modules which write to the trail or beside records, and the steps of an alert's life."""
    found = {f"alert.{step}" for step in STEPS}
    for path in [*SOURCE.glob("state/*/*.py"), *SOURCE.glob("flows/*.py"), *SOURCE.glob("engine/collect/*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        called = {ast.unparse(node.func).split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.Call)}
        if called & {"record", "record_many", "note"}:
            texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            found |= {text for text in texts if isinstance(text, str) and _EVENT.fullmatch(text)}
    return found


def _watches(text: str, event: str) -> bool:
    return bool(re.search(rf"^\s*(event|-)\s*:?\s*\[?.*\b{re.escape(event)}(?![.\w])", text, re.MULTILINE)) and (
        "product: watchbill" in text or "service: self" in text
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)
        yield ""


def _cell(text: str) -> str:
    return _prose(_flow(text)).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _flow(text: str) -> str:
    return " ".join(text.split())


def _prose(text: str) -> str:
    """Markdown for plain text: what looks like a tag would vanish."""
    return text.replace("<", "&lt;").replace("``", "`")


def _summary(make: Callable[[], Iterable[str]]) -> str:
    text = (make.__doc__ or "").strip().rstrip(".")
    return text[0].lower() + text[1:]


PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "api": api,
    "checks": checks,
    "cli": cli,
    "configuration": configuration,
    "events": events,
    "notifiers": notifiers,
    "parsers": parsers,
    "permissions": permissions,
    "rules": rules,
}

if __name__ == "__main__":
    main()
