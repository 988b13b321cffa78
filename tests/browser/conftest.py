"""A real Chromium before a real server: the console as a person meets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ports import free_port

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))  # the company of the pages' tests

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
#: Makes an installation in a process of its own: this one may serve another.
_SEED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from watchbill.core.paths import DataDir
from watchbill.state import migrate, setup
data = DataDir(sys.argv[1])
setup(data)
migrate()
import company
company.prepare(data)
company.receive(data, Path(sys.argv[1]), company.lines(company.now()))
company.afterwards(data)
"""
#: One more attacker, the whole way; run while pages are open.
_ATTACK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from watchbill.core.paths import DataDir
from watchbill.state import setup
data = DataDir(sys.argv[1])
setup(data)
import company
at = company.now()
company.receive(data, Path(sys.argv[1]), [
    f"<38>1 {at:%Y-%m-%dT%H:%M:%S}Z mail-01 sshd 9 - - Failed password for root from 192.0.2.200 port {port} ssh2"
    for port in range(4000, 4030)
])
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium; CI must have it, elsewhere its absence is said with the mend.

    A module's and not the session's: while it is open an event loop runs in this process, which other tests must not
    meet.
    """
    from playwright.sync_api import expect, sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        told = "no Chromium here; install it with: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    expect.set_options(timeout=60_000)  # a bound and no wait: the machine may be at other work
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), timeout=180_000)
        yield browser
        browser.close()


class Server:
    """An installation with its console on a port of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"

    def run(self, program: str) -> None:
        place = str(Path(__file__).parents[1] / "web")
        environment = os.environ | {"WATCHBILL_DATA": str(self.folder)}
        subprocess.run(
            [sys.executable, "-c", program, str(self.folder), place], check=True, env=environment, timeout=300
        )

    def attack(self) -> None:
        self.run(_ATTACK)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The web process as `watchbill web` starts it, over the company's data."""
    port = free_port()
    found = Server(tmp_path_factory.mktemp("installation"), port)
    found.run(_SEED)
    environment = os.environ | {"WATCHBILL_CONSOLE_PORT": str(port)}
    command = [sys.executable, "-m", "watchbill", "web", "--data", str(found.folder)]
    with (found.folder / "web.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(500):
            try:
                urllib.request.urlopen(f"{found.url}/account/login/", timeout=60).close()  # noqa: S310 - our own address
                break
            except OSError:
                time.sleep(0.2)
        yield found
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def signed_in(chromium, server):
    """The session of an analyst who came in by the form."""
    from company import PASSWORD

    context = chromium.new_context(base_url=server.url)
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto("/account/login/")
    page.get_by_label("Email").fill("analyst@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{server.url}/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(chromium, server, signed_in):
    """A page of the analyst's; what the browser complains of fails the test."""
    context = chromium.new_context(
        base_url=server.url, storage_state=signed_in, viewport={"width": 1440, "height": 900}
    )
    context.set_default_timeout(60_000)
    found, complaints = context.new_page(), []
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield found
    context.close()
    assert not complaints
