"""Installations for the flows."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # pytest in importlib mode adds nothing
from receiving import receiving, rsyslog

from installations import catalog, fresh, new_place, place, postgresql_place, rules, story

__all__ = ["catalog", "fresh", "new_place", "place", "postgresql_place", "receiving", "rsyslog", "rules", "story"]
