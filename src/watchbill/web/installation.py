"""The installation that this process serves; the API beside the console uses the same one."""

from __future__ import annotations

from watchbill.flows.installation import catalog, config, data, framework, lake, requirements, ruleset

__all__ = ["catalog", "config", "data", "framework", "lake", "requirements", "ruleset"]
