"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import Studio, write_plate

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of rendered performers and other test material that lies beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the test material in {SHARED}, which is not part of the repository")
    return SHARED


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Models made by hand and signed consents for them (tests/support.py)."""
    return Studio.make(tmp_path_factory.mktemp("production"))


@pytest.fixture(scope="session")
def face_plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pattern of a plate of four half EXR frames, 1001-1004, with a real face that moves a little."""
    return write_plate(tmp_path_factory.mktemp("shot") / "plate")
