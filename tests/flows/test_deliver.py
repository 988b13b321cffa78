"""Notifications through real servers: proven by a reference, tried again when that helps, given up when it does not."""

from __future__ import annotations

import json
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from django.urls import resolve

from watchbill.core.clock import HOUR, SECOND
from watchbill.core.values import Severity
from watchbill.flows.deliver import deliver
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.values import DeliveryState
from watchbill.state.trail import queries as trail
from watchbill.state.trail.values import TrailFilter

URL = "https://watch.example.com"


class Mailbox(Controller):
    """An SMTP server on a port of the system's choice."""

    def __init__(self) -> None:
        self.mails = []
        super().__init__(self, hostname="127.0.0.1", port=0, ready_timeout=60)

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content))
        return "250 kept as 4711"


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.headers["Idempotency-Key"], body))
        self.send_response(self.server.answer)
        self.send_header("X-Request-Id", f"request-{len(self.server.got)}")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    """An HTTP server that answers with its ``answer`` and keeps what it ``got``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answer = [], 200
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mailbox():
    box = Mailbox()
    box.start()
    yield box
    box.stop()


def channel(place, kind: str, config: dict[str, str]) -> int:
    return actions.create_channel(
        kind, kind, config, min_severity=Severity.HIGH, by="ana@example.com", at=place.clock.now()
    )


def alert(place) -> str:
    """An administrator is added by somebody: one alert of high severity."""
    place.receive("<38>1 2026-03-05T11:59:00Z db-01 usermod 540 - - add 'eve' to group 'sudo'")
    place.judge()
    (row,) = queries.alerts().items
    return row.id


def only_delivery():
    (found,) = queries.deliveries()
    return found


def test_delivered_is_proven(place, hook, mailbox):
    """Both channels get the alert with its link; the delivery keeps the message's id and the server's own words."""
    channel(place, "webhook", {"url": f"http://127.0.0.1:{hook.server_port}/"})
    mail = {
        "host": "127.0.0.1",
        "port": str(mailbox.port),
        "security": "none",
        "from": "w@example.com",
        "to": "on-call@example.com",
    }
    channel(place, "email", mail)
    name = alert(place)
    assert deliver(place.catalog, URL, place.clock) == 2
    assert deliver(place.catalog, URL, place.clock) == 0
    found = {one.channel: one for one in queries.deliveries()}
    assert {one.state for one in found.values()} == {DeliveryState.SENT}
    assert found["webhook"].reference == "request-1"
    ((key, body),) = hook.got
    assert key == body["id"]
    assert (body["facts"]["alert"], body["facts"]["host"], body["subject"][:6]) == (name, "db-01", "[HIGH]")
    assert resolve(body["url"].removeprefix(URL)).kwargs == {"alert_id": name}
    (mail,) = mailbox.mails
    assert (found["email"].reference, found["email"].answer) == (mail["Message-ID"], "250 kept as 4711")
    assert "db-01" in mail["Subject"]
    assert "eve" in mail.get_payload()
    assert len(trail.entries(TrailFilter(action="delivery.sent"))) == 2


def test_a_failure_is_visible_and_tried_again(place, hook):
    """503: the delivery says so and when it is tried next, not before; then it arrives, under the same key."""
    channel(place, "webhook", {"url": f"http://127.0.0.1:{hook.server_port}/"})
    alert(place)
    hook.answer = 503
    deliver(place.catalog, URL, place.clock)
    failed = only_delivery()
    assert (failed.state, failed.tries) == (DeliveryState.FAILED, 1)
    assert "503" in failed.error
    hook.answer = 200
    assert deliver(place.catalog, URL, place.clock) == 0
    place.clock.at = failed.next_try
    assert deliver(place.catalog, URL, place.clock) == 1
    assert (only_delivery().state, only_delivery().tries, only_delivery().error) == (DeliveryState.SENT, 2, "")
    assert len({key for key, _ in hook.got}) == 1


def test_what_cannot_succeed_is_given_up_and_alerts(place, hook):
    """410 is final: no second try, and Watchbill's own rule tells that an alert reached nobody."""
    channel(place, "webhook", {"url": f"http://127.0.0.1:{hook.server_port}/"})
    alert(place)
    hook.answer = 410
    deliver(place.catalog, URL, place.clock)
    assert (only_delivery().state, only_delivery().next_try) == (DeliveryState.GAVE_UP, None)
    place.clock.advance(24 * HOUR)
    assert deliver(place.catalog, URL, place.clock) == 0
    place.judge()
    assert [one[0] for one in place.alerts()] == [
        "administrator_added",
        "delivery_failed",
        "elevation_not_revoked",  # of the same administrator, a day later
    ]


def test_a_server_that_stays_away_is_given_up_in_the_end(place, hook):
    """Every try is made, ever later; then it is given up, a day after at most."""
    channel(place, "webhook", {"url": f"http://127.0.0.1:{hook.server_port}/"})
    hook.answer = 500
    alert(place)
    begun, tries = place.clock.now(), 0
    while queries.deliveries()[0].state is not DeliveryState.GAVE_UP:
        place.clock.at = only_delivery().next_try
        assert deliver(place.catalog, URL, place.clock) == 1
        tries += 1
    assert tries == only_delivery().tries == len(hook.got) > 5
    assert place.clock.now() - begun <= 24 * HOUR


def test_a_kind_that_is_gone_is_said(place):
    """A channel whose notifier was uninstalled gives up with the reason, and stops nobody else."""
    channel(place, "pigeon", {"loft": "north"})
    actions.send_test(1, by="ana@example.com", at=place.clock.now())
    assert deliver(place.catalog, URL, place.clock) == 1
    assert only_delivery().state is DeliveryState.GAVE_UP
    assert "pigeon" in only_delivery().error


def test_a_worker_that_died_while_sending_is_replaced(place, hook):
    """A claim whose worker was killed comes back after its lease, and is sent."""
    channel(place, "webhook", {"url": f"http://127.0.0.1:{hook.server_port}/"})
    alert(place)
    assert len(actions.claim_deliveries(at=place.clock.now())) == 1
    assert deliver(place.catalog, URL, place.clock) == 0
    place.clock.advance(300 * SECOND)
    assert deliver(place.catalog, URL, place.clock) == 1
    assert only_delivery().state is DeliveryState.SENT
