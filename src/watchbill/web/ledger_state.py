"""How the ledger stands; one verification at a time runs in this process, whoever asked for it, here or by the API."""

from __future__ import annotations

from watchbill.flows.ledger_state import (
    last_verification,
    root_fingerprint,
    states,
    verification,
    verifications,
)

__all__ = ["last_verification", "root_fingerprint", "states", "verification", "verifications"]
