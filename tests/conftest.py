"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture(scope="session", autouse=True)
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty configuration folder: no test finds the keys of whoever runs it, or leaves any."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Models made by hand and signed consents for them (tests/support.py)."""
    return Studio.make(tmp_path_factory.mktemp("production"))


@pytest.fixture(scope="session")
def face_plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pattern of a plate of four half EXR frames, 1001-1004, with a real face that moves a little."""
    return write_plate(tmp_path_factory.mktemp("shot") / "plate")
