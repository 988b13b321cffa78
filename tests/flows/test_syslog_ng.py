"""A real syslog-ng that pushes over HTTPS, while the receiver is killed and it is stopped itself: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from ports import free_port
from watchbill.core.clock import SystemClock
from watchbill.engine.collect.certificates import Authority
from watchbill.engine.collect.push import PushToken, digest_of, write_tokens

#: Where tests/run.sh unpacks it: Debian does not install it beside rsyslog.
UNPACKED = Path("/usr/local/lib/watchbill-tests/syslog-ng")
#: As docs/connect-a-source.md has it, with a file as the source.
CONFIG = """@version: 3.35
options {{ time-reopen(1); stats-freq(0); }};
source lines {{ file("{lines}" flags(no-parse) follow-freq(0.1)); }};
destination watchbill {{ http(
    url("https://127.0.0.1:{port}/ingest?host=web-01") method("POST") headers("Authorization: Bearer wbp_x")
    body("${{MESSAGE}}") delimiter("\\n") batch-lines(100) batch-timeout(200) timeout(10) retries(1000000)
    tls(ca-file("{ca}")) persist-name("watchbill")
    disk-buffer(disk-buf-size(8388608) mem-buf-size(1048576) reliable(yes) dir("{folder}"))); }};
log {{ source(lines); destination(watchbill); flags(flow-control); }};
"""


@pytest.fixture
def syslog_ng(tmp_path):
    """Start a real syslog-ng with a configuration; ended after the test."""
    roots = [root for root in (Path("/"), UNPACKED) if list(root.glob("usr/lib/syslog-ng/*/libhttp.so"))]
    if not roots:
        why = "syslog-ng with its http() is not there (tests/run.sh unpacks it)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    (modules,) = roots[0].glob("usr/lib/syslog-ng/[0-9]*")
    program, environment = roots[0] / "usr/sbin/syslog-ng", os.environ | {"LD_LIBRARY_PATH": str(modules.parent)}
    folder = tmp_path / "syslog-ng"
    folder.mkdir()
    running = []

    def start(config: str) -> subprocess.Popen:
        (folder / "conf").write_text(config)
        command = [
            program, "--foreground", "--no-caps", f"--module-path={modules}", "-f", folder / "conf", "-R", folder / "persist", "-p", folder / "pid",
            "-c", folder / "control",
        ]  # fmt: skip
        with (folder / "log").open("ab") as log:
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return running[-1]

    yield folder, start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(60)


def test_syslog_ng_by_https_loses_nothing(receiving, syslog_ng, tmp_path):
    """With its disk buffer: every line is stored, whoever of the two is killed or stopped meanwhile."""
    folder, start = syslog_ng
    authority = Authority(tmp_path / "data" / "keys" / "receivers")
    now = SystemClock().now()
    authority.create(now)
    authority.server(["127.0.0.1"], now)
    port = free_port()
    here = receiving(settings=f"[push]\nport = {port}\ntls = true\n")
    write_tokens(here.data.receivers / "tokens.json", [PushToken(1, "web-01", digest_of("wbp_x"))])
    lines = tmp_path / "lines.log"
    lines.touch()
    config = CONFIG.format(lines=lines, port=port, ca=authority.folder / "ca.pem", folder=folder)
    here.start(ready="push")
    sender = start(config)
    written = 0

    def stored():
        return Counter(int(raw.split()[2]) for raw in here.stored("ndjson"))

    for act in ("kill", "stop sender", "kill"):
        before = here.reader.head()
        with lines.open("a") as file:
            file.writelines(f"message number {number} of the test\n" for number in range(written, written + 2_000))
        written += 2_000
        here.until(lambda before=before: here.reader.head() > before)
        if act == "kill":
            here.end(signal.SIGKILL)
            time.sleep(0.5)
            here.start(ready="push")
        else:
            sender.terminate()
            sender.wait(60)
            sender = start(config)
    here.until(lambda: set(stored()) == set(range(written)), 100)
    assert here.end() == 0
