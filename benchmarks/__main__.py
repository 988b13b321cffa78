"""Run all benchmarks, or the ones that are named: ``python -m benchmarks [name …]``. Figures go to standard output.

Each has a process of its own, so that none works in the memory that another has used. Only ratios within one run count: machines, and hours on one machine, differ by a factor of four.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import benchmarks


def main() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    for name in sys.argv[1:] or names:
        print(f"\n== {name}", flush=True)
        run = f"from benchmarks import {name}; {name}.main()"
        subprocess.run([sys.executable, "-c", run], check=True)


if __name__ == "__main__":
    main()
