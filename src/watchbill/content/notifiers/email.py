"""Notify by e-mail: SMTP (RFC 5321) with STARTTLS (RFC 3207), TLS from the start (RFC 8314) or, on request, in the clear."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr

from watchbill.core.errors import DeliveryError
from watchbill.sdk.notifiers import Field, Message, Notifier, NotifierExample, Receipt

TIMEOUT_S = 20.0
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_PRIORITIES = {"critical": "1 (Highest)", "high": "2 (High)"}


def send(config: Mapping[str, str], message: Message) -> Receipt:
    """Hand the message to the mail server; the receipt is its Message-ID and the server's own last words.

    A 5yz answer, a refused recipient, a failed sign-in or a bad certificate stay as they are however often one
    tries; a 4yz answer, a time-out or a broken connection may pass (RFC 5321 §4.2.1).
    """
    mail = _compose(config, message)
    host = config["host"]
    try:
        server = _connect(config, host)
        try:
            answer = _transfer(server, config, mail)
        finally:
            _leave(server)
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(error.recipients) from error
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        temporary = 400 <= error.smtp_code < 500
        raise DeliveryError(f"{host} answered {error.smtp_code} {said}", retry=temporary) from error
    except smtplib.SMTPNotSupportedError as error:
        mend = "choose another kind of encryption, or no user name, as the server offers"
        raise DeliveryError(f"{host} does not offer what is asked for: {error}", mend=mend) from error
    except ssl.SSLCertVerificationError as error:
        mend = "use the name that is in the server's certificate, signed by an authority this machine trusts"
        raise DeliveryError(f"the certificate of {host} is not valid: {error.verify_message}", mend=mend) from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"{host} cannot be reached: {type(error).__name__}: {error}", retry=True) from error
    return Receipt(reference=str(mail["Message-ID"]), answer=answer)


def _compose(config: Mapping[str, str], message: Message) -> EmailMessage:
    sender = _addresses(config["from"], "sender")[0]
    mail = EmailMessage()
    mail["From"] = Address("Watchbill", addr_spec=sender)
    mail["To"] = [Address(addr_spec=address) for address in _addresses(config["to"], "recipient")]
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    mail["X-Watchbill-Id"] = " ".join(message.id.split())
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: vacation answers stay away
    if priority := _PRIORITIES.get(message.severity):
        mail["X-Priority"] = priority
    mail.set_content(f"{message.text.rstrip()}\n\n{message.url}\n")
    return mail


def _addresses(text: str, what: str) -> list[str]:
    found = [parseaddr(part)[1] for part in text.replace(";", ",").split(",") if part.strip()]
    for address in found or [""]:
        local, _, domain = address.rpartition("@")
        if not local or not domain or not address.isascii() or any(c.isspace() for c in address):
            mend = "write for instance watch@example.com, several with commas between them"
            raise DeliveryError(f"{address or text!r} is no address of a {what}", mend=mend)
    return found


def _connect(config: Mapping[str, str], host: str) -> smtplib.SMTP:
    security = config.get("security") or "starttls"
    port = int(config.get("port") or _PORTS[security])
    context = ssl.create_default_context(cafile=config.get("ca_file") or None)
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    if security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _transfer(server: smtplib.SMTP, config: Mapping[str, str], mail: EmailMessage) -> str:
    if config.get("user"):
        server.login(config["user"], config.get("password", ""))
    server.ehlo_or_helo_if_needed()
    recipients = [address.addr_spec for address in mail["To"].addresses]
    _expect(server.mail(mail["From"].addresses[0].addr_spec))
    refused = {}
    for address in recipients:
        code, said = server.rcpt(address)
        if code not in {250, 251}:
            refused[address] = (code, said)
    if refused:
        # All or nothing: a retry must not send the same alert twice to those who already have it.
        raise smtplib.SMTPRecipientsRefused(refused)
    code, said = server.data(mail.as_bytes(policy=SMTP))
    _expect((code, said))
    return f"{code} {said.decode('utf-8', 'replace')}"


def _expect(answer: tuple[int, bytes]) -> None:
    if answer[0] != 250:
        raise smtplib.SMTPResponseException(*answer)


def _refused(recipients: Mapping[str, tuple[int, bytes]]) -> DeliveryError:
    said = ", ".join(f"{who}: {code} {why.decode('utf-8', 'replace')}" for who, (code, why) in recipients.items())
    temporary = all(400 <= code < 500 for code, _ in recipients.values())
    return DeliveryError(f"the server refused {said}", retry=temporary)


def _leave(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


NOTIFIER = Notifier(
    id="email",
    title="E-mail",
    config=(
        Field("host", "Mail server", help="its name as in its certificate"),
        Field("port", "Port", "number", required=False, help="empty: 587, 465 or 25, by encryption"),
        Field("security", "Encryption", "choice", "starttls", choices=("starttls", "tls", "none")),
        Field("user", "User name", required=False),
        Field("password", "Password", "secret", required=False),
        Field("from", "From", "email"),
        Field("to", "To", help="one address or several, with commas between them"),
        Field("ca_file", "Own certificate authority", required=False, help="path of a PEM file on this machine"),
    ),
    send=send,
    examples=(
        NotifierExample(
            config={
                "host": "mail.example.com",
                "security": "starttls",
                "from": "watchbill@example.com",
                "to": "on-call@example.com, security@example.com",
            },
            message=Message(
                id="alert-1",
                subject="[critical] Sign-in after repeated failures on db-01",
                text="192.0.2.7 signed in to db-01 as root after 6 failures.",
                severity="critical",
                url="https://watchbill.example.com/alerts/1",
                facts={"rule": "login_success_after_failures", "host": "db-01", "src_ip": ["192.0.2.7"]},
            ),
        ),
    ),
)
