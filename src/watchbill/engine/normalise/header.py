"""Takes the transport header off a line: RFC 5424, RFC 3164 in its real-world forms, or none at all.

RFC 3164 describes what was seen in the field rather than a format, so nearly every part is optional here: PRI
(absent in files), year, host (absent on some daemons), tag and process id. What fits no form is a plain line.
"""

from __future__ import annotations

import re

from watchbill.engine.timestamps import Stamps
from watchbill.sdk import Line

_STAMP = (
    r"[A-Z][a-z]{2} [ \d]?\d(?: \d{4})? \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d{4} [A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d"
)
# The host is a name without colon or bracket, or an IPv6 address; when it is missing the tag follows at once.
_HOST = r"(?:([^\s:\[\]()]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*[0-9a-fA-F]) +)?"
_TAG = r"([^\s:\[\]]+)(?:\[([^\]\s]*)\])?\]?: ?"  # gdm writes "gdm-password]:"
_COMMON = re.compile(rf"(?:<(\d{{1,3}})>)?({_STAMP}) +{_HOST}{_TAG}(.*)", re.DOTALL)
# "Google Chrome[85]: text": macOS has program names with spaces; the process id makes them certain.
_SPACED = re.compile(
    rf"(?:<(\d{{1,3}})>)?({_STAMP}) +{_HOST}([^\s:\[\]]+(?: [^\s:\[\]]+){{1,3}})\[(\d+)\]: ?(.*)", re.DOTALL
)
# Forms without a colon after the tag, with the tag in brackets, or with no tag at all.
_BRACKETED = re.compile(rf"(?:<(\d{{1,3}})>)?({_STAMP}) +{_HOST}\[([^\]\s]+)\]():? (.*)", re.DOTALL)
_NO_COLON = re.compile(rf"(?:<(\d{{1,3}})>)?({_STAMP}) +{_HOST}([^\s:\[\]]+)\[(\d+)\] (.*)", re.DOTALL)
_NO_TAG = re.compile(rf"(?:<(\d{{1,3}})>)?({_STAMP}) +([^\s:\[\]]+)()() (.*)", re.DOTALL)
_NO_TIME = re.compile(r"(?:<(\d{1,3})>)?()(?:(\S+) )?([\w./()-]+)\[(\d+)\]: ?(.*)", re.DOTALL)
_ONLY_PRI = re.compile(r"<(\d{1,3})>()()(?:([A-Za-z_][\w./()-]*)(?:\[(\d+)\])?: )?(.*)", re.DOTALL)
_RFC5424 = re.compile(
    r"<(\d{1,3})>[1-9]\d{0,2} (\S+) (\S+) (\S+) (\S+) (\S+) "
    r'(?:-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*+")*+\])++)(?: (.*))?',
    re.DOTALL,
)
# Other formats keep their time in the text; it is read here because the source's time zone is known here.
_LONE_STAMP = re.compile(
    r"(?:\S+ nginx: )?\[?(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4}"
    rf"|{_STAMP}|\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d)[ ,\]]"
)
_SOLARIS = re.compile(r"\[ID \d+ \w+\.\w+\] ")
_FALLBACKS = (_SPACED, _BRACKETED, _NO_COLON, _NO_TAG)


def decode_line(text: str, received: int, stamps: Stamps) -> Line:
    """Return the line without its header; never fails: at the least, all of it is text."""
    match = _COMMON.match(text)
    if match:
        pri, stamp, host, app, pid, rest = match.groups()
        # The commonest form first: a month's name, nothing odd in the tag or at the start of the text.
        if stamp[3] == " " and app[-1] != ")" and rest[:1] != "[":
            time = stamps.read(stamp, received)
            if pri is None:
                return Line(rest, received, time, host or "", app, pid or "")
            number = int(pri)
            return Line(rest, received, time, host or "", app, pid or "", number >> 3, number & 7)
        if not _log4j(match):
            return _line(match, received, stamps)
    if text.startswith("<"):
        if match := _RFC5424.match(text):
            return _rfc5424(match, received, stamps)
        for form in (*_FALLBACKS, _NO_TIME, _ONLY_PRI):
            if match := form.match(text):
                return _line(match, received, stamps)
        return Line(text, received)
    if not text[:1].isalnum():
        return _unheaded(text, received, stamps)
    for form in _FALLBACKS:
        if (match := form.match(text)) and not _log4j(match):
            return _line(match, received, stamps)
    if match := _NO_TIME.match(text):
        return _line(match, received, stamps)
    return _unheaded(text, received, stamps)


def _unheaded(text: str, received: int, stamps: Stamps) -> Line:
    match = _LONE_STAMP.match(text)
    return Line(text, received, stamps.read(match[1], received) if match else 0)


def _log4j(match: re.Match[str]) -> bool:
    """Whether this is an application's own "2026-03-04 10:00:00,123 LEVEL name: text" rather than syslog."""
    stamp = match[2]
    return match[1] is None and stamp[10:11] == " " and stamp[4] == "-" and len(stamp) < 24


def _line(match: re.Match[str], received: int, stamps: Stamps) -> Line:
    pri, stamp, host, tag, pid, text = match.groups()
    time = stamps.read(stamp, received) if stamp else 0
    app = tag or ""
    if app.endswith("(pam_unix)"):  # Linux-PAM before 0.99.2 put its module into the tag
        app, text = app[:-10], f"(pam_unix) {text}"
    if not time and (lone := _LONE_STAMP.match(text)):
        time = stamps.read(lone[1], received)
    if text.startswith("[ID ") and (solaris := _SOLARIS.match(text)):
        text = text[solaris.end() :]
    if pri is None:
        return Line(text, received, time, host or "", app, pid or "")
    number = int(pri)
    return Line(text, received, time, host or "", app, pid or "", number >> 3, number & 7)


def _rfc5424(match: re.Match[str], received: int, stamps: Stamps) -> Line:
    pri, stamp, host, app, pid, _, text = match.groups()
    number = int(pri)
    time = stamps.read(stamp, received) if len(stamp) > 18 else 0
    host, app, pid = ("" if part == "-" else part for part in (host, app, pid))
    return Line((text or "").removeprefix("\ufeff"), received, time, host, app, pid, number >> 3, number & 7)
