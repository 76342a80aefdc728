"""One thread: exact repeats, and no fight for cores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .. import support


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> support.Studio:
    """Real keys and consents of ben and anna."""
    root: Path = tmp_path_factory.mktemp("trust") / "studio"
    return support.Studio.make(root)
