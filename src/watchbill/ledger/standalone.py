"""Writes the verifier as one file: the very code of this package, module after module, in the order in which it is needed.

The file starts a small importer that finds the modules in the file itself; nothing else is generated. Auditors can read
it from the top before they run it, and compare each part with the published source.
"""

from __future__ import annotations

import ast
import sys
from importlib.resources import files
from pathlib import Path

_MAIN = "watchbill.cli.verify"
_FUTURE = "from __future__ import annotations\n"
_MARK = "# " + "=" * 12 + " module: "
_HEAD = '''#!/usr/bin/env python3
"""Watchbill's verifier in one file. It needs Python 3.11 or newer and the package "cryptography", and nothing else:
no network, no database, no other part of Watchbill.

    python3 watchbill-verify.py BUNDLE --root-fpr FINGERPRINT [--anchors DIR] [--json]

Below stand the modules of Watchbill that verifying needs, unchanged but for one line ("from __future__ import
annotations", which must stand at a file's beginning and stands here for all of them). The few lines before them let
them import each other from this file. docs/ledger-format.md says what they check; you can write your own from it.
"""

from __future__ import annotations

import __future__
import importlib.abc
import importlib.util
import sys
from pathlib import Path

_MARK = {mark!r}
_MAIN = {main!r}


class _Modules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules of this package in this file, and nowhere else."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.sources: dict[str, str] = {{}}
        name, start, lines = "", 0, Path(file).read_text("utf-8").splitlines(keepends=True)
        for number, line in enumerate([*lines, _MARK]):
            if line.startswith(_MARK):
                if name:  # blank lines before it, so that errors name the lines of this file
                    self.sources[name] = "\\n" * start + "".join(lines[start:number])
                name, start = line[len(_MARK) :].strip(), number + 1
        self.packages = {{name.rpartition(".")[0] for name in self.sources}} | {{"watchbill"}}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "watchbill":
            return None
        if name not in self.sources and name not in self.packages:
            raise ImportError(f"{{name}} is not part of the verifier")
        return importlib.util.spec_from_loader(name, self, is_package=name in self.packages)

    def get_source(self, name):
        return self.sources.get(name, "")

    def is_package(self, name):
        return name in self.packages

    def get_code(self, name):
        flags = __future__.annotations.compiler_flag
        return compile(self.get_source(name), self.file, "exec", flags, dont_inherit=True)


if __name__ == "__main__":
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "watchbill"]:
        del sys.modules[loaded]
    sys.meta_path.insert(0, _Modules(str(Path(__file__).resolve())))
    from watchbill.cli.verify import main

    sys.exit(main())
'''


def modules() -> list[str]:
    """Return the modules that verifying needs, each after those that it imports."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        found = _imports(name)
        for other in found:
            if other != name:
                visit(other)
        if name not in order:
            order.append(name)

    visit(_MAIN)
    return order


def source() -> str:
    """Return the verifier's text."""
    head = _HEAD.format(mark=_MARK, main=_MAIN)
    parts = [f"\n\n{_MARK}{name}\n{_read(name).replace(_FUTURE, '', 1)}" for name in modules()]
    return head + "".join(parts)


def _read(name: str) -> str:
    """Return a module's own text."""
    _, *folders, last = name.split(".")
    return files("watchbill").joinpath(*folders, f"{last}.py").read_text("utf-8")


def _is_module(name: str) -> bool:
    _, *folders = name.split(".")
    return bool(folders) and files("watchbill").joinpath(*folders[:-1], f"{folders[-1]}.py").is_file()


def _imports(name: str) -> list[str]:
    """Return the modules of this package that a module imports when it is loaded; what a function imports when it is
    called (writing to a token, say) is not for verifying.
    """
    found: list[str] = []
    for node in ast.parse(_read(name)).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "watchbill":
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [one if _is_module(one) else node.module for one in inside]
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(source(), "utf-8")
