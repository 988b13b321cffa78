"""Third-party logs with known answers. Each floor is what was measured; a fall is a regression."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import ocsf_schema
import pytest
from normalising import PARSERS, normalised

from watchbill.engine.normalise import split_records
from watchbill.sdk.ocsf import canonical_ip


@pytest.fixture(scope="session")
def schema(shared_data):
    return ocsf_schema.load(shared_data / "ocsf_schema")


def lines_of(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]


def our_logs(root: Path) -> list[Path]:
    """The files of the shared data that belong to the first parsers."""
    beats = root / "beats_filebeat"
    found = [path for part in ("system", "nginx", "apache", "auditd") for path in (beats / "oss" / part).rglob("*.log")]
    found += (beats / "x-pack" / "aws" / "cloudtrail").rglob("*.log")
    services = (
        "azure",
        "gcp",
        "google_workspace",
        "o365",
        "okta",
        "zeek",
        "squid",
        "iptables",
        "coredns",
        "cisco",
        "panw",
        "fortinet",
    )
    found += [path for part in services for path in (beats / "x-pack" / part).rglob("*.log")]
    found += (root / "crowdsec_hub_tests").glob("*/*.log")
    found += (root / "fail2ban_logs" / "logs").glob("*")
    found += (root / "loghub").rglob("*.log")
    found += (root / "wazuh_tests" / "tests").glob("*.ini")
    found += (
        sorted((root / "invictus_cloudtrail").rglob("*.json"))[:5]
        + list((root / "stratus_red_team").rglob("*.json"))[:20]
    )
    return sorted(path for path in set(found) if path.is_file())


def test_every_event_validates_against_ocsf(shared_data, schema):
    """Whatever the line, what comes of it is valid OCSF 1.8, and none is quarantined as a parser's failure."""
    faults: Counter[str] = Counter()
    classes: Counter[int] = Counter()
    count = 0
    for path in our_logs(shared_data):
        seen = set()
        for event in normalised(split_records(path.read_bytes())[:400], name=path.name):
            count += 1
            classes[event.class_uid] += 1
            assert not event.flaw.startswith("the parser"), (path, event.flaw, event.message)
            for fault in schema.faults(event.ocsf):
                if fault not in seen:
                    seen.add(fault)
                    faults[f"{event.parser}: {fault}"] += 1
    assert count > 8_000
    assert len(classes) >= 10, classes
    assert not faults, faults.most_common(30)


def test_every_sample_validates_against_ocsf(schema):
    for parser in PARSERS:
        for sample in parser.samples:
            if sample.class_uid is not None:
                event = normalised([sample.raw], transport="internal" if parser.internal else "replay")[0]
                assert not schema.faults(event.ocsf), (parser.id, sample.raw)


def fail2ban(root: Path, name: str):
    """Yield (annotation, line) of one of fail2ban's annotated logs."""
    said = None
    for line in (root / "fail2ban_logs" / "logs" / name).read_text(errors="surrogateescape").split("\n"):
        if match := re.match(r"# ?failJSON: (\{.*\})", line):
            said = json.loads(match[1])
        elif said and line.strip() and not line.startswith("#"):
            yield said, line
            said = None


@pytest.mark.parametrize(
    ("name", "floor"),
    # What is left: expectations that contradict one another by fail2ban's mode, two that look into the future
    # (a failure told by a later success), formats that fail2ban gave up, and a denial by mod_evasive.
    [
        ("sshd", 149),
        ("pam-generic", 8),
        ("apache-auth", 44),
        ("nginx-http-auth", 18),
        ("nginx-forbidden", 2),
        ("vsftpd", 8),
    ],
)
def test_fail2ban_failures(shared_data, name, floor):
    """A line that fail2ban counts is a failure by that host; one that it must not count is none."""
    items = list(fail2ban(shared_data, name))
    right = 0
    for (said, _), event in zip(items, normalised([line for _, line in items]), strict=True):
        failed = event.ocsf["status_id"] == 2
        peer = event.ocsf.get("src_endpoint.ip") or event.ocsf.get("src_endpoint.hostname")
        right += (failed and said.get("host") in {None, peer}) if said["match"] else not failed
    assert right >= floor, f"{right} of {len(items)}"


_CROWDSEC = re.compile(
    r'results\["s01-parse"\]\["crowdsecurity/([\w-]+)"\]\[(\d+)\]\.Evt\.Meta\["(\w+)"\] == "((?:[^"\\]|\\.)*)"'
)
_META = {
    "source_ip": ("src_endpoint.ip",), "target_user": ("user.name", "actor.user.name"), "http_path": ("cs-uri",),
    "http_status": ("sc-status",), "http_verb": ("cs-method",), "http_user_agent": ("cs-user-agent",),
    "target_fqdn": ("dst_endpoint.hostname", "cs-host"),
}  # fmt: skip


def test_crowdsec_parsers(shared_data):
    """Addresses, users and requests are those that CrowdSec's own parsers find, for the formats that are ours."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for folder in sorted((shared_data / "crowdsec_hub_tests").iterdir()):
        asserted, log = folder / "parser.assert", next(iter(folder.glob("*.log")), None)
        if not asserted.is_file() or log is None:
            continue
        events = normalised(lines_of(log), name=log.name)
        for parser, index, name, value in _CROWDSEC.findall(asserted.read_text()):
            if (
                parser not in {"sshd-logs", "nginx-logs", "apache2-logs"}
                or name not in _META
                or int(index) >= len(events)
            ):
                continue
            event = events[int(index)]
            if event.parser in {"json", "syslog"} and parser == "nginx-logs":
                continue  # a proxy manager's own format
            found = {str({**event.native, **event.ocsf}.get(field)) for field in _META[name]}
            total[parser] += 1
            right[parser] += value.encode().decode("unicode_escape") in found
    assert total["sshd-logs"] >= 35
    assert right["sshd-logs"] == total["sshd-logs"]
    assert right["nginx-logs"] >= total["nginx-logs"] - 1
    assert right["apache2-logs"] >= total["apache2-logs"] - 1


@pytest.mark.parametrize(
    ("name", "attackers"),
    [
        ("ssh-bf", {"35.188.49.176": 6}),
        ("ssh-slow-bf", {"103.100.210.198": 22}),
        ("sshd-impossible-travel", {}),
        ("sshd-logs-fp", {}),
    ],
)
def test_crowdsec_failures_by_address(shared_data, name, attackers):
    """The sums of failed sign-ins by address are what the brute-force scenarios count."""
    log = next((shared_data / "crowdsec_hub_tests" / name).glob("*.log"))
    assert failures(normalised(lines_of(log))) == attackers


def failures(events) -> Counter[str]:
    sums: Counter[str] = Counter()
    for event in events:
        if event.class_uid == 3002 and event.ocsf["status_id"] == 2:
            sums[event.ocsf.get("src_endpoint.ip", "")] += event.ocsf.get("count", 1)
    return sums


def test_loghub_openssh(shared_data):
    """Headers agree with loghub's columns; no attempt is counted twice and none is forgotten."""
    folder = shared_data / "loghub" / "OpenSSH"
    rows = list(csv.DictReader((folder / "OpenSSH_2k.log_structured.csv").read_text().splitlines()))
    raw = lines_of(folder / "OpenSSH_2k.log")
    events = normalised(raw)
    for row, event in zip(rows, events, strict=True):
        assert (event.host, event.native["pid"]) == (row["Component"], row["Pid"])
        assert event.message.strip() == row["Content"].strip()
    verdicts = sum(line.count(b"Failed password") + line.count(b"Failed none") for line in raw)
    sums = failures(events)
    assert verdicts <= sums.total() <= verdicts + 20
    assert sums["183.62.140.253"] == 286


_ECS = {
    "source.ip": ("src_endpoint.ip",), "source.port": ("src_endpoint.port",),
    "user.name": ("user.name", "actor.user.name", "process.user.name", "acct"), "process.pid": ("pid",),
    "host.hostname": ("device.hostname",), "http.response.status_code": ("http_response.code",),
    "http.request.method": ("cs-method",), "url.original": ("cs-uri",), "user_agent.original": ("http_request.user_agent", "userAgent"),
    "http.response.body.bytes": ("http_response.length",), "group.name": ("group.name",), "log.level": ("level",),
    "cloud.region": ("cloud.region",), "cloud.account.id": ("cloud.account.uid",), "event.id": ("metadata.uid",),
    "event.provider": ("api.service.name",), "user.id": ("user.uid", "auid", "uid", "userIdentity.principalId"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "fields", "wrong"),
    [
        ("oss/system/auth/*.log", 375, 0),
        ("oss/system/syslog/*.log", 160, 0),
        ("oss/nginx/access/*.log", 102, 0),
        ("oss/nginx/error/*.log", 4, 0),
        ("oss/apache/*/*.log", 107, 0),
        ("oss/auditd/log/*.log", 181, 3),  # two peers and a user that have no place in a Base Event
        ("x-pack/aws/cloudtrail/*.log", 169, 0),
    ],
)
def test_beats_fields(shared_data, pattern, fields, wrong):
    """What Elastic's pipelines find is found under OCSF's or the source's own names."""
    total, differ = 0, []
    for path in sorted((shared_data / "beats_filebeat").glob(pattern)):
        raw = path.read_bytes()
        zone = "Etc/GMT+2" if "error" in str(path) else "UTC"
        for said in json.loads(path.with_name(f"{path.name}-expected.json").read_text()):
            if "multiline" in said.get("log.flags", []):
                continue
            line = raw[said["log.offset"] :].split(b"\n", 1)[0]
            (event,) = normalised([line], name=path.name, timezone=zone)
            for name, paths in _ECS.items():
                want = said.get(name)
                want = want[0] if isinstance(want, list) else want
                if want in {None, "-"}:
                    continue
                total += 1
                found = {str({**event.native, **event.ocsf}.get(field)) for field in paths}
                if str(want) not in found and canonical_ip(str(want)) not in found:
                    differ.append((name, want, found, line[:120]))
            outcome = {"success": 1, "failure": 2}.get(said.get("event.outcome", ""))
            if outcome and event.ocsf["status_id"] != outcome:
                differ.append(("event.outcome", outcome, line[:120]))
    assert total >= fields
    assert len(differ) <= wrong, differ


_DECODERS = {
    "sshd": {"sshd", "pam"}, "sudo": {"sudo", "pam"}, "systemd": {"systemd"}, "nginx-errorlog": {"nginx"},
    "auditd": {"auditd"}, "apache-errorlog": {"apache"}, "web-accesslog": {"nginx", "apache"}, "vsftpd": {"vsftpd", "pam"},
}  # fmt: skip


def test_wazuh_recognition(shared_data):
    """Each line of Wazuh's own tests goes to the parser of its decoder."""
    wrong, total = [], 0
    for path in sorted((shared_data / "wazuh_tests" / "tests").glob("*.ini")):
        lines: list[str] = []
        for row in path.read_text(errors="surrogateescape").split("\n"):
            if match := re.match(r"log \d+ (?:pass|fail) = (.*)", row):
                lines.append(match[1])
            elif match := re.match(r"decoder = (\S*)", row):
                if match[1] in _DECODERS:
                    total += len(lines)
                    wrong += [line for line in lines if normalised([line])[0].parser not in _DECODERS[match[1]]]
                lines = []
    assert total >= 140
    assert not wrong


@pytest.mark.parametrize(
    ("files", "parser", "floor"),
    [
        ("okta", "okta", 35), ("github", "github", 25), ("azure_*", "azure", 125), ("gcp_*", "google_cloud", 80),
        ("gsuite_*", "google_workspace", 65), ("kubernetes", "kubernetes", 70), ("aws_eks", "kubernetes", 12),
        ("microsoft", "microsoft365", 8),
    ],
    ids=lambda value: str(value).strip("_*"),
)  # fmt: skip
def test_panthers_events_are_recognised(shared_data, schema, files, parser, floor):
    """Records of cloud services, also as data warehouses spell them, become valid events of their own parser."""
    paths = sorted((shared_data / "panther_tests").glob(f"{files}_rules.jsonl"))
    rows = [json.loads(line)["event"] for path in paths for line in path.read_text().splitlines()]
    events = normalised([json.dumps(row) for row in rows if isinstance(row, dict)])
    assert sum(event.parser == parser for event in events) >= floor
    assert not [fault for event in events for fault in schema.faults(event.ocsf)]
