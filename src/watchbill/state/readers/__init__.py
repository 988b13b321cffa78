"""How far each reader of the ledger has come, and what its correlations remember."""
