"""What the tests of trainings share: it takes seconds to build."""

from __future__ import annotations

import pytest

from .facesets import Place


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("place"))
    assert [done.returncode for done in made.built] == [0, 0], [done.stderr for done in made.built]
    return made
