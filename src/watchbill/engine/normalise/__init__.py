"""Normalise: one event for every record of the ledger."""

from watchbill.engine.normalise.attempts import WINDOW
from watchbill.engine.normalise.normaliser import LONGEST, Normaliser
from watchbill.engine.normalise.sniff import sniff_format
from watchbill.engine.normalise.split import split_records

__all__ = ["LONGEST", "WINDOW", "Normaliser", "sniff_format", "split_records"]
