"""Who did what, when: every action's own entry, written in its transaction and forwarded to the ledger (row L3)."""
