"""Links between the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    """The documents of the repository, whether or not they are committed yet."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def anchors(path: Path) -> set[str]:
    """A heading's anchor as forges make it: lower case, spaces to hyphens, most punctuation gone."""
    heads = re.findall(r"^#+ +(.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_internal_links_resolve(path):
    """Each link to a file or a heading of ours finds it."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", path.read_text("utf-8"))):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_documents_name_no_machine():
    """No document holds a path of the machine that it was written on."""
    told = [path for path in documents() if str(ROOT) in path.read_text("utf-8")]
    assert told == []
