"""docs/reference/*.md are what the code gives."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
_SPEC = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)
MADE = reference.pages()


@pytest.mark.parametrize("name", MADE)
def test_page_is_current(name):
    """A page that is not what the code gives is mended by `make docs`."""
    page = DOCS / "reference" / name
    assert page.exists(), "run: make docs"
    assert page.read_text("utf-8") == MADE[name], "run: make docs"


def test_no_page_is_left_over():
    """What is no longer made is no longer there."""
    assert {path.name for path in (DOCS / "reference").glob("*.md")} == set(MADE)


def test_no_page_names_this_machine():
    """Pages are the same wherever they are made."""
    root = str(DOCS.parent)
    assert [name for name, text in MADE.items() if root in text or str(Path.home()) in text] == []


def test_troubles_are_explained():
    """Whoever operates can read what each event about Watchbill's own health asks for."""
    told = (DOCS / "operate.md").read_text("utf-8")
    families = re.findall(r"`((?:source|storage|ledger|process|delivery)\.[a-z_]+)`", MADE["events.md"])
    assert [name for name in set(families) if f"`{name}`" not in told] == []
