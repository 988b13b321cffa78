"""The root of the command line: topics are found by name and imported when they are asked for."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from watchbill.core.errors import WatchbillError

#: command → (module:attribute, one line of help). Help stands here so that ``watchbill --help`` imports nothing.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("watchbill.cli.up:up", "Start everything; prints the console's address."),
    "demo": ("watchbill.cli.demo:demo", "Play a month of a fictional company, then start everything."),
    "send": ("watchbill.cli.send:send", "Send files to another installation, exactly once."),
    "replay": ("watchbill.cli.replay:replay", "Send recorded logs through the same door as live ones."),
    "detect": ("watchbill.cli.detect:detect", "Run rules over recorded logs, offline."),
    "discover": ("watchbill.cli.discover:discover", "Say what this machine has to watch."),
    "alerts": ("watchbill.cli.alerts:alerts", "List, show and act on alerts."),
    "suppressions": ("watchbill.cli.suppressions:suppressions", "What is expected, until when and why."),
    "events": ("watchbill.cli.events:events", "Search events."),
    "assets": ("watchbill.cli.assets:assets", "The inventory: criticality, owner, expected sources."),
    "sources": ("watchbill.cli.sources:sources", "What delivers logs, and how well."),
    "receivers": ("watchbill.cli.receivers:receivers", "What listens, who may send, with which certificates."),
    "controls": ("watchbill.cli.controls:controls", "The controls of ISO/IEC 27001 and their state."),
    "rules": ("watchbill.cli.rules:rules", "List, show, add, lint and test detection rules."),
    "ledger": ("watchbill.cli.ledger:ledger", "State and contents of the ledger."),
    "retention": ("watchbill.cli.retention:retention", "How long records are kept, what is held, what was deleted."),
    "erasures": ("watchbill.cli.erasures:erasures", "Erase a person's records, by two people."),
    "copies": ("watchbill.cli.copies:copies", "Second copies of the ledger."),
    "channels": ("watchbill.cli.channels:channels", "Where notifications go, and what was delivered."),
    "users": ("watchbill.cli.users:users", "People, roles and API tokens."),
    "trail": ("watchbill.cli.trail:trail", "Who did what, when."),
    "export": ("watchbill.cli.export:export", "Write a bundle of evidence for a period."),
    "prove": ("watchbill.cli.export:prove", "Write one record with its proof."),
    "verify": ("", "Verify the ledger, or a bundle, offline."),
    "keys": ("watchbill.cli.keys:keys", "The ledger's keys: list, rotate, keep the root offline."),
    "witness": ("watchbill.cli.witness:witness", "Cosign the ledgers of other machines (on another host)."),
    "check": ("watchbill.cli.check:check", "Run the checks of controls now."),
    "prepare": ("watchbill.cli.processes:prepare", "Create or migrate an installation without starting it."),
    "receive": ("watchbill.cli.processes:receive", "Run the receiving process alone."),
    "engine": ("watchbill.cli.processes:engine", "Run the judging process alone."),
    "web": ("watchbill.cli.processes:web", "Run the console and API process alone."),
    "worker": ("watchbill.cli.processes:worker", "Run the timers' process alone."),
    "maintain": ("watchbill.cli.processes:maintain", "Compact the lake and pack the ledger now."),
    "completion": ("watchbill.cli.completion:completion", "Print the shell's completion script."),
}


class Topics(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        target = COMMANDS.get(cmd_name, ("", ""))[0]
        if cmd_name == "verify":
            return _verify
        if not target:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """A word that is nearly a command is answered with that command's name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Our own errors are sentences for people: no traceback, exit code 2."""
        try:
            return super().invoke(ctx)
        except WatchbillError as error:
            click.echo(f"watchbill: {error}", err=True)
            sys.exit(2)


@click.command(name="verify", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _verify(arguments: tuple[str, ...]) -> None:
    """Verify the ledger, or a bundle, offline."""
    from watchbill.cli.verify import main

    sys.exit(main(list(arguments)))


@click.group(cls=Topics, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="watchbill")
def watchbill() -> None:
    """Watchbill watches an organisation's security all the time, and can prove it.

    Exit codes: 0 done, 1 done and something was found, 2 not done.
    """
