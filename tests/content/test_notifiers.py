"""Notifiers against a real SMTP server and a real HTTP server on loopback."""

import email
import email.policy
import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from watchbill.content.notifiers.webhook import signature
from watchbill.core.errors import DeliveryError
from watchbill.engine.catalog import Catalog
from watchbill.sdk import Message

CATALOG = Catalog.load("watchbill.content", outside=False)
EMAIL = CATALOG.notifier("email")
WEBHOOK = CATALOG.notifier("webhook")
MESSAGE = Message(
    id="alert-7",
    subject="[critical] Zugriff auf db-01 – geprüft\r\nBcc: all@example.com",
    text="192.0.2.7 signed in to db-01.\n.\nAfter 6 failures.",
    severity="critical",
    url="https://watchbill.example.com/alerts/7",
    facts={"host": "db-01", "src_ip": ("192.0.2.7",), "count": 6},
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1, valid for this hour; (its file, a server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return cert_file, context


class Sink(Controller):
    """A real SMTP server on a port of the system's choice."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    """Keeps what arrives; answers what its address asks for."""

    def __init__(self):
        self.mails = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: ARG002, N802 - aiosmtpd's signature
        if address.startswith("answer-"):
            return f"{address[7:10]} 4.2.1 as you wish"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: ARG002, N802 - aiosmtpd's signature
        self.mails.append(
            (list(envelope.rcpt_tos), email.message_from_bytes(envelope.content, policy=email.policy.default))
        )
        return "250 2.0.0 kept as 4711"


def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and data.login == b"wb" and data.password == b"right"
    return AuthResult(success=right, handled=False)


@pytest.fixture
def smtp(certificate):
    """Starts SMTP servers of given kinds; each call gives (config, mailbox)."""
    running = []

    def start(**options):
        box = Mailbox()
        server = Sink(box, hostname="127.0.0.1", port=0, ready_timeout=60, **options)
        server.start()
        running.append(server)
        config = {
            "host": "127.0.0.1", "port": str(server.port), "security": "none", "from": "watchbill@example.com",
            "to": "a@example.com, b@example.com", "ca_file": str(certificate[0]),
        }  # fmt: skip
        return config, box

    yield start
    for server in running:
        server.stop()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        code = int(self.path.strip("/") or 200)
        answer = b"taken " + b"x" * 10_000
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/200")
        self.send_header("X-Request-Id", "req-9")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def hook():
    """A web server; (base address, what it saw)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.seen = []
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mail_arrives_as_it_was_meant(smtp):
    """Everybody gets it, nothing is injected, and the receipt names it."""
    config, box = smtp()
    receipt = EMAIL.send(config, MESSAGE)
    [(recipients, mail)] = box.mails
    assert recipients == ["a@example.com", "b@example.com"]
    assert mail["Subject"] == "[critical] Zugriff auf db-01 – geprüft Bcc: all@example.com"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == receipt.reference
    assert receipt.reference.endswith("@example.com>")
    assert receipt.answer == "250 2.0.0 kept as 4711"
    text = mail.get_content().replace("\r\n", "\n")
    assert text == f"{MESSAGE.text}\n\n{MESSAGE.url}\n"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_over_tls_with_a_password(smtp, certificate, security):
    """Both kinds of encryption carry the password; the server's certificate is checked."""
    tls = {"ssl_context": certificate[1]} if security == "tls" else {"tls_context": certificate[1]}
    config, box = smtp(authenticator=authenticate, auth_require_tls=security != "tls", **tls)
    EMAIL.send(config | {"security": security, "user": "wb", "password": "right"}, MESSAGE)
    assert len(box.mails) == 1
    with pytest.raises(DeliveryError, match="535") as wrong:
        EMAIL.send(config | {"security": security, "user": "wb", "password": "wrong"}, MESSAGE)
    assert not wrong.value.retry
    with pytest.raises(DeliveryError, match="certificate") as untrusted:
        EMAIL.send(config | {"security": security, "ca_file": "", "user": "wb", "password": "right"}, MESSAGE)
    assert not untrusted.value.retry
    assert len(box.mails) == 1


def test_encryption_is_never_left_out_silently(smtp):
    """A server that offers no STARTTLS gets nothing."""
    config, box = smtp()
    with pytest.raises(DeliveryError, match="does not offer") as caught:
        EMAIL.send(config | {"security": "starttls"}, MESSAGE)
    assert not caught.value.retry
    assert box.mails == []


@pytest.mark.parametrize(("code", "retry"), [(450, True), (550, False)])
def test_the_servers_answer_says_whether_to_try_again(smtp, code, retry):
    """4yz may pass, 5yz will not; and nobody gets it when one is refused, so that a retry is no duplicate."""
    config, box = smtp()
    with pytest.raises(DeliveryError, match=str(code)) as caught:
        EMAIL.send(config | {"to": f"a@example.com; answer-{code}@example.com"}, MESSAGE)
    assert caught.value.retry is retry
    assert box.mails == []


def test_an_unreachable_mail_server_is_worth_a_retry(smtp):
    """Nothing listens there."""
    config, _ = smtp()
    with pytest.raises(DeliveryError, match="cannot be reached") as caught:
        EMAIL.send(config | {"port": "1"}, MESSAGE)
    assert caught.value.retry


@pytest.mark.parametrize("to", ["", "nobody", "a@example.com, b@", "a b@example.com", "<>", "ü@example.com"])
def test_a_bad_address_is_said_before_anything_is_sent(smtp, to):
    """With a mend."""
    config, box = smtp()
    with pytest.raises(DeliveryError, match="no address") as caught:
        EMAIL.send(config | {"to": to}, MESSAGE)
    assert caught.value.mend
    assert box.mails == []


def test_a_webhook_gets_signed_json(hook):
    """The receiver can prove sender and time from body and header alone."""
    base, server = hook
    receipt = WEBHOOK.send({"url": base, "secret": "s3cret"}, MESSAGE)
    [(_, headers, body)] = server.seen
    assert json.loads(body) == {
        "id": "alert-7", "subject": MESSAGE.subject, "text": MESSAGE.text, "severity": "critical", "url": MESSAGE.url,
        "facts": {"host": "db-01", "src_ip": ["192.0.2.7"], "count": 6},
    }  # fmt: skip
    at = int(headers["X-Watchbill-Signature"].split(",")[0].removeprefix("t="))
    assert headers["X-Watchbill-Signature"] == signature("s3cret", at, body)
    assert headers["X-Watchbill-Signature"] != signature("s3cret", at, body + b" ")
    assert headers["Idempotency-Key"] == "alert-7"
    assert receipt.reference == "req-9"
    assert receipt.answer.startswith("200 taken")
    assert len(receipt.answer) < 300


def test_without_a_secret_nothing_is_signed(hook):
    """No signature is better than one made with nothing."""
    base, server = hook
    WEBHOOK.send({"url": base}, MESSAGE)
    assert "X-Watchbill-Signature" not in server.seen[0][1]


def test_the_signature_is_the_documented_one():
    """HMAC-SHA256 over "<seconds>.<body>", reckoned once by openssl."""
    assert signature("key", 1700000000, b"{}") == (
        "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    )


@pytest.mark.parametrize(
    ("code", "retry"),
    [(400, False), (401, False), (404, False), (410, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_the_answer_says_whether_to_try_again(hook, code, retry):
    """4xx is final but for time-outs and rate limits; 5xx may pass."""
    base, _ = hook
    with pytest.raises(DeliveryError, match=str(code)) as caught:
        WEBHOOK.send({"url": f"{base}/{code}"}, MESSAGE)
    assert caught.value.retry is retry


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(hook, code):
    """The alert goes to the address of the channel or nowhere."""
    base, server = hook
    with pytest.raises(DeliveryError, match=str(code)) as caught:
        WEBHOOK.send({"url": f"{base}/{code}"}, MESSAGE)
    assert not caught.value.retry
    assert [path for path, _, _ in server.seen] == [f"/{code}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "hooks.example.com",
        "http://[::1",
        "gopher://127.0.0.1:25/",
    ],
)
def test_only_web_addresses_are_used(url):
    """Anything else is refused before a connection is made."""
    with pytest.raises(DeliveryError, match="no web address") as caught:
        WEBHOOK.send({"url": url}, MESSAGE)
    assert not caught.value.retry


def test_an_unreachable_webhook_is_worth_a_retry():
    """Nothing listens there."""
    with pytest.raises(DeliveryError, match="cannot be reached") as caught:
        WEBHOOK.send({"url": "http://127.0.0.1:1/"}, MESSAGE)
    assert caught.value.retry


def test_a_webhooks_certificate_is_checked(certificate, hook):
    """An unknown authority is refused; the channel's own is accepted."""
    _, server = hook
    server.socket = certificate[1].wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}/200"
    with pytest.raises(DeliveryError, match="certificate") as caught:
        WEBHOOK.send({"url": url}, MESSAGE)
    assert not caught.value.retry
    assert WEBHOOK.send({"url": url, "ca_file": str(certificate[0])}, MESSAGE).answer.startswith("200")


@pytest.mark.parametrize("notifier", CATALOG.notifiers, ids=lambda notifier: notifier.id)
def test_every_notifier_has_an_example_that_fits_its_form(notifier):
    """All required fields are filled, none is unknown, choices are offered ones, secrets are marked."""
    fields = {field.name: field for field in notifier.config}
    assert notifier.examples
    for example in notifier.examples:
        assert {name for name, field in fields.items() if field.required and not field.default} <= set(example.config)
        assert set(example.config) <= set(fields)
        for name, value in example.config.items():
            assert not fields[name].choices or value in fields[name].choices
    assert all(fields[name].kind == "secret" for name in fields if name in {"password", "secret", "token"})
