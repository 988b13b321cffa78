"""Run all benchmarks, or the ones that are named: ``python -m benchmarks [name …]``. Figures go to standard output.

Only ratios within one run count: machines, and hours on one machine, differ by a factor of four.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    for name in sys.argv[1:] or names:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
