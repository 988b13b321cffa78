"""Headers, times and hostile records; parsers are not needed for most of it."""

from __future__ import annotations

import json
import platform
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import cpu_seconds
from watchbill.core.clock import DAY, FixedClock
from watchbill.core.times import from_rfc3339, rfc3339
from watchbill.engine.normalise import LONGEST, Normaliser
from watchbill.sdk import Event, Line, LogSource, Parser, ocsf

NOW = from_rfc3339("2026-03-04T12:00:00Z")


class Record(NamedTuple):
    position: int
    raw: bytes
    source: int = 1
    received: int = NOW
    source_time: int = 0


class Source(NamedTuple):
    number: int = 1
    name: str = "somewhere"
    transport: str = "file"
    facts: dict[str, str] = {}  # noqa: RUF012 - never changed


def _echo(line: Line) -> Event:
    """A parser that shows what the header decoding found."""
    native = {"app": line.app, "pid": line.pid, "host": line.host, "data": line.data is not None}
    return Event(0, ocsf.template(0, 0, "echo", "echo"), native, line.text)


ECHO = Parser("echo", "echo", LogSource("", "echo"), _echo, (), sniff=lambda _: True, keys=(frozenset(),))


def normalise(*raws: bytes | str, now=NOW, **facts) -> list[Event]:
    records = [
        (Record(at, raw.encode() if isinstance(raw, str) else raw), Source(facts=facts), 3)
        for at, raw in enumerate(raws)
    ]
    return Normaliser([ECHO], clock=FixedClock(now)).normalise(records)


T = "2026-03-04T10:00:00Z"


@pytest.mark.parametrize(
    ("raw", "expected", "at"),
    [
        ("<34>Mar  4 10:00:00 web-01 su[7]: x: y", ("web-01", "su", "7", "x: y"), T),
        ("Mar  4 10:00:00 web-01 su: text", ("web-01", "su", "", "text"), T),
        ("Mar 4 10:00:00 web-01 su: text", ("web-01", "su", "", "text"), T),
        ("Mar  4 10:00:00 sshd[7]: text a: b", ("", "sshd", "7", "text a: b"), T),
        ("Mar  4 10:00:00 [sshd]: text", ("", "sshd", "", "text"), T),
        ("Mar  4 10:00:00 [sshd] text", ("", "sshd", "", "text"), T),
        ("Mar  4 2026 10:00:00 web-01 app: text", ("web-01", "app", "", "text"), T),
        ("2026 Mar  4 10:00:00 web-01 app: text", ("web-01", "app", "", "text"), T),
        ("Mar  4 10:00:00.250 web-01 app: text", ("web-01", "app", "", "text"), "2026-03-04T10:00:00.250Z"),
        ("2026-03-04T12:00:00+02:00 web-01 app[1]: text", ("web-01", "app", "1", "text"), T),
        ("2026-03-04T10:00:00.123456+00:00 web-01 app: t", ("web-01", "app", "", "t"), "2026-03-04T10:00:00.123456Z"),
        ("2026-03-04 02:00:00.5-0800  web-01 app[1]: text", ("web-01", "app", "1", "text"), "2026-03-04T10:00:00.500Z"),
        ("Mar  4 10:00:00 2001:db8::7 app: text", ("2001:db8::7", "app", "", "text"), T),
        ("Mar  4 10:00:00 web-01 last message repeated 3 times", ("web-01", "", "", "last message repeated 3 times"), T),
        ("Mar  4 10:00:00 mac Some Program[85]: text", ("mac", "Some Program", "85", "text"), T),
        ("Mar  4 10:00:00 sun sshd[7]: [ID 800047 auth.info] text", ("sun", "sshd", "7", "text"), T),
        ("Mar  4 10:00:00 web-01 ftp(pam_unix)[7]: text", ("web-01", "ftp", "7", "(pam_unix) text"), T),
        ("<38>1 2026-03-04T10:00:00Z web-01 app 7 ID - text", ("web-01", "app", "7", "text"), T),
        ('<38>1 2026-03-04T10:00:00Z web-01 app - - [a@1 b="x\\"]y"][c@2 d=""] text', ("web-01", "app", "", "text"), T),
        ("<38>1 - - - - - -", ("", "", "", ""), None),
        ("<189>123: %SYS-5-CONFIG_I: text", ("", "", "", "123: %SYS-5-CONFIG_I: text"), None),
        ("2026-03-04 10:00:00,123 INFO module: text", ("", "", "", "2026-03-04 10:00:00,123 INFO module: text"), "2026-03-04T10:00:00.123Z"),
        ("plain words", ("", "", "", "plain words"), None),
    ],
)  # fmt: skip
def test_headers_of_the_field(raw, expected, at):
    """Each form of header that is met in practice gives host, tag, process id, text and time."""
    (event,) = normalise(raw)
    if raw.endswith("- -"):
        assert event.flaw == "an empty record"
        return
    assert (event.native["host"], event.native["app"], event.native["pid"], event.message) == expected
    assert event.time == (from_rfc3339(at) if at else NOW)


def test_journald_export():
    """The journal's fields become the line's; a message that is no UTF-8 comes as bytes."""
    entry = {
        "__REALTIME_TIMESTAMP": "1772618400123456", "_HOSTNAME": "db-01", "SYSLOG_IDENTIFIER": "sshd", "_PID": "7",
        "PRIORITY": "6", "MESSAGE": [104, 105, 255, 0], "_BOOT_ID": "x",
    }  # fmt: skip
    (event,) = normalise(json.dumps(entry))
    assert (event.native["app"], event.native["pid"], event.host, event.message) == ("sshd", "7", "db-01", r"hi\xff")
    assert rfc3339(event.time) == "2026-03-04T10:00:00.123456Z"


@pytest.mark.parametrize(
    ("received", "stamp", "year"),
    [
        ("2026-01-01T00:00:10Z", "Dec 31 23:59:59", 2025),
        ("2025-12-31T23:59:50Z", "Jan  1 00:00:05", 2026),
        ("2026-03-04T12:00:00Z", "Mar  5 11:00:00", 2026),
        ("2026-03-04T12:00:00Z", "Mar  8 11:00:00", 2025),
        ("2026-03-04T12:00:00Z", "Feb 29 11:00:00", 2024),
    ],
)
def test_the_year_that_rfc_3164_leaves_out(received, stamp, year):
    """It is the latest year in which the time is not after the receipt by more than the bound."""
    now = from_rfc3339(received)
    records = [(Record(1, f"{stamp} h app: x".encode(), received=now), Source(), 0)]
    (event,) = Normaliser([ECHO], clock=FixedClock(now)).normalise(records)
    assert rfc3339(event.time).startswith(str(year))


def test_time_zone_of_the_source():
    """A time without an offset is of the source's zone, summer time and all."""
    (winter, summer) = normalise("Jan  4 10:00:00 h app: x", "2025-07-04T10:00:00 h app: x", timezone="Europe/Berlin")
    assert (rfc3339(winter.time), rfc3339(summer.time)) == ("2026-01-04T09:00:00Z", "2025-07-04T08:00:00Z")


@pytest.mark.parametrize("stamp", ["1970-01-01T00:00:05Z", "2038-01-19T03:14:07Z", "2026-03-06T12:00:01Z"])
def test_impossible_times_fall_back_to_receipt(stamp):
    """The event is good, stands at its receipt, and says what its source claimed."""
    (event,) = normalise(f"{stamp} h app: x")
    assert (event.time, event.flaw) == (NOW, "")
    assert event.ocsf["metadata.original_time"] == stamp
    assert "time_note" in "".join(event.ocsf)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": {"b": 1', "truncated"),
        (b'{"a": 1} x', "malformed"),
        (b'{"a":' * 200_0 + b"1", "deeper"),
        (b'{"a":' + b"[" * 60_000, "deeper"),
        (b'{"a":' + b'{"b":' * 6_000 + b"1" + b"}" * 6_001, "deeper"),
        (b'{"a": 123456789012345678901234567890}', "64-bit"),
        (b'{"a": ' + b"9" * 50_000 + b"}", "64-bit|malformed"),
        (b'{"a": 1e999}', "64-bit|malformed"),
        (b'{"a": [{"b": [true, -9223372036854775809]}]}', "64-bit"),
        (b'{"a": [{"b": [null, -9223372036854775808, 9223372036854775807]}], "c": "9223372036854775808"}', ""),
        (b'{"a": "\xff"}', ""),
        (b'{"a": "\\ud800"}', "malformed"),
        (b"x" * (LONGEST + 1), "limit"),
        (b"x" * (1 << 20), "limit"),
        (b"", "empty"),
        (b"\r\n", "empty"),
    ],
)  # fmt: skip
def test_hostile_records_are_quarantined_fast(raw, reason):
    """Nothing raises, every record has its event, and none takes longer than 100 ms."""
    assert cpu_seconds(lambda: normalise(raw), 0.1) < 0.1
    (event,) = normalise(raw)
    assert bool(event.flaw) == bool(reason)
    assert any(part in event.flaw for part in reason.split("|"))
    assert len(event.message) <= LONGEST


def test_brackets_in_strings_are_no_depth():
    """A text full of brackets inside a JSON string is an ordinary value."""
    (event,) = normalise(json.dumps({"a": "[{" * 500, "b": '\\"[' * 100}))
    assert event.flaw == ""
    assert event.native["data"]


def test_bytes_that_could_move_a_cursor_are_spelled():
    """NUL, escape sequences, C1 and broken UTF-8 become \\xNN; the rest of Unicode stays."""
    (event,) = normalise(b"Mar  4 10:00:00 h app: a\x00b\x1b[2Jc\xc2\x9b\xff\tZ\xc3\xbcrich\n")
    assert event.message == "a\\x00b\\x1b[2Jc\\x9b\\xff\tZürich"


def test_registrations_have_no_event_and_positions_are_kept():
    records = [(Record(at, b"x", source=at % 2), Source(), 5) for at in range(4)]
    events = Normaliser([ECHO], clock=FixedClock(NOW)).normalise(records)
    assert [event.id for event in events] == ["5-1", "5-3"]


def test_a_parser_that_raises_costs_one_event_its_meaning(caplog):
    def broken(line: Line) -> Event | None:
        raise ValueError(line.text)

    bad = Parser("bad", "bad", LogSource(), broken, (), sniff=lambda text: "boom" in text, rank=1)
    records = [(Record(at, raw), Source(), 0) for at, raw in enumerate((b"boom", b"fine"))]
    first, second = Normaliser([bad, ECHO], clock=FixedClock(NOW)).normalise(records)
    assert first.flaw.startswith("the parser bad failed")
    assert (second.parser, second.flaw) == ("echo", "")


@given(st.binary(max_size=400))
def test_any_bytes_become_one_event(raw):
    """Whatever arrives, one printable event comes of it, at a time that is not in the future."""
    (event,) = normalise(raw)
    assert event.time <= NOW + DAY
    assert all(character == "\t" or ord(character) >= 32 for character in event.message)


@given(
    st.text(max_size=200),
    st.sampled_from(
        ["Mar  4 10:00:00 h sshd[7]: ", "<1>1 2026-03-04T10:00:00Z h a 1 - - ", '{"a":"', "[", "2026/03/04 10:00:00 "]
    ),
)
def test_any_text_after_a_header_becomes_one_event(text, head):
    (event,) = normalise((head + text).encode("utf-8", "replace"))
    assert event.position == 0


def test_the_host_of_a_line_that_names_none():
    """It is the host that the source is said to be on, else this machine for a file, else the peer, else the name."""
    cases = (("file", {"host": "web-01"}), ("file", {}), ("syslog-udp", {"address": "192.0.2.7"}), ("replay", {}))
    normaliser = Normaliser([ECHO], clock=FixedClock(NOW))
    hosts = [
        normaliser.normalise([(Record(1, b"x"), Source(at, "old.log", transport, facts), 0)])[0].host
        for at, (transport, facts) in enumerate(cases)
    ]
    assert hosts == ["web-01", platform.node(), "192.0.2.7", "old.log"]
