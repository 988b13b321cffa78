"""Makes the tests' own modules importable (tests are no package), and what several of them use."""

import sys
from pathlib import Path

import pytest

from watchbill.engine.detect import literals

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["at once", "fast", "fast without Hyperscan"])
def engine(request, monkeypatch):
    """What looks for literals: what is there at once, or what takes over when it has paid."""
    if request.param != "at once":
        monkeypatch.setattr(literals, "_PAYS", 0)
        monkeypatch.setattr(literals, "HAS_HYPERSCAN", literals.HAS_HYPERSCAN and request.param == "fast")
