"""Larkfield Instruments: who works there and what they own."""

from __future__ import annotations

from typing import NamedTuple

from watchbill.core.values import Criticality

COMPANY = "Larkfield Instruments (demo)"
ACCOUNT = "123456789012"
CLOUD = f"aws:{ACCOUNT}"

_TEAMS = {
    "rd.engineer": 18, "sw.engineer": 10, "lab.tech": 12, "sales.rep": 10, "support.agent": 7, "finance.clerk": 6,
    "production.planner": 5, "hr.partner": 3, "ops.engineer": 3, "net.engineer": 2, "sec.analyst": 2, "dba": 1, "ops.lead": 1,
}  # fmt: skip
#: Login names: a role and a number, nobody real.
PEOPLE = tuple(f"{role}{number}" for role, count in _TEAMS.items() for number in range(1, count + 1))
SERVICES = ("svc-deploy", "svc-backup", "svc-metrics")


class DemoAsset(NamedTuple):
    """A thing of value, whose role owns it, and the sources that should be heard from it."""

    name: str
    criticality: Criticality
    owner: str
    purpose: str
    expected_sources: tuple[str, ...]


_HIGH = {
    "fin-db-01": ("finance-systems", "ledger database"), "hr-db-01": ("human-resources", "personnel database"),
    "erp-db-01": ("production-systems", "ERP database"), "erp-db-02": ("production-systems", "ERP database, standby"),
    "erp-app-01": ("production-systems", "ERP application"), "idm-01": ("it-operations", "identity provider"),
    "vault-01": ("it-operations", "secrets store"), "backup-01": ("it-operations", "backup server"),
    "fw-01": ("network-operations", "perimeter firewall"), CLOUD: ("cloud-platform", "cloud account"),
}  # fmt: skip
_MEDIUM = {
    "web-01": ("web-team", "public site"), "web-02": ("web-team", "customer portal"), "web-03": ("web-team", "downloads"),
    **{f"app-0{n}": ("software-engineering", "portal services") for n in range(1, 5)},
    "mail-01": ("it-operations", "mail relay"), "vpn-01": ("network-operations", "remote access"),
    "git-01": ("software-engineering", "source code"), "ci-01": ("software-engineering", "builds"),
    "ci-02": ("software-engineering", "builds"), "file-01": ("it-operations", "team files"),
    "file-02": ("it-operations", "design files"), "wiki-01": ("it-operations", "documentation"),
    "lims-01": ("laboratory", "laboratory records"), "mon-01": ("it-operations", "monitoring"),
    "jump-01": ("it-operations", "administrators' jump host"),
}  # fmt: skip
_LOW = {
    **{f"lab-0{n}": ("laboratory", "measuring station") for n in range(1, 7)},
    **{f"print-0{n}": ("it-operations", "print server") for n in (1, 2)},
    **{f"kiosk-0{n}": ("facilities", "visitors' kiosk") for n in (1, 2)},
    **{f"test-0{n}": ("software-engineering", "test system") for n in (1, 2)},
}


def _assets(of: dict[str, tuple[str, str]], criticality: Criticality) -> list[DemoAsset]:
    return [
        DemoAsset(name, criticality, owner, purpose, ("cloudtrail",) if name == CLOUD else (name,))
        for name, (owner, purpose) in of.items()
    ]


ASSETS = (*_assets(_HIGH, Criticality.HIGH), *_assets(_MEDIUM, Criticality.MEDIUM), *_assets(_LOW, Criticality.LOW))
#: Everything that writes syslog.
HOSTS = tuple(asset.name for asset in ASSETS if asset.name != CLOUD)
HIGH = tuple(name for name in _HIGH if name != CLOUD)
WEB = ("web-01", "web-02", "web-03")
#: What the internet can reach.
EDGE = (*WEB, "vpn-01")


def desk(person: str) -> str:
    """The address of a person's computer in the office."""
    return f"192.0.2.{20 + PEOPLE.index(person)}"


def remote(person: str) -> str:
    """The address that a person has when working from elsewhere."""
    return f"198.51.100.{20 + PEOPLE.index(person)}"
