"""Receiving by TCP, TLS, RELP, HTTP push, UDP and file, beside bare receive loops of the same run: lines per second and
CPU of the process.

python benchmarks/receive.py [LINES]
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from watchbill.core.clock import SystemClock
from watchbill.core.config import CollectConfig, Config, FileConfig, PushConfig, SyslogConfig
from watchbill.core.paths import DataDir
from watchbill.engine.collect.certificates import Authority
from watchbill.engine.collect.push import PushToken, digest_of, write_tokens
from watchbill.flows.receive import run
from watchbill.ledger import Reader

LINE = b"<38>Mar  4 10:00:00 web-01 sshd[%07d]: Failed password for root from 192.0.2.7 port 4242 ssh2"
CHUNK = 64 << 10


def lines(count: int) -> list[bytes]:
    return [LINE % number for number in range(count)]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def send_tcp(port: int, payload: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(payload)


def send_tls(port: int, payload: bytes, folder: str) -> None:
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.load_cert_chain(f"{folder}/client.pem")
    plain = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(payload)


def send_relp(port: int, records: list[bytes]) -> None:
    """All frames at once; the answers are read along."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        left = len(records) + 4  # lines: the answer to "open" has four
        frames = [b"1 open 14 relp_version=0\n"]
        frames += [b"%d syslog %d %b\n" % (number, len(raw), raw) for number, raw in enumerate(records, 2)]
        sender = threading.Thread(target=sock.sendall, args=(b"".join(frames),))
        sender.start()
        while left > 0:
            left -= sock.recv(CHUNK).count(b"\n")
        sender.join()


def send_push(port: int, records: list[bytes]) -> None:
    """One request of 1,000 lines after the other on four connections, as collectors do."""

    def send(batches: list[bytes]) -> None:
        with httpx.Client(headers={"Authorization": "Bearer wbp_x"}, trust_env=False) as client:
            for body in batches:
                assert client.post(f"http://127.0.0.1:{port}/ingest", content=body).status_code == 200

    bodies = [b"\n".join(records[at : at + 1_000]) for at in range(0, len(records), 1_000)]
    threads = [threading.Thread(target=send, args=(bodies[first::4],)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def certificates(data: DataDir) -> str:
    """A server's certificate, and a client's with its key in one file."""
    authority, now = Authority(data.receivers), SystemClock().now()
    authority.create(now)
    authority.server(["localhost"], now)
    certificate, key, _ = authority.client("bench", now)
    (authority.folder / "client.pem").write_bytes(certificate + key)
    return str(authority.folder)


def bare_tcp(payload: bytes, count: int) -> float:
    """Lines per second of a loop that only receives and splits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=send_tcp, args=(server.getsockname()[1], payload))
        sender.start()
        peer, _ = server.accept()
        begun, got, rest = time.perf_counter(), 0, b""
        while data := peer.recv(CHUNK):
            parts = (rest + data).split(b"\n")
            rest = parts.pop()
            got += len(parts)
        took = time.perf_counter() - begun
        sender.join()
        peer.close()
    assert got == count
    return count / took


def bare_udp(records: list[bytes]) -> float:
    """Datagrams per second of a loop that only receives; what the kernel dropped does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.5)
        sender = multiprocessing.Process(target=send_udp, args=(sock.getsockname()[1], records, 0.0))
        sender.start()
        got, begun, last = 0, 0.0, 0.0
        try:
            while True:
                sock.recv(65_536)
                last = time.perf_counter()
                begun = begun or last
                got += 1
        except TimeoutError:
            pass
        sender.join()
    return got / (last - begun)


def send_udp(port: int, records: list[bytes], pause: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number, record in enumerate(records):
            sock.sendto(record, ("127.0.0.1", port))
            if pause and number % 100 == 99:
                time.sleep(pause)


class Receiving:
    """The receive process, as a process, with its own CPU figures."""

    def __init__(self, root: Path, config: Config) -> None:
        self.data = DataDir(root).create()
        self.process = multiprocessing.Process(target=self._run, args=(config,))
        self.process.start()
        self.reader = Reader(self.data.ledger, 0)
        syslog = config.syslog
        ports = [syslog.tcp_port, syslog.udp_port, syslog.tls_port, syslog.relp_port, config.push.port]
        while any(ports) and not (self.data.run / "collect-status.json").exists():
            time.sleep(0.05)
        time.sleep(0.3)

    def _run(self, config: Config) -> None:
        import signal

        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        run(self.data, config, SystemClock(), stop)
        used = resource.getrusage(resource.RUSAGE_SELF)
        (self.data.root / "cpu").write_text(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")

    def wait_for(self, head: int, patience: float = 2.0) -> float:
        """Seconds until the ledger's durable head is there, or stands still."""
        begun, last, moved = time.perf_counter(), -1, time.perf_counter()
        while (now := self.reader.head()) < head and time.perf_counter() - moved < patience:
            if now != last:
                last, moved = now, time.perf_counter()
            time.sleep(0.005)
        return (time.perf_counter() if now >= head else moved) - begun

    def end(self) -> tuple[float, float]:
        """CPU seconds and peak memory in MiB."""
        self.process.terminate()
        self.process.join()
        cpu, memory = (self.data.root / "cpu").read_text().split()
        return float(cpu), int(memory) / 1024


def main(count: int = 300_000) -> None:
    records = lines(count)
    payload = b"\n".join(records) + b"\n"
    quiet = {"collect": CollectConfig(discover=False)}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bare = bare_tcp(payload, count)
        port = free_port(socket.SOCK_STREAM)
        tcp = Receiving(root / "tcp", Config(syslog=SyslogConfig(tcp_port=port, udp_port=0), **quiet))
        sender = multiprocessing.Process(target=send_tcp, args=(port, payload))
        sender.start()
        took = tcp.wait_for(count)
        sender.join()
        cpu, memory = tcp.end()
        report("TCP", count, took, cpu, memory, bare)

        few = records[: count // 3]
        for name, config, send in (
            ("TLS", lambda port: {"syslog": SyslogConfig(tcp_port=0, udp_port=0, tls_port=port)}, send_tls),
            ("RELP", lambda port: {"syslog": SyslogConfig(tcp_port=0, udp_port=0, relp_port=port)}, send_relp),
            (
                "push",
                lambda port: {"syslog": SyslogConfig(tcp_port=0, udp_port=0), "push": PushConfig(port=port)},
                send_push,
            ),
        ):
            data, port = DataDir(root / name).create(), free_port(socket.SOCK_STREAM)
            arguments = (b"\n".join(few) + b"\n", certificates(data)) if name == "TLS" else (few,)
            write_tokens(data.receivers / "tokens.json", [PushToken(1, "bench", digest_of("wbp_x"))])
            here = Receiving(root / name, Config(**config(port), **quiet))
            sender = multiprocessing.Process(target=send, args=(port, *arguments))
            sender.start()
            took = here.wait_for(len(few), patience=20)
            sender.join()
            cpu, memory = here.end()
            report(name, len(few), took, cpu, memory, bare)

        bare = bare_udp(few)
        port = free_port(socket.SOCK_DGRAM)
        udp = Receiving(root / "udp", Config(syslog=SyslogConfig(tcp_port=0, udp_port=port), **quiet))
        sender = multiprocessing.Process(target=send_udp, args=(port, few, 0.0))
        sender.start()
        took = udp.wait_for(len(few))
        sender.join()
        stored = udp.reader.head()
        cpu, memory = udp.end()
        report("UDP", stored, took, cpu, memory, bare)
        print(f"     {len(few)} datagrams sent without pause, {stored} records in the ledger")

        log = root / "app.log"
        log.write_bytes(payload)
        begun = time.perf_counter()
        bare = count / bare_file(log, begun)
        follow = CollectConfig(discover=False, files=(FileConfig(str(log)),))
        files = Receiving(root / "file", Config(syslog=SyslogConfig(tcp_port=0, udp_port=0), collect=follow))
        took = 0.3 + files.wait_for(count)
        cpu, memory = files.end()
        report("file", count, took, cpu, memory, bare)


def bare_file(path: Path, begun: float) -> float:
    with path.open("rb") as log:
        while data := log.read(CHUNK):
            data.split(b"\n")
    return time.perf_counter() - begun


def report(name: str, count: int, took: float, cpu: float, memory: float, bare: float) -> None:
    print(
        f"{name:5}{count / took:>10,.0f} lines/s durable, {count / cpu:>10,.0f} lines per CPU second, "
        f"peak {memory:.0f} MiB; a bare loop takes {bare:,.0f}/s ({bare * took / count:.1f}x)"
    )


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, records of {len(LINE % 0)} bytes")
    main(*map(int, sys.argv[1:2]))
