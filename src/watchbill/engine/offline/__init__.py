"""Triage of files without a server: what ``watchbill detect`` does. Needs neither Django nor a database."""

from watchbill.engine.offline.sources import FORMS, Skipped, Source, survey, workers
from watchbill.engine.offline.triage import Hit, Triage, Trouble

__all__ = ["FORMS", "Hit", "Skipped", "Source", "Triage", "Trouble", "survey", "workers"]
