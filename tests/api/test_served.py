"""The API behind a real server: the documentation's commands, streams, and a verification beside other requests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from watchbill.ledger import verify_bundle

GUIDE = Path(__file__).parents[2] / "docs" / "api.md"
COMMANDS = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def http(served):
    """A client with the administrator's token."""
    address, token, _ = served
    with httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        yield client


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda text: re.search(r"/api/v1/(\w+)", text)[1])
def test_the_guides_commands_work(served, tmp_path, commands):
    """Each block of docs/api.md runs as it stands."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not on this machine")
    address, token, _ = served
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=tmp_path, capture_output=True, text=True, timeout=400,
        env={**os.environ, "WATCHBILL_URL": address, "WATCHBILL_TOKEN": token, "PATH": programs}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert done.stdout or (tmp_path / "bundle.zip").exists()


def test_a_bundle_is_streamed_and_leaves_no_file(http, served, tmp_path):
    """It verifies, has the size that was said, and its temporary file is gone."""
    *_, data = served
    before = set(data.run.iterdir())
    answer = http.post("/ledger/export", json={"range": "last 7d"})
    assert len(answer.content) == int(answer.headers["Content-Length"])
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(answer.content)
    assert verify_bundle(bundle).ok
    deadline = time.monotonic() + 60  # the server lets go of it once the last byte is on its way
    while set(data.run.iterdir()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(data.run.iterdir()) == before


def test_every_event_is_exported(http):
    """As many lines as the search counts."""
    total = http.get("/events", params={"range": "all", "limit": 1}).json()["total"]
    with http.stream("GET", "/events/export", params={"range": "all"}) as answer:
        assert sum(1 for _ in answer.iter_lines()) == total > 100


def test_the_ledger_is_verified(http):
    """A small ledger's verdict comes with the answer; asking again gives the same."""
    state = http.post("/ledger/verify").json()
    deadline = time.monotonic() + 100
    while state["running"] and time.monotonic() < deadline:
        time.sleep(0.2)
        state = http.get("/ledger/verify").json()
    assert state["verified"]["ok"], state
    assert state["failure"] == ""
    assert http.get("/ledger").json()["verified"] == state["verified"]


def test_a_body_without_its_length_is_refused(http):
    """Chunked bodies have no bound that could be held, so they are not read."""
    answer = http.post(
        "/alerts/acknowledge", content=iter([b'{"ids": ["A-1"]}']), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 411


def test_the_reference_page_is_under_the_strict_policy(http):
    """Its stylesheet is ours and is there."""
    page = http.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    style = re.search(r'href="(/static[^"]+)"', page.text)[1]
    assert http.get(str(http.base_url.copy_with(path=style))).status_code == 200
