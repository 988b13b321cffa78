"""What the command line says of itself."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from watchbill.cli.root import COMMANDS, watchbill


def paths(command: click.Command, path: tuple[str, ...] = ()):
    """Every command by its words."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if name != "verify" or path:  # that one must not need click; its help is argparse's
                yield from paths(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize("path", list(paths(watchbill)), ids=lambda path: " ".join(path) or "watchbill")
def test_help(snapshot, path):
    """Each command's help, word for word: a change of it is seen by whoever changes it."""
    done = CliRunner().invoke(watchbill, [*path, "--help"], prog_name="watchbill", terminal_width=100)
    assert done.exit_code == 0
    assert done.output == snapshot


def test_the_overview_has_every_command():
    """The short lines of the overview name what there is, and each can be loaded."""
    overview = CliRunner().invoke(watchbill, ["--help"]).output
    for name in COMMANDS:
        assert f"  {name} " in overview
        assert watchbill.get_command(click.Context(watchbill), name) is not None


def test_verify_says_what_it_wants(capsys):
    """The verifier's help comes without click."""
    from watchbill.cli.verify import main

    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("BUNDLE", "--data", "--root-fpr", "--json"))
