"""The right attackers appear as alerts and nobody else: third-party logs with answers that others worked out."""

import json
import re
from collections import defaultdict
from datetime import datetime, timedelta

import pytest
from trial import normalised, ruleset

from watchbill.core.times import from_rfc3339
from watchbill.core.values import Criticality, Severity
from watchbill.engine.detect import Detector

LATER = from_rfc3339("2027-12-31T00:00:00Z")


def alerts(lines, format_id="", name="shared", criticality=Criticality.MEDIUM):
    """All detections of all rules over these records, judged as one batch."""
    events = normalised(lines, format_id=format_id, name=name, received=LATER)
    detector = Detector(ruleset(), lambda _host: criticality)
    return detector.feed(events, detector.match(events))


def who(found):
    """(rule, the last value of the group: the address or the user) of each detection."""
    return sorted((one.rule, one.group[-1][1]) for one in found)


def test_openssh_shows_exactly_the_naive_attackers(shared_data):
    """loghub's OpenSSH log: an address alerts if and only if it failed five times within ten minutes, counted by hand
    from the "Failed password" lines; each is one alert, although many try dozens of user names.
    """
    lines = (shared_data / "loghub" / "OpenSSH" / "OpenSSH_2k.log").read_text().splitlines()
    failures = defaultdict(list)
    for line in lines:
        match = re.search(
            r"^(\w+ \d+ [\d:]+) .*?(?:repeated (\d+) times: \[ ?)?Failed password for .* from ([\d.]+) port", line
        )
        if match:
            moment = datetime.strptime(f"2026 {match[1]}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007 - only differences count
            failures[match[3]] += [moment] * int(match[2] or 1)
    window = timedelta(minutes=10)
    expected = {
        address
        for address, times in failures.items()
        if any(late - early <= window for early, late in zip(sorted(times), sorted(times)[4:], strict=False))
    }
    assert len(expected) == 11
    assert len(failures) > 2 * len(expected)
    assert who(alerts(lines)) == sorted(("failed_logins_by_address", address) for address in expected)


PROBED, GUESSED, SCANNED = "web_sensitive_paths_probed", "failed_logins_by_address", "web_scan"
CROWDSEC = [
    ("ssh-bf", "", {GUESSED}),
    ("ssh-slow-bf", "", {GUESSED}),
    ("apache-http-probing", "apache", {SCANNED}),
    ("http-dos-random-uri", "nginx", {SCANNED}),
    ("http-wordpress_wpconfig", "nginx", {PROBED}),
    ("nginx-http-path-traversal", "nginx", {PROBED}),
    ("nginx-http-sensitive-files", "nginx", {PROBED}),
    ("nginx-http-xss-probing", "nginx", {PROBED}),
]


@pytest.mark.parametrize(("name", "format_id", "rules"), CROWDSEC, ids=[case[0] for case in CROWDSEC])
def test_crowdsecs_attackers_appear(shared_data, name, format_id, rules):
    """The addresses that CrowdSec's own tests assert, all of them, each in one alert (where they have two names for one
    story, such as guessing and guessing of user names, we have one), and nobody else.
    """
    folder = shared_data / "crowdsec_hub_tests" / name
    log = folder / re.search(r"log_file: (\S+)", (folder / "config.yaml").read_text())[1]
    expected = set(re.findall(r'Sources\["([^"]+)"\]\.IP', (folder / "scenario.assert").read_text()))
    assert who(alerts(log.read_bytes().splitlines(), format_id)) == sorted((r, ip) for r in rules for ip in expected)


@pytest.mark.parametrize(
    ("name", "format_id"),
    [
        ("sshd-logs", ""), ("sshd-logs-fp", ""), ("apache2-logs", "apache"), ("jellyfin-whitelist", "nginx"),
        ("overseerr-whitelist", "nginx"), ("rocketchat-whitelist", "nginx"), ("nginx_http-catch-npm", "nginx"),
    ],
)  # fmt: skip
def test_where_crowdsec_expects_nobody_neither_do_we(shared_data, name, format_id):
    """Logs of parsers and of white lists: single failures, normal use."""
    folder = shared_data / "crowdsec_hub_tests" / name
    log = folder / re.search(r"log_file: (\S+)", (folder / "config.yaml").read_text())[1]
    assert who(alerts(log.read_bytes().splitlines(), format_id)) == []


def test_mail_sign_ins_refused_by_nginx(shared_data):
    """CrowdSec names two addresses; the second failed four times, which is below our five on a medium system and
    above our three on a high one.
    """
    log = shared_data / "crowdsec_hub_tests" / "nginx-mail-bf" / "nginx-mail-bf.log"
    lines = log.read_bytes().splitlines()
    assert who(alerts(lines, "nginx")) == [(GUESSED, "154.250.207.69")]
    high = who(alerts(lines, "nginx", criticality=Criticality.HIGH))
    assert high == [(GUESSED, "154.250.207.69"), (GUESSED, "5.34.207.182")]


def test_guessing_at_the_cloud_console(shared_data):
    """The asserted address, and one alert more for the account: its password was right and the second factor was not."""
    log = shared_data / "crowdsec_hub_tests" / "aws-bf" / "aws-bf.log"
    assert who(alerts(log.read_bytes().splitlines())) == [(GUESSED, "1.2.3.4"), ("mfa_challenge_failed", "<userName>")]


BENIGN = [
    ("beats_filebeat/oss/nginx/access/test.log", "nginx"),
    ("beats_filebeat/oss/nginx/access/test-with-host.log", "nginx"),
    ("beats_filebeat/oss/nginx/error/error.log", "nginx"),
    ("beats_filebeat/oss/nginx/ingress_controller/test.log", "nginx"),
    ("beats_filebeat/oss/apache/access/test.log", "apache"),
    ("beats_filebeat/oss/apache/access/ubuntu-2.2.22.log", "apache"),
    ("beats_filebeat/oss/apache/error/test.log", "apache"),
    ("beats_filebeat/oss/system/syslog/darwin-syslog.log", ""),
    ("beats_filebeat/oss/system/syslog/suse-syslog.log", ""),
    ("beats_filebeat/oss/auditd/log/test.log", "auditd"),
    ("beats_filebeat/oss/auditd/log/avc.log", "auditd"),
    ("loghub/Mac/Mac_2k.log", ""),
    ("loghub/Apache/Apache_2k.log", "apache"),
]


@pytest.mark.parametrize(("path", "format_id"), BENIGN, ids=[path for path, _ in BENIGN])
def test_normal_logs_alert_nobody(shared_data, path, format_id):
    """Thousands of lines of ordinary life, and not one alert."""
    assert who(alerts((shared_data / path).read_bytes().splitlines(), format_id, path)) == []


def test_a_linux_servers_real_attackers(shared_data):
    """A thousand lines of a server on the internet: three addresses guess at root, nobody else is named."""
    lines = (shared_data / "beats_filebeat/oss/system/auth/secure-rhel7.log").read_bytes().splitlines()
    by_address = defaultdict(int)
    for line in lines:
        if match := re.search(rb"Failed password for .* from ([\d.]+) port", line):
            by_address[match[1].decode()] += 1
    expected = {address for address, count in by_address.items() if count >= 5}
    assert who(alerts(lines)) == sorted((GUESSED, address) for address in expected)


def test_fail2bans_lines_frame_nobody(shared_data):
    """Lines of bug reports, hostile ones among them: who alerts has five annotated failures, and nobody does whose
    lines are all annotated as harmless (injections, successes).
    """
    for name, format_id in (("sshd", ""), ("nginx-http-auth", "nginx"), ("apache-auth", "apache"), ("pam-generic", "")):
        lines = (shared_data / "fail2ban_logs" / "logs" / name).read_text(errors="replace").splitlines()
        counts, note = defaultdict(int), None
        for line in lines:
            if match := re.match(r"# failJSON: (\{.*\})", line):
                note = json.loads(match[1])
            elif line and not line.startswith("#"):
                if note and note.get("match"):
                    counts[note.get("host")] += 1
                note = None
        named = {address for _, address in who(alerts([one for one in lines if one[:1] != "#"], format_id, name))}
        assert named <= {host for host, count in counts.items() if count >= 5}, name


def records(path):
    found = json.loads(path.read_text())
    return [json.dumps(one) for one in (found["Records"] if isinstance(found, dict) else found)]


def test_every_detonated_cloud_technique_is_told(shared_data):
    """Stratus Red Team: each of its logs alerts by a rule of one of the tactics that its page names."""
    folder = shared_data / "stratus_red_team"
    infos = ruleset().infos
    missed = []
    for path in sorted(folder.glob("*.json")):
        page = (folder / "technique_docs" / f"{path.stem}.md").read_text()
        tactics = {
            f"attack.{name.strip().lower().replace(' ', '-')}"
            for name in re.findall(r"^  +- ([A-Z][A-Za-z ]+)$", page.partition("## Description")[0], re.MULTILINE)
        }
        assert tactics, path.stem
        tags = {tag for one in alerts(records(path)) for tag in infos[one.rule].tags}
        if not tags & tactics:
            missed.append((path.stem, sorted(tactics)))
    assert missed == []


#: What a naive search for the operation's name must find as an alert, when the call was not refused.
OPERATIONS = {
    "cloud_logging_changed": {"StopLogging", "DeleteTrail", "PutEventSelectors", "DeleteFlowLogs"},
    "cloud_secrets_read": {"GetSecretValue"},
    "cloud_instance_secrets_read": {"GetPasswordData"},
    "cloud_organization_left": {"LeaveOrganization"},
    "cloud_identity_made": {"CreateRole"},
    "user_created": {"CreateUser"},
    "cloud_credentials_for_another": {"CreateLoginProfile", "UpdateLoginProfile"},
    "cloud_machine_entered": {"SendCommand", "StartSession"},
}
REFUSED_TOO = {"cloud_organization_left", "cloud_instance_secrets_read"}


def test_an_attack_on_a_cloud_account(shared_data):
    """Invictus' 2,251 real records: what a search by name finds is told, by one identity each, in few alerts."""
    lines = [line for path in sorted((shared_data / "invictus_cloudtrail").glob("*.json")) for line in records(path)]
    done, tried = set(), set()
    for line in lines:
        record = json.loads(line)
        tried.add(record["eventName"])
        if "errorCode" not in record:
            done.add(record["eventName"])
    found = alerts(lines)
    rules = {one.rule for one in found}
    expected = {
        rule for rule, names in OPERATIONS.items() if names & (tried if rule in REFUSED_TOO else done)
    }  # fmt: skip
    assert {rule for rule in rules if rule in OPERATIONS} == expected
    assert len(found) <= 20
    assert {name for _, name in who(found) if name != "bert-jan" and "stratus-red-team" not in name} == set()


def test_wazuhs_harmless_lines_are_harmless(shared_data):
    """What Wazuh rates 0 to 3 raises nothing, and what we do raise on single lines is what it rates 4 or more."""
    for path in sorted((shared_data / "wazuh_tests" / "tests").glob("*.ini")):
        for block in re.split(r"\n(?=\[)", path.read_text(errors="replace")):
            level = re.search(r"^alert ?= ?(\d+)", block, re.MULTILINE)
            lines = re.findall(r"^log \d+ pass ?= ?(.*)$", block, re.MULTILINE)
            if level and int(level[1]) <= 3:
                assert who(alerts(lines)) == [], (path.stem, lines)


def test_wazuhs_guessing_is_guessing(shared_data):
    """Its composed rules of level 10 for sshd (repeated wrong passwords, repeated unknown users) are our one rule."""
    text = (shared_data / "wazuh_tests" / "tests" / "sshd.ini").read_text(errors="replace")
    blocks = {
        match[1]: re.findall(r"^log \d+ pass ?= ?(.*)$", block, re.MULTILINE)
        for block in re.split(r"\n(?=\[)", text)
        if (match := re.search(r"^rule ?= ?(\d+)", block, re.MULTILINE))
    }
    for number in ("5763", "5712"):
        found = alerts(blocks[number])
        assert [(one.rule, one.severity) for one in found] == [(GUESSED, Severity.HIGH)], number
