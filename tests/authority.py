"""A time stamping authority of our own: openssl's, with keys made for one test run."""

from __future__ import annotations

import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

_CONF = """
[tsa]
default_tsa = t
[t]
dir = {dir}
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.55555.1
digests = sha256
accuracy = secs:1
ordering = yes
ess_cert_id_chain = no
ess_cert_id_alg = {ess}
"""


def run(*command: str, **kinds) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *command], capture_output=True, check=True, **kinds)


class Authority:
    """Makes a root, a certificate for time stamps, and answers requests."""

    def __init__(
        self, path: Path, key: tuple[str, ...] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ess: str = "sha256"
    ) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        kind = ["-newkey", *key]
        run("req", "-x509", *kind, "-nodes", "-keyout", f"{path}/root.key", "-out", f"{path}/root.pem", "-days", "30",
            "-subj", "/CN=Test Root", "-addext", "keyUsage=critical,keyCertSign", "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip
        self.sign("tsa", kind, "extendedKeyUsage=critical,timeStamping")
        (path / "serial").write_text("01\n")
        (path / "conf").write_text(_CONF.format(dir=path, ess=ess))

    @property
    def root(self) -> Path:
        return self.path / "root.pem"

    def sign(self, name: str, kind: list[str], extension: str) -> None:
        path = self.path
        run(
            "req",
            *kind,
            "-nodes",
            "-keyout",
            f"{path}/{name}.key",
            "-out",
            f"{path}/{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        (path / "ext").write_text(f"{extension}\nkeyUsage=critical,digitalSignature\n")
        run("x509", "-req", "-in", f"{path}/{name}.csr", "-CA", f"{path}/root.pem", "-CAkey", f"{path}/root.key",
            "-CAcreateserial", "-out", f"{path}/{name}.pem", "-days", "20", "-extfile", f"{path}/ext")  # fmt: skip

    def answer(self, request: bytes) -> bytes:
        (self.path / "query").write_bytes(request)
        run(
            "ts",
            "-reply",
            "-config",
            f"{self.path}/conf",
            "-queryfile",
            f"{self.path}/query",
            "-out",
            f"{self.path}/reply",
        )
        return (self.path / "reply").read_bytes()

    def serve(self) -> ThreadingHTTPServer:
        """Answer over HTTP on loopback until ``shutdown``."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        return server
