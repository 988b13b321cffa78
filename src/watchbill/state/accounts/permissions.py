"""The whole permission matrix: what each capability is called, and which roles have it. The only place that says so."""

from __future__ import annotations

from watchbill.core.errors import DeniedError
from watchbill.core.values import Role

_EVERYBODY = frozenset(Role)
_ACTING = frozenset({Role.ANALYST, Role.ADMINISTRATOR})
_ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
_PROVING = frozenset({Role.AUDITOR, Role.ANALYST, Role.ADMINISTRATOR})
_SUPERVISING = frozenset({Role.AUDITOR, Role.ADMINISTRATOR})

#: The auditor reads everything and changes nothing; verifying and exporting change nothing.
CAPABILITIES: dict[str, frozenset[Role]] = {
    "alerts.read": _EVERYBODY,
    "alerts.act": _ACTING,
    "suppressions.read": _EVERYBODY,
    "suppressions.write": _ACTING,
    "assets.read": _EVERYBODY,
    "assets.write": _ACTING,
    "sources.read": _EVERYBODY,
    "sources.write": _ACTING,
    "events.read": _EVERYBODY,
    "events.raw": _PROVING,  # raw records may hold personal data
    "controls.read": _EVERYBODY,
    "controls.attest": _ACTING,
    "controls.write": _ADMINISTRATORS,
    "rules.read": _EVERYBODY,
    "ledger.read": _EVERYBODY,
    "ledger.verify": _PROVING,
    "ledger.export": _PROVING,
    "retention.read": _PROVING,
    "retention.write": _ADMINISTRATORS,
    "erasures.propose": _ACTING,
    "erasures.approve": _ADMINISTRATORS,
    "copies.read": _PROVING,
    "copies.write": _ADMINISTRATORS,
    "channels.read": _PROVING,
    "channels.write": _ADMINISTRATORS,
    "users.read": _SUPERVISING,
    "users.write": _ADMINISTRATORS,
    "receivers.read": _PROVING,
    "receivers.write": _ADMINISTRATORS,
    "trail.read": _PROVING,
    "tokens.own": _EVERYBODY,
}
#: Capabilities that only read (or prove); the auditor has exactly these, and tokens of their own.
READING = frozenset(
    {name for name in CAPABILITIES if name.endswith(".read")} | {"events.raw", "ledger.verify", "ledger.export"}
)

#: From least to most, for capping a token's role by its owner's. Auditor and analyst cannot stand in for each other.
_INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.AUDITOR: frozenset({Role.VIEWER, Role.AUDITOR}),
    Role.ANALYST: frozenset({Role.VIEWER, Role.ANALYST}),
    Role.ADMINISTRATOR: frozenset(Role),
}


def may(role: Role | None, capability: str) -> bool:
    """Whether this role has this capability; nobody has one that is not in the matrix. Raises KeyError for those."""
    roles = CAPABILITIES[capability]
    return role is not None and role in roles


def demand(role: Role | None, capability: str) -> None:
    """Raise DeniedError unless this role has this capability."""
    if not may(role, capability):
        who = ", ".join(sorted(CAPABILITIES[capability]))
        raise DeniedError(f"this needs the permission {capability}", mend=f"ask somebody with the role: {who}")


def capped(role: Role, by: Role) -> Role:
    """The role that a token really has: its own while the owner's includes it, else none better than viewer."""
    return role if role in _INCLUDES[by] else Role.VIEWER


def includes(role: Role, other: Role) -> bool:
    """Whether somebody with ``role`` may hand out ``other``."""
    return other in _INCLUDES[role]
