"""What all tests may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party logs with known answers; a user's checkout has none of it."""
    if not SHARED.is_dir():
        pytest.skip("the third-party test data (../shared/data) is not on this machine")
    return SHARED
