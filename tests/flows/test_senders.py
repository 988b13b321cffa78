"""Real senders over transports that encrypt or acknowledge, cut and restarted at will."""

from __future__ import annotations

import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from ports import free_port
from watchbill.core.clock import SystemClock
from watchbill.engine.collect.certificates import Authority
from watchbill.engine.collect.push import PushToken, digest_of, write_tokens
from watchbill.engine.collect.relp import RelpFramer

NAME = "logs.example.com"
QUEUE = 'action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="1"'
FRAME = re.compile(rb"(\d+) rsp \d+ 200 OK")


@pytest.fixture
def certificates(tmp_path):
    """Certificates as "watchbill receivers cert" makes them: the receivers' own and one for a sender."""
    now = SystemClock().now()
    authority = Authority(tmp_path / "data" / "keys" / "receivers")
    authority.create(now)
    authority.server([NAME, "127.0.0.1"], now)
    certificate, key, _ = authority.client("web-01.example.com", now)
    (tmp_path / "client.pem").write_bytes(certificate)
    (tmp_path / "client.key").write_bytes(key)
    return authority


def needs(module, package):
    """Skip where rsyslog lacks a module (in CI a skip counts as a failure)."""
    if not list(Path("/usr/lib").glob(f"*/rsyslog/{module}.so")):
        pytest.skip(f"rsyslog has no {module} (apt-get install {package})")


def numbered(path, count, start=0):
    with path.open("a") as handle:
        handle.write("".join(f"message number {number} of the test\n" for number in range(start, start + count)))


def all_stored(here, transport, count):
    """Whether so many lines of the test are in the ledger; rsyslogd tells of itself, too."""
    return here.reader.head() > count and len(numbers(here.stored(transport))) >= count


def numbers(raws):
    return [int(raw.split(b"number ")[1].split()[0]) for raw in raws if b" of the test" in raw]


@pytest.mark.parametrize("driver", ["ossl", "gtls"])
def test_rsyslog_over_tls(receiving, rsyslog, certificates, tmp_path, driver):
    """A real rsyslogd with either TLS library: every message once, in order, under the name of its certificate."""
    needs(f"lmnsd_{driver}", {"ossl": "rsyslog-openssl", "gtls": "rsyslog-gnutls"}[driver])
    lines = tmp_path / "lines.log"
    numbered(lines, 2_000)
    port = free_port()
    here = receiving(settings=f"[syslog]\ntls_port = {port}\n")
    here.start(ready="syslog-tls")
    certs = (
        f'defaultNetstreamDriverCAFile="{certificates.folder}/ca.pem" '
        f'defaultNetstreamDriverCertFile="{tmp_path}/client.pem" defaultNetstreamDriverKeyFile="{tmp_path}/client.key"'
    )
    tls = f'StreamDriver="{driver}" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="{NAME}"'
    action = f'action(type="omfwd" protocol="tcp" target="127.0.0.1" port="{port}" tcp_framing="octet-counted" {tls} {QUEUE})'
    rsyslog(action, lines, certs)
    here.until(lambda: all_stored(here, "syslog-tls", 2_000))
    assert numbers(here.stored("syslog-tls")) == list(range(2_000))
    here.until(lambda: here.state("syslog-tls:web-01.example.com") == "connected")
    assert here.end() == 0


def test_rsyslog_by_relp_inside_tls(receiving, rsyslog, certificates, tmp_path):
    """omrelp with certificates on both sides."""
    needs("omrelp", "rsyslog-relp")
    lines = tmp_path / "lines.log"
    numbered(lines, 500)
    port = free_port()
    here = receiving(settings=f"[syslog]\nrelp_port = {port}\nrelp_tls = true\n")
    here.start(ready="relp-tls")
    certs = (
        f'tls="on" tls.caCert="{certificates.folder}/ca.pem" tls.myCert="{tmp_path}/client.pem" '
        f'tls.myPrivKey="{tmp_path}/client.key" tls.authMode="name" tls.permittedPeer=["{NAME}"]'
    )
    rsyslog(f'module(load="omrelp")\naction(type="omrelp" target="127.0.0.1" port="{port}" {certs} {QUEUE})', lines)
    here.until(lambda: all_stored(here, "relp-tls", 500))
    assert Counter(numbers(here.stored("relp-tls"))) == Counter(range(500))
    assert here.end() == 0


class Wire(threading.Thread):
    """A proxy that can cut: it reads along which RELP records were answered."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.target = port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.acknowledged: list[bytes] = []
        self.open: list[socket.socket] = []
        self.ended = False

    def run(self) -> None:
        while not self.ended:
            try:
                sender, _ = self.server.accept()
            except OSError:
                return
            try:
                receiver = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # the receiver is away
                sender.close()
                continue
            self.open += [sender, receiver]
            sent: dict[int, bytes] = {}
            for pair in ((sender, receiver, True), (receiver, sender, False)):
                threading.Thread(target=self.pass_on, args=(*pair, sent), daemon=True).start()

    def pass_on(self, source, sink, forth, sent) -> None:
        framer = RelpFramer()
        try:
            while data := source.recv(65_536):
                for frame in framer.feed(data):
                    if forth and frame.command == b"syslog":
                        sent[frame.txnr] = frame.data
                    elif not forth and frame.data.startswith(b"200 OK") and frame.txnr in sent:
                        self.acknowledged.append(sent.pop(frame.txnr))
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            one.close()

    def cut(self) -> None:
        for one in self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.open.clear()

    def end(self) -> None:
        self.ended = True
        self.cut()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


def test_relp_loses_nothing(receiving, rsyslog, tmp_path):
    """Lines grow while the receiver is killed, the wire cut and rsyslog itself stopped and started: whatever was
    answered on the wire is in the ledger, and in the end every line is.
    """
    needs("omrelp", "rsyslog-relp")
    chance = random.Random(7)
    lines = tmp_path / "lines.log"
    lines.touch()
    port = free_port()
    here = receiving(settings=f"[syslog]\nrelp_port = {port}\n")
    here.start(ready="relp")
    wire = Wire(port)
    wire.start()
    queue = (
        f'queue.type="LinkedList" queue.filename="relp" queue.saveOnShutdown="on" queue.dequeueBatchSize="64" {QUEUE}'
    )
    action = f'module(load="omrelp")\naction(type="omrelp" target="127.0.0.1" port="{wire.port}" timeout="3" {queue})'
    sender = rsyslog(action, lines)
    written = 0
    try:
        for act in ("cut", "kill", "stop sender", "cut", "kill"):
            before = here.reader.head()
            numbered(lines, 3_000, written)
            written += 3_000
            here.until(lambda before=before: here.reader.head() > before)
            time.sleep(chance.random() * 0.1)
            if act == "cut":
                wire.cut()
            elif act == "kill":
                here.end(signal.SIGKILL)
                assert not Counter(wire.acknowledged) - Counter(here.stored("relp"))
                here.start(ready="relp")
            else:
                # Quietly: rsyslog itself forgets what is not answered when it is stopped.
                here.until(lambda upto=written: set(numbers(here.stored("relp"))) == set(range(upto)))
                sender.terminate()
                sender.wait(60)
                sender = rsyslog(action, lines)
        here.until(lambda: set(numbers(here.stored("relp"))) == set(range(written)), 100)
    finally:
        wire.end()
    assert not Counter(wire.acknowledged) - Counter(here.stored("relp"))
    assert here.end() == 0


@pytest.mark.parametrize("way", ["hec", "stream"])
def test_push_loses_nothing(receiving, tmp_path, way):
    """Batches are sent again until they are answered, while the receiver is killed: whatever was answered is in the
    ledger, and a numbered stream is there exactly once.
    """
    port = free_port()
    here = receiving(settings=f"[push]\nport = {port}\n")
    write_tokens(here.data.receivers / "tokens.json", [PushToken(1, "web-01", digest_of("wbp_x"))])
    transport = {"stream": "send"}.get(way, way)
    acknowledged: list[bytes] = []
    stop = threading.Event()

    def send() -> None:
        number = 1
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer wbp_x"}, trust_env=False
        ) as client:
            while not stop.is_set():
                path, content_type, body, records = BATCHES[way](number)
                try:
                    answer = client.post(path, content=body, headers={"Content-Type": content_type}, timeout=60)
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                assert answer.status_code == 200, answer.text
                acknowledged.extend(records)
                number += len(records)

    here.start(ready="push")
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(2):
            before = len(acknowledged)
            here.until(lambda before=before: len(acknowledged) > before + 200)
            here.end(signal.SIGKILL)
            assert not Counter(acknowledged) - Counter(here.stored(transport))
            here.start(ready="push")
    finally:
        stop.set()
        sender.join()
    stored = here.stored(transport)
    assert not Counter(acknowledged) - Counter(stored)
    if way == "stream":
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) == len(set(stored))
    assert here.end() == 0


def _hec(number):
    records = [b'{"event":"record %d"}' % n for n in range(number, number + 50)]
    return "/services/collector", "application/json", b"\n".join(records), records


def _stream(number):
    records = [b'{"record":%d}' % n for n in range(number, number + 50)]
    return f"/ingest?stream=app&sequence={number}", "application/x-ndjson", b"\n".join(records), records


BATCHES = {"hec": _hec, "stream": _stream}
