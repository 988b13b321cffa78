"""What was held against which rules, counted, and reconciled with what the ledger holds: no silent miss."""
