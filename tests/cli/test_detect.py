"""``watchbill detect`` as people call it: what it prints, and its exit codes."""

import gc
import json
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from watchbill.cli.root import watchbill

RULE = """
title: A service was installed
id: 5f1f2a3e-0f0e-4e3a-9b69-0d0c9a3c2b11
description: Somebody installed a service.
status: test
tags: [attack.persistence, attack.t1543.003]
logsource: {product: windows, service: system}
detection: {selection: {EventID: 7045}, condition: selection}
level: high
"""
NAMED = (
    "title: A\nlogsource: {product: windows}\ndetection: {s: {ServiceName|expand: '%known%'}, condition: s}\nlevel: low"
)


@pytest.fixture
def detect(tmp_path, monkeypatch):
    """Runs the command in a folder with a rule and a log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "service_installed.yml").write_text(RULE)
    record = {
        "Channel": "System",
        "EventID": 7045,
        "Hostname": "ws-01",
        "ServiceName": "a\x1b[31m",
        "@timestamp": "2026-03-04T10:00:00Z",
    }
    (tmp_path / "log.json").write_text(json.dumps(record) + "\n" + '{"Channel":"System","EventID":1}\n')

    def run(*arguments, code):
        done = CliRunner().invoke(watchbill, ["detect", *arguments], prog_name="watchbill")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return done

    thresholds = gc.get_threshold()
    yield run
    gc.unfreeze()  # what the command did for a process of its own
    gc.set_threshold(*thresholds)


def test_a_report_for_people(detect):
    """A table, then what is behind it, then what was looked at; nothing of the log steers the terminal."""
    said = detect("--rules", "rules", "log.json", code=1).stdout
    assert "high   A service was installed  1     ws-01  2026-03-04T10:00:00Z" in said
    assert "HIGH A service was installed  T1543.003" in said
    assert "log.json at 0" in said
    assert "2 records of 1 file: windows/system 2" in said
    assert "\x1b[31m" not in said


def test_one_object_a_detection_for_programs(detect):
    """With all that is needed to go on: rule, reasons, who, where it stands and the record's fields."""
    done = detect("--rules", "rules", "--json", "log.json", code=1)
    (hit,) = map(json.loads, done.stdout.splitlines())
    assert (hit["rule"], hit["level"], hit["host"], hit["count"]) == ("service_installed", "high", "ws-01", 1)
    assert (hit["first"], hit["file"], hit["place"]) == ("2026-03-04T10:00:00Z", "log.json", 0)
    assert hit["why"] == ["A service was installed: EventID is '7045'."]
    assert hit["fields"]["EventID"] == 7045
    assert "2 records of 1 file" in done.stderr


def test_exit_codes(detect, tmp_path):
    """0 nothing found, 1 something found, 2 something could not be read."""
    detect("log.json", code=0)
    detect("--rules", "rules", "--min-level", "critical", "log.json", code=0)
    (tmp_path / "torn.evtx").write_bytes(b"ElfFile\0" + b"\0" * 4_088 + b"ElfChnk\0" + b"\1" * 500)
    assert "torn.evtx at byte 4096" in detect("torn.evtx", code=2).stderr
    assert "there is no file nowhere" in detect("nowhere", code=2).stderr
    assert "the format 'x' is unknown" in detect("--format", "x", "log.json", code=2).stderr


def test_rules_from_a_zip_and_placeholders(detect, tmp_path):
    """A downloaded archive is used as it is; values for %names% come from a file."""
    with zipfile.ZipFile(tmp_path / "rules.zip", "w") as archive:
        archive.writestr("sigma/rules/service_installed.yml", RULE)
        archive.writestr("sigma/rules/named.yml", NAMED)
    assert "1 do not run" in detect("--rules", "rules.zip", "log.json", code=1).stdout
    assert not (tmp_path / "cache").exists()  # it is unpacked into another folder each time
    (tmp_path / "known.yml").write_text("known: ['a*', b]\n")
    said = detect("--rules", "rules.zip", "--placeholders", "known.yml", "log.json", code=1).stdout
    assert "low    A " in said
    (tmp_path / "known.yml").write_text("known: {a: b}\n")
    refused = detect("--rules", "rules.zip", "--placeholders", "known.yml", "log.json", code=2).stderr
    assert "known.yml:1: known must be a value or a list of values" in refused


def test_rules_are_kept_as_they_were_loaded(detect, tmp_path):
    """A file for each set of rules, its owner's alone; of a rule that changed nothing is kept, and old sets go."""
    folder = tmp_path / "cache" / "watchbill"
    first = detect("--rules", "rules", "log.json", code=1).stdout
    (kept,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    before = kept.stat().st_mtime_ns
    assert detect("--rules", "rules", "log.json", code=1).stdout == first
    assert kept.stat().st_mtime_ns == before

    rule = tmp_path / "rules" / "service_installed.yml"
    rule.write_text(rule.read_text().replace("7045", "7046"))
    detect("--rules", "rules", "log.json", code=0)
    assert kept.stat().st_mtime_ns > before
    kept.write_bytes(b"damaged")
    detect("--rules", "rules", "log.json", code=0)
    for name in "abcde":
        (tmp_path / f"{name}.yml").write_text(RULE)
        detect("--rules", f"{name}.yml", "log.json", code=1)
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("home", ["a file", "others may write"])
def test_where_nothing_can_be_kept_rules_are_loaded_anew(home, detect, tmp_path):
    """And nothing is taken from a folder into which somebody else may have put it."""
    folder = tmp_path / "cache" / "watchbill"
    if home == "a file":
        (tmp_path / "cache").write_text("")
    else:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    assert "A service was installed" in detect("--rules", "rules", "log.json", code=1).stdout
    assert not folder.is_dir() or not list(folder.iterdir())


def test_json_from_a_pipe_is_judged_as_from_a_file(detect, tmp_path):
    """Other lines between are no hindrance; what is found has its place."""
    del detect
    lines = ["this is no JSON", *(tmp_path / "log.json").read_text().splitlines()]
    arguments = [sys.executable, "-m", "watchbill", "detect", "--rules", "rules", "--json", "-"]
    for order in (lines, lines[1:] + lines[:1]):
        said = subprocess.run(
            arguments, cwd=tmp_path, input="\n".join(order).encode(), capture_output=True, check=False
        )
        assert said.returncode == 1
        hit = json.loads(said.stdout)
        assert (hit["title"], hit["place"]) == ("A service was installed", "\n".join(order).index("{"))
        assert "3 records of 1 file" in said.stderr.decode()


def test_who_interrupts_it_is_told_what_was_found_and_that_it_is_not_all(detect, tmp_path):
    """Ctrl-C while there is more to read: the report so far, marked, and an exit code of its own."""
    del detect  # its files are what is needed
    # Whoever runs the tests in the background of a shell has them ignore SIGINT, and with them what they start.
    arguments = [
        "env",
        "--default-signal=INT",
        sys.executable,
        "-m",
        "watchbill",
        "detect",
        "--rules",
        "rules",
        "--format",
        "jsonl",
        "-",
    ]
    with subprocess.Popen(
        [*arguments, "--json"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdin.write((tmp_path / "log.json").read_bytes())  # what follows a log is told of it at once
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["title"] == "A service was installed"
        while Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.05)  # until it waits for more
        for _ in range(2):  # a signal on the way into waiting is seen with the next one
            running.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(30)
                break
        running.stdin.close()
        said = running.stderr.read().decode()
    assert running.returncode == 130
    assert said.startswith("Interrupted: this is what had been found by then.")
    assert "records of 1 file" in said
