"""Second copies of the ledger: where they are, and how far each has come (ISO/IEC 27001 A.8.13)."""
