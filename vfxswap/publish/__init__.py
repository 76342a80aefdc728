"""Publish: finished frames, looked at from every side, become a version that nobody changes (docs/publish.md)."""

from __future__ import annotations

from vfxswap.publish.examine import Report, examine
from vfxswap.publish.request import Item, Request, of_frames, of_job
from vfxswap.publish.rules import RULES, Area, Finding, Repair, Rule

__all__ = [
    "RULES",
    "Area",
    "Finding",
    "Item",
    "Repair",
    "Report",
    "Request",
    "Rule",
    "examine",
    "of_frames",
    "of_job",
]
