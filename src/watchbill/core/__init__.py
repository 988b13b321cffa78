"""Frozen values, canonical JSON, errors, clock. Standard library only."""
