"""The command line, one module a topic. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run ``watchbill``; ``verify`` goes without everything that the auditor's machine may not have."""
    try:
        if sys.argv[1:2] == ["verify"]:
            from watchbill.cli.verify import main as verify

            code = verify(sys.argv[2:])
            sys.stdout.flush()
            sys.exit(code)
        from watchbill.cli.root import watchbill

        watchbill()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`… | head`); nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
