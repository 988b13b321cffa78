"""The command line, one module a topic. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``watchbill``; ``verify`` goes without everything that the auditor's machine may not have."""
    if sys.argv[1:2] == ["verify"]:
        from watchbill.cli.verify import main as verify

        sys.exit(verify(sys.argv[2:]))
    from watchbill.cli.root import watchbill

    watchbill()
