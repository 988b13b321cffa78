"""What every page knows: where one is, what one may open, how it looks."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from watchbill.flows import installation
from watchbill.state.accounts.permissions import CAPABILITIES
from watchbill.state.alerts import queries as alerts
from watchbill.web.access import person

THEMES = (("", "Auto"), ("light", "Light"), ("dark", "Dark"), ("contrast", "High"))
THEME_COOKIE = "watchbill_theme"


class Entry(NamedTuple):
    """A place in the navigation; ``key`` follows g on the keyboard."""

    name: str
    title: str
    key: str
    needs: str
    url: str = ""
    here: bool = False


class Group(NamedTuple):
    title: str
    entries: tuple[Entry, ...]


NAVIGATION = (
    Group("Watch", (
        Entry("overview", "Overview", "o", "alerts.read"),
        Entry("alerts", "Alerts", "a", "alerts.read"),
        Entry("events", "Events", "e", "events.read"),
        Entry("suppressions", "Suppressions", "x", "suppressions.read"),
    )),
    Group("Estate", (
        Entry("assets", "Assets", "i", "assets.read"),
        Entry("sources", "Sources", "s", "sources.read"),
    )),
    Group("Assurance", (
        Entry("controls", "Controls", "c", "controls.read"),
        Entry("rules", "Rules", "r", "rules.read"),
        Entry("ledger", "Ledger", "l", "ledger.read"),
        Entry("retention", "Retention", "d", "retention.read"),
        Entry("trail", "Trail", "t", "trail.read"),
    )),
    Group("Settings", (
        Entry("copies", "Copies", "y", "copies.read"),
        Entry("channels", "Channels", "n", "channels.read"),
        Entry("receivers", "Receivers", "v", "receivers.read"),
        Entry("people", "People", "p", "users.read"),
    )),
)  # fmt: skip


def page(request: HttpRequest) -> dict[str, Any]:
    """The context processor of all templates."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    known = {value for value, _ in THEMES}
    found: dict[str, Any] = {"theme": theme if theme in known else "", "themes": THEMES, "can": {}, "navigation": ()}
    found["demo"] = (installation.data().root / "demo.json").exists()
    found["passkeys_work"] = not _is_address(request.get_host())
    who = person(request) if hasattr(request, "user") else None
    if who is None:
        return found
    found["can"] = {name.replace(".", "_"): who.may(name) for name in CAPABILITIES}
    found["waiting"] = sum(alerts.counts().unresolved.values())
    section = request.path.split("/")[1] or "overview"
    found["navigation"] = tuple(
        Group(
            group.title,
            tuple(
                entry._replace(url=reverse(entry.name), here=entry.name == section)
                for entry in group.entries
                if who.may(entry.needs)
            ),
        )
        for group in NAVIGATION
    )
    return found


def _is_address(host: str) -> bool:
    """Whether a page is reached by a bare address: browsers bind passkeys to names only (WebAuthn, relying party id)."""
    try:
        ip_address(host.rpartition(":")[0].strip("[]") if not host.endswith("]") else host.strip("[]"))
    except ValueError:
        return host.replace(".", "").isdigit()
    return True
