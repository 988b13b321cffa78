"""The append-only, tamper-evident log of everything that was received and done. Standard library and cryptography only."""

from watchbill.ledger.bundle import export_bundle, verify_bundle
from watchbill.ledger.reader import Reader, StoredRecord
from watchbill.ledger.report import Finding, Report, ShardFacts
from watchbill.ledger.sources import SourceFacts
from watchbill.ledger.verify import verify_ledger
from watchbill.ledger.volume import shards
from watchbill.ledger.writer import Writer

__all__ = [
    "Finding",
    "Reader",
    "Report",
    "ShardFacts",
    "SourceFacts",
    "StoredRecord",
    "Writer",
    "export_bundle",
    "shards",
    "verify_bundle",
    "verify_ledger",
]
