"""``python -m watchbill`` is the ``watchbill`` command."""

from watchbill.cli import main

main()
