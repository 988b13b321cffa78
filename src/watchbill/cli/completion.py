"""``watchbill completion``: what the shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: watchbill completion bash > ~/.local/share/bash-completion/completions/watchbill
    """
    from watchbill.cli.root import watchbill

    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(made(watchbill, {}, "watchbill", "_WATCHBILL_COMPLETE").source())
