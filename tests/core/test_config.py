"""The configuration says what is wrong, where, and how to mend it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.config import _DEFAULT, Config
from watchbill.core.errors import ConfigError


def test_nothing_written_means_the_defaults():
    """An installation needs no file."""
    config = Config.parse("")
    assert config.console.url == "http://127.0.0.1:8850"
    assert config == Config.parse(_DEFAULT)


def test_default_file_lists_real_settings():
    """Each commented line of the default file is a setting; those that give no example hold the default."""
    examples = ("files = ", "rules = ", "sources = ", "witnesses = ", "timestamps = ")
    named = [line for line in _DEFAULT.splitlines() if not any(example in line for example in examples)]
    text = "\n".join(line.removeprefix("# ") if " = " in line else line for line in named)
    assert Config.parse(text) == Config()


def test_files_and_sections_are_read():
    """Nested tables become values."""
    config = Config.parse('[collect]\nfiles = [{ path = "/var/log/a", format = "json" }]\n[syslog]\nudp_port = 0\n')
    assert config.collect.files[0].format == "json"
    assert config.syslog.udp_port == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[console]\nhost = "127.0.0.1"\nport = "x"', "watchbill.toml:3: port is 'x'. To mend: write a whole number"),
        ("[console]\nprot = 1", "watchbill.toml:2: there is no setting console.prot"),
        ("console = 1", "watchbill.toml:1: console must be a section"),
        ("[console]\nport = 99999", "watchbill.toml:2: 99999 is no port"),
        ("a = = 2", "watchbill.toml:1: this is not TOML"),
        ('timezone = "Mars/Base"', "watchbill.toml:1: 'Mars/Base' is no time zone"),
        ('[console]\nhost = "0.0.0.0"', "watchbill.toml:2: the console would answer on 0.0.0.0 without TLS"),
        ('database = "mysql://x"', "watchbill.toml:1: only PostgreSQL"),
        ('[detect]\nlateness = "soon"', "watchbill.toml:2: 'soon' is no duration"),
        ('[detect]\nlateness = "9w"', "watchbill.toml:2: '9w' is more than 31 days"),
        (
            '[detect]\nsources = [\n{ name = "a", lateness = "1h" },\n{ name = "b", lateness = "1" }]',
            "watchbill.toml:4: '1' is",
        ),
        (
            '[[detect.sources]]\nname = "a"\nlateness = "1h"\n[[detect.sources]]\nname = " "\nlateness = "1h"',
            "toml:4: a late",
        ),
        ('[detect]\nsources = [{ name = "a" }]', "set lateness"),
        ('[collect]\nfiles = [{ format = "json" }]', "set path"),
        ('[detect]\nrules = "x"', "watchbill.toml:2: rules must be a list"),
        ("[syslog]\ntcp_port = 6514\ntls_port = 6514", "watchbill.toml:3: port 6514 is tcp_port already"),
        ("[syslog]\nrelp_port = -1", "watchbill.toml:2: -1 is no port"),
        ("[push]\nport = 8088\nmax_body = 10", "watchbill.toml:3: 10 bytes is no sensible bound"),
        ('[push]\nhost = "::"\ntls = true\nbehind_tls_proxy = true', "watchbill.toml:4: TLS cannot be both"),
        ('[tls]\ncertificate = "a.pem"', "watchbill.toml:2: a certificate needs its key"),
    ],
)
def test_errors_name_line_and_mend(text, words):
    """A person can act on the message alone."""
    with pytest.raises(ConfigError) as error:
        Config.parse(text)
    assert words in str(error.value)


def test_environment_overrides_the_file():
    """The environment has the last word, typed as the file is."""
    environ = {"WATCHBILL_CONSOLE_PORT": "9000", "WATCHBILL_COLLECT_DISCOVER": "no", "WATCHBILL_DETECT_RULES": "a, b"}
    config = Config.parse("[console]\nport = 1", environ=environ)
    assert (config.console.port, config.collect.discover, config.detect.rules) == (9000, False, ("a", "b"))
    with pytest.raises(ConfigError, match="WATCHBILL_CONSOLE_PORT is 'x'"):
        Config.parse("", environ={"WATCHBILL_CONSOLE_PORT": "x"})


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    """No text makes the reader fail in another way than by saying so."""
    try:
        Config.parse(text)
    except ConfigError as error:
        assert str(error)


@pytest.mark.parametrize(
    "text",
    ['witnesses = [{ url = "w.example", key = "k" }]', 'witnesses = [{ url = "http://w.example" }]',
     'timestamps = [{ url = "ftp://tsa.example" }]', 'timestamp_every = "soon"', 'verify_every = "-1d"'],
    ids=range(5),
)  # fmt: skip
def test_anchors_that_cannot_work_are_refused(text):
    """With the line, before any process starts."""
    with pytest.raises(ConfigError) as caught:
        Config.parse(f"[ledger]\n{text}\n")
    assert caught.value.place.line == 2


@pytest.mark.parametrize(
    ("text", "encrypted"),
    [("", False), ('host = "0.0.0.0"', True), ("tls = true", True), ('host = "::"\nbehind_tls_proxy = true', False)],
    ids=range(4),
)
def test_pushes_from_elsewhere_are_encrypted(text, encrypted):
    """Beyond this machine there is no listener without TLS unless a proxy brings it."""
    assert Config.parse(f"[push]\n{text}\n").push.wants_tls == encrypted
