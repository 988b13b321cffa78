"""The append-only, tamper-evident log of everything that was received and done. Standard library and cryptography only."""

from watchbill.ledger.reader import Reader, StoredRecord
from watchbill.ledger.sources import SourceFacts
from watchbill.ledger.volume import shards
from watchbill.ledger.writer import Writer

__all__ = ["Reader", "SourceFacts", "StoredRecord", "Writer", "shards"]
