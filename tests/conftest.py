"""What all tests may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party logs with known answers; a user's checkout has none of it."""
    if not SHARED.is_dir():
        pytest.skip("the third-party test data (../shared/data) is not on this machine")
    return SHARED


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    """In CI a test that was skipped counts as one that failed: nothing that should have run is left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    if os.environ.get("CI") and skipped:
        terminalreporter.section("skipped in CI, which counts as a failure", red=True)
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Give a run with skipped tests the exit code of a failed one, in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
