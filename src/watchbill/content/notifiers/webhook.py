"""Notify by webhook: one JSON document by POST, signed so that the receiver can tell who sent it and when."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from watchbill.core.errors import DeliveryError
from watchbill.sdk.notifiers import Field, Message, Notifier, NotifierExample, Receipt

TIMEOUT_S = 10.0
_ANSWER_KEPT = 200
_PASSING = frozenset({408, 425, 429})


def send(config: Mapping[str, str], message: Message) -> Receipt:
    """POST the message as JSON: id, subject, text, severity, url, facts.

    With a secret, the header ``X-Watchbill-Signature`` is ``t=<seconds since 1970>,v1=<hex>``, where hex is
    HMAC-SHA256 over "<seconds>.<body>"; the receiver should refuse old times. ``Idempotency-Key`` is the message's
    id: the same message sent again is known by it. Redirects are not followed, so that the body goes where the
    channel says and nowhere else. 4xx answers are final except 408, 425 and 429.
    """
    url = _checked(config["url"])
    body = json.dumps(message._asdict(), ensure_ascii=False, sort_keys=True, default=str).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "watchbill",
        "Idempotency-Key": message.id,
        "X-Watchbill-Severity": message.severity,
    }
    if secret := config.get("secret"):
        headers["X-Watchbill-Signature"] = signature(secret, int(time.time()), body)
    try:
        # `verify` is the default trust store or the channel's own authority: never off.
        with (
            httpx.Client(verify=_trust(config), timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            said = _beginning(response)
            code = response.status_code
            reference = response.headers.get("x-request-id", "") or message.id
    except httpx.HTTPError as error:
        if isinstance(error.__cause__, Exception) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DeliveryError(f"the certificate of {urlsplit(url).hostname} is not valid: {error}") from error
        raise DeliveryError(
            f"{urlsplit(url).hostname} cannot be reached: {type(error).__name__}: {error}", retry=True
        ) from error
    if 200 <= code < 300:
        return Receipt(reference=reference, answer=f"{code} {said}".strip())
    mend = "write the address that it leads to" if 300 <= code < 400 else ""
    raise DeliveryError(
        f"{urlsplit(url).hostname} answered {code} {said}".strip(), mend=mend, retry=code >= 500 or code in _PASSING
    )


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of X-Watchbill-Signature for a body sent at a time in seconds since 1970."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _checked(url: str) -> str:
    mend = "write for instance https://hooks.example.com/watchbill"
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise DeliveryError(f"{url!r} is no web address", mend=mend)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise DeliveryError(f"{url!r} is no web address: {error}", mend=mend) from None
    return url


def _trust(config: Mapping[str, str]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.get("ca_file") or None)
    except OSError as error:
        raise DeliveryError(f"{config.get('ca_file')} is no file of certificates: {error}") from error


def _beginning(response: httpx.Response) -> str:
    """The first words of an answer: what is kept as proof, without reading a body of any length."""
    for chunk in response.iter_text(_ANSWER_KEPT):
        return " ".join(chunk.split())
    return ""


NOTIFIER = Notifier(
    id="webhook",
    title="Webhook",
    config=(
        Field("url", "Address", "url", help="https, or http on a network you trust"),
        Field(
            "secret",
            "Secret for the signature",
            "secret",
            required=False,
            help="the receiver checks X-Watchbill-Signature with it",
        ),
        Field("ca_file", "Own certificate authority", required=False, help="path of a PEM file on this machine"),
    ),
    send=send,
    examples=(
        NotifierExample(
            config={"url": "https://hooks.example.com/watchbill", "secret": "correct horse battery staple"},
            message=Message(
                id="alert-1",
                subject="[high] Repeated failed sign-ins on web-01",
                text="192.0.2.7 failed 5 times to sign in to web-01.",
                severity="high",
                url="https://watchbill.example.com/alerts/1",
                facts={"rule": "failed_logins_by_address", "host": "web-01", "src_ip": ["192.0.2.7"]},
            ),
        ),
    ),
)
