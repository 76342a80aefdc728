# ruff: noqa: T201 - a command prints
"""Prints what the presets cost, as it stands in README.md beside this file."""

from __future__ import annotations

from vfxswap.models.cost import table

if __name__ == "__main__":
    print(table())
