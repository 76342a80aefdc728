"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of rendered performers and other test material that lies beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the test material in {SHARED}, which is not part of the repository")
    return SHARED
