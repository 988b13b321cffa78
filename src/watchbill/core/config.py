"""The configuration of an installation: one TOML file, then the environment, both typed and checked.

What people change often (owners, channels, thresholds) lives in the console; here stands what a process must know
before it can start. Every setting has a sensible default, so the file may be missing. ``WATCHBILL_CONSOLE_PORT=9000``
in the environment overrides ``port`` under ``[console]``; ``WATCHBILL_DATABASE`` overrides ``database``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

from watchbill.core.clock import DAY
from watchbill.core.errors import ConfigError, Place, WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration

_MOST_LATENESS = 31 * DAY
LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """Where the console and the API answer. Beyond this machine they want TLS."""

    #: Address to listen on; beyond this machine only with a certificate, or behind a proxy that has one.
    host: str = "127.0.0.1"
    port: int = 8850
    #: Address that people use, for links in notifications; empty: made from host and port.
    base_url: str = ""
    #: Further names under which people may call the console; that of base_url is among them by itself.
    allowed_hosts: tuple[str, ...] = ()
    #: Paths of PEM files: the certificate with its chain, and its key.
    tls_certificate: str = ""
    tls_key: str = ""
    #: A reverse proxy before us ends TLS; it must then set X-Forwarded-Proto.
    behind_tls_proxy: bool = False

    @property
    def is_local(self) -> bool:
        return self.host in LOCAL

    @property
    def url(self) -> str:
        if self.base_url:
            return self.base_url.rstrip("/")
        scheme = "https" if self.tls_certificate else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SyslogConfig:
    """The syslog listener. A port of 0 switches that transport off."""

    host: str = "127.0.0.1"
    udp_port: int = 5514
    tcp_port: int = 5514
    #: Syslog over TLS (RFC 5425); 6514 is usual.
    tls_port: int = 0
    #: RELP, which acknowledges every record; 2514 is usual.
    relp_port: int = 0
    #: RELP inside TLS.
    relp_tls: bool = False


@dataclass(frozen=True, slots=True)
class PushConfig:
    """The HTTP listener that senders push to: Splunk HEC, OTLP/HTTP logs, NDJSON. A port of 0 switches it off."""

    host: str = "127.0.0.1"
    port: int = 0
    #: TLS also on this machine's own address; beyond it there always is TLS, here or in a proxy before us.
    tls: bool = False
    behind_tls_proxy: bool = False
    #: Longest body as it is sent, in bytes. Unpacked it may have four times as many.
    max_body: int = 8_388_608

    @property
    def is_local(self) -> bool:
        return self.host in LOCAL

    @property
    def wants_tls(self) -> bool:
        return self.tls or not (self.is_local or self.behind_tls_proxy)


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS of the receivers. Paths of PEM files; empty: what ``watchbill receivers cert`` made."""

    #: The certificate with its chain, and its key.
    certificate: str = ""
    key: str = ""
    #: The authorities whose client certificates are taken, and their revocation lists.
    client_ca: str = ""
    client_crl: str = ""
    #: Syslog and RELP: peers must show a certificate, whose name is then the source's.
    client_certificates: bool = True
    #: Names that may send, such as "*.example.com"; none named: every certificate of the authorities.
    client_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileConfig:
    """A log file that is followed. ``format`` is a parser's id; empty: recognised by its content."""

    path: str
    format: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """What is read on this machine: what is found by itself, and the files that are named here."""

    #: Follow the journal, the files of /var/log and the web servers' logs without being told.
    discover: bool = True
    files: tuple[FileConfig, ...] = ()
    #: Longest record kept whole, in bytes; the rest of a longer one is cut, and that is said.
    max_record: int = 1_048_576


@dataclass(frozen=True, slots=True)
class LatenessConfig:
    """The lateness of some sources. `name` is a source's name, in which `*` stands for anything: `syslog-udp:*`."""

    name: str
    lateness: str


@dataclass(frozen=True, slots=True)
class DetectConfig:
    """How events are judged."""

    #: Folders with rules of your own, beside the ones that Watchbill brings.
    rules: tuple[str, ...] = ()
    #: How late and shuffled records may be and still be judged as if they had come in order; at most 31 days.
    lateness: str = "10m"
    #: Sources of which another lateness is expected; the first whose name fits counts.
    sources: tuple[LatenessConfig, ...] = ()

    def bounds(self) -> dict[str, int]:
        """The lateness of sources by name, in nanoseconds, where it differs."""
        found: dict[str, int] = {}
        for source in self.sources:
            found.setdefault(source.name, parse_duration(source.lateness))
        return found


@dataclass(frozen=True, slots=True)
class WitnessConfig:
    """A witness that cosigns the ledger's head: its address, and its key as it prints it (a vkey)."""

    url: str
    key: str


@dataclass(frozen=True, slots=True)
class AuthorityConfig:
    """A time stamping authority (RFC 3161)."""

    url: str
    #: A name for people and for the token's file; empty: the address's host.
    name: str = ""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """What makes the ledger's head known elsewhere, and how often all of it is verified."""

    #: Asked once a minute, when the ledger has grown.
    witnesses: tuple[WitnessConfig, ...] = ()
    timestamps: tuple[AuthorityConfig, ...] = ()
    timestamp_every: str = "1h"
    #: Every record is hashed again within this time; what changes on disk is looked at within a minute anyway.
    verify_every: str = "1d"
    #: Let anybody read heads, hashes and manifests (no records) at /ledger/SHARD/, as witnesses and monitors do.
    publish: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. Read it with ``Config.load``."""

    #: postgresql://user:password@host/name; empty: SQLite in the data folder.
    database: str = ""
    #: Time zone of log lines that do not say theirs (an IANA name).
    timezone: str = "UTC"
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    syslog: SyslogConfig = field(default_factory=SyslogConfig)
    push: PushConfig = field(default_factory=PushConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)

    @classmethod
    def load(cls, data: DataDir, environ: Mapping[str, str] | None = None) -> Config:
        """Read ``data.config`` (if there is one) and the environment. Raises ConfigError with line and mend."""
        path = data.config
        text = path.read_text("utf-8") if path.exists() else ""
        return cls.parse(text, str(path), os.environ if environ is None else environ)

    @classmethod
    def parse(cls, text: str, name: str = "watchbill.toml", environ: Mapping[str, str] | None = None) -> Config:
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"line (\d+)", str(error))
            raise ConfigError(
                f"this is not TOML: {error}",
                place=Place(name, int(line[1]) if line else None),
                mend="quote texts, and write one key = value a line",
            ) from None
        reader = _Reader(text, name)
        reader.overlay(cls, table, environ or {})
        config: Config = reader.build(cls, table, ())
        _check(config, reader)
        return config


def _check(config: Config, reader: _Reader) -> None:
    """Refuse what is well-typed and still cannot work."""
    try:
        ZoneInfo(config.timezone)
    except (KeyError, ValueError, OSError):
        raise reader.error(
            ("timezone",), f"{config.timezone!r} is no time zone", 'write an IANA name such as "Europe/Oslo"'
        ) from None
    for name, text in (
        (("ledger", "timestamp_every"), config.ledger.timestamp_every),
        (("ledger", "verify_every"), config.ledger.verify_every),
    ):
        try:
            parse_duration(text)
        except WatchbillError as error:
            raise reader.error(name, error.what, error.mend) from None
    _check_lateness(config.detect, reader)
    for key, others in (("witnesses", config.ledger.witnesses), ("timestamps", config.ledger.timestamps)):
        for other in others:
            if not re.match(r"https?://[^/?#\s]+", other.url):
                raise reader.error(("ledger", key), f"{other.url!r} is no address", 'write url = "https://…"')
    if config.database and not re.match(r"postgres(ql)?://", config.database):
        mend = 'write "postgresql://user:password@host/name", or leave it out for SQLite'
        raise reader.error(("database",), "only PostgreSQL can be named here", mend)
    console = config.console
    if bool(console.tls_certificate) != bool(console.tls_key):
        raise reader.error(
            ("console", "tls_certificate"), "a certificate needs its key", "set tls_certificate and tls_key"
        )
    if not (console.is_local or console.tls_certificate or console.behind_tls_proxy):
        raise reader.error(
            ("console", "host"),
            f"the console would answer on {console.host} without TLS",
            "set tls_certificate and tls_key, or behind_tls_proxy = true, or host = 127.0.0.1",
        )
    for section, key, port in (
        ("console", "port", console.port),
        ("syslog", "udp_port", config.syslog.udp_port),
        ("syslog", "tcp_port", config.syslog.tcp_port),
        ("syslog", "tls_port", config.syslog.tls_port),
        ("syslog", "relp_port", config.syslog.relp_port),
        ("push", "port", config.push.port),
    ):
        if not 0 <= port < 65_536:
            raise reader.error((section, key), f"{port} is no port", "write a number from 1 to 65535")
    _check_receivers(config, reader)


def _check_lateness(detect: DetectConfig, reader: _Reader) -> None:
    """A bound is waited for, and what may still matter is kept as long: so it has to be one."""
    places = [reader.place(("detect", "lateness"))]
    places += [reader.item(("detect", "sources"), number) for number in range(len(detect.sources))]
    for place, text in zip(places, [detect.lateness, *(one.lateness for one in detect.sources)], strict=True):
        try:
            bound = parse_duration(text)
        except WatchbillError as error:
            raise ConfigError(error.what, place=place, mend=error.mend) from None
        if bound > _MOST_LATENESS:
            raise ConfigError(f"{text!r} is more than 31 days", place=place, mend="write a shorter lateness")
    for number, one in enumerate(detect.sources):
        if not one.name.strip():
            mend = 'write the name of a source, or a pattern such as "syslog-udp:*"'
            raise ConfigError("a lateness is for no source", place=places[number + 1], mend=mend)


def _check_receivers(config: Config, reader: _Reader) -> None:
    tls, push, syslog = config.tls, config.push, config.syslog
    if bool(tls.certificate) != bool(tls.key):
        raise reader.error(("tls", "certificate"), "a certificate needs its key", "set certificate and key under [tls]")
    if not 1 << 16 <= push.max_body <= 1 << 26:
        raise reader.error(
            ("push", "max_body"), f"{push.max_body} bytes is no sensible bound", "write a number from 65536 to 67108864"
        )
    if not push.is_local and push.tls and push.behind_tls_proxy:
        mend = "behind a proxy that ends TLS take tls away; else take behind_tls_proxy away"
        raise reader.error(("push", "behind_tls_proxy"), "TLS cannot be both here and in a proxy before us", mend)
    taken: dict[int, str] = {}
    for name in ("tcp_port", "tls_port", "relp_port"):
        port = getattr(syslog, name)
        if port and port in taken:
            raise reader.error(("syslog", name), f"port {port} is {taken[port]} already", "write another number")
        taken[port] = name


class _Reader:
    """Builds dataclasses from a TOML table, knowing where each key stands in the text."""

    def __init__(self, text: str, name: str) -> None:
        self.lines = text.splitlines()
        self.name = name

    def error(self, path: tuple[str, ...], what: str, mend: str) -> ConfigError:
        return ConfigError(what, place=self.place(path), mend=mend)

    def place(self, path: tuple[str, ...]) -> Place:
        """The line of a key: the first line that sets it after its section's header."""
        section, inside = ".".join(path[:-1]), len(path) == 1
        for number, line in enumerate(self.lines, 1):
            if header := re.match(r"\s*\[+\s*([\w.\-]+)\s*\]+", line):
                inside = header[1] == section
                if header[1] == ".".join(path):
                    return Place(self.name, number)
            elif inside and re.match(rf"\s*\"?{re.escape(path[-1])}\"?\s*=", line):
                return Place(self.name, number)
        return Place(self.name)

    def item(self, path: tuple[str, ...], number: int) -> Place:
        """The line on which the table of that number (from 0) in a list of tables begins."""
        header = re.compile(rf"\s*\[\[\s*{re.escape('.'.join(path))}\s*\]\]")
        if headers := [line for line, text in enumerate(self.lines, 1) if header.match(text)]:
            return Place(self.name, headers[number])
        place = self.place(path)
        for line in range(place.line or 1, len(self.lines) + 1):
            number -= self.lines[line - 1].count("{")
            if number < 0:
                return Place(self.name, line)
        return place

    def overlay(self, kind: type, table: dict[str, Any], environ: Mapping[str, str], prefix: str = "WATCHBILL") -> None:
        """Put what the environment says over the table, as text that ``build`` then reads by type."""
        hints = get_type_hints(kind)
        for item in fields(kind):
            name = f"{prefix}_{item.name.upper()}"
            if is_dataclass(hints[item.name]):
                inner = table.setdefault(item.name, {})
                if isinstance(inner, dict):
                    self.overlay(hints[item.name], inner, environ, name)
            elif name in environ:
                table[item.name] = _Spelled(environ[name], name)

    def build(self, kind: type, table: object, path: tuple[str, ...]) -> Any:
        if not isinstance(table, dict):
            raise self.error(path, f"{path[-1]} must be a section", f"write [{'.'.join(path)}]")
        hints = get_type_hints(kind)
        for key in table:
            if key not in hints:
                near = ", ".join(sorted(hints))
                raise self.error((*path, key), f"there is no setting {'.'.join((*path, key))}", f"one of: {near}")
        values = {key: self.value(hints[key], value, (*path, key)) for key, value in table.items()}
        try:
            return kind(**values)
        except TypeError:
            missing = [item.name for item in fields(kind) if item.name not in values]
            raise self.error(path, f"{'.'.join(path)} says too little", f"set {missing[0]}") from None

    def value(self, kind: Any, value: object, path: tuple[str, ...]) -> Any:
        if is_dataclass(kind) and isinstance(kind, type):
            return self.build(kind, value, path)
        if isinstance(value, _Spelled):
            value = value.read(kind)
        if get_origin(kind) is tuple:
            if not isinstance(value, list):
                raise self.error(path, f"{path[-1]} must be a list", f'write {path[-1]} = ["…"]')
            return tuple(self.value(get_args(kind)[0], item, path) for item in value)
        if type(value) is not kind:
            wanted = {str: "text in quotes", int: "a whole number", bool: "true or false"}[kind]
            raise self.error(path, f"{path[-1]} is {value!r}", f"write {wanted}")
        return value


class _Spelled(str):
    """A setting as the environment spells it."""

    __slots__ = ("name",)

    def __new__(cls, text: str, name: str) -> Self:
        spelled = super().__new__(cls, text)
        spelled.name = name
        return spelled

    name: str

    def read(self, kind: Any) -> object:
        try:
            if kind is int:
                return int(self)
            if kind is bool:
                return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[
                    self.lower()
                ]
        except (ValueError, KeyError):
            mend = "write true or false" if kind is bool else "write a whole number"
            raise ConfigError(f"{self.name} is {str(self)!r}", place=Place("environment"), mend=mend) from None
        if get_origin(kind) is tuple:
            return [part.strip() for part in self.split(",") if part.strip()]
        return str(self)


def write_default(path: Path) -> None:
    """Write a commented configuration for people to start from, unless there is one."""
    if not path.exists():
        path.write_text(_DEFAULT, "utf-8")
        path.chmod(0o600)


_DEFAULT = """\
# Watchbill's configuration. Every line is the default; take the # away to change it, then restart.

# database = ""                # "postgresql://user:password@host/name"; empty: SQLite in this folder
# timezone = "UTC"             # of log lines that do not say theirs

[console]
# host = "127.0.0.1"           # beyond this machine the console wants TLS
# port = 8850
# base_url = ""                # the address that people use, for links in notifications
# tls_certificate = ""
# tls_key = ""

[syslog]
# host = "127.0.0.1"
# udp_port = 5514              # 0 switches it off
# tcp_port = 5514
# tls_port = 0                 # syslog over TLS: 6514; first make certificates: watchbill receivers cert
# relp_port = 0                # RELP: 2514
# relp_tls = false

[push]                         # Splunk HEC, OTLP/HTTP logs and NDJSON; tokens: watchbill receivers token add NAME
# host = "127.0.0.1"           # beyond this machine it speaks TLS
# port = 0                     # 8088 is usual

[collect]
# discover = true              # find journald, /var/log/auth.log, nginx … by itself
# files = [{ path = "/var/log/app.json", format = "json", name = "app" }]

[detect]
# rules = ["/etc/watchbill/rules"]
# lateness = "10m"             # so late and shuffled records may be
# sources = [{ name = "syslog-udp:*", lateness = "1h" }]

[ledger]                       # keep its head elsewhere, too: docs/ledger.md
# witnesses = [{ url = "https://witness.example", key = "witness.example/w1+24b5d9fe+BP0X…" }]
# timestamps = [{ url = "https://tsa.example/tsr", name = "tsa" }]
# timestamp_every = "1h"
# verify_every = "1d"
# publish = false              # heads and hashes for anybody at /ledger/SHARD/
"""
