"""How long records are kept, what must not go, and what is erased for a person's sake (ISO/IEC 27001 A.8.10, A.5.34)."""
