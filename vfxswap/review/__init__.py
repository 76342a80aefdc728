"""Looking at a swap: a page that needs nothing but a browser, and a movie (docs/review.md)."""

from __future__ import annotations

from vfxswap.review.page import Page, Written, write_page
from vfxswap.review.panel import Panel, panel
from vfxswap.review.pictures import Curve, Shown

__all__ = ["Curve", "Page", "Panel", "Shown", "Written", "panel", "write_page"]
