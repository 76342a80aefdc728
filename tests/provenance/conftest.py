"""An office with keys, and a signed sequence to break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vfxswap import provenance

from .made import Office, clock, render


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office.make(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="session")
def signed(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames 1001-1004 of `out` with a pass each, signed by the farm's key. Not to be changed."""
    folder = tmp_path_factory.mktemp("signed")
    render(folder, range(1001, 1005))
    provenance.merge(folder, "out", signer=office.farm, clock=clock)
    return folder


@pytest.fixture
def out(signed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(signed, tmp_path / "out"))
