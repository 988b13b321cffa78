"""The append-only, tamper-evident log of everything that was received and done. Standard library and cryptography only."""

from watchbill.ledger.bundle import verify_bundle
from watchbill.ledger.export import export_bundle
from watchbill.ledger.proof import prove_record
from watchbill.ledger.reader import Reader, StoredRecord
from watchbill.ledger.record import verify_record
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
    "prove_record",
    "shards",
    "verify_bundle",
    "verify_ledger",
    "verify_record",
]
