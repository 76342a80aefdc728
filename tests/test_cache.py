from __future__ import annotations

from pathlib import Path

import pytest

from vfxswap import atomic, cache
from vfxswap.cache import Cache
from vfxswap.errors import TrackError


def test_a_file_is_made_once(tmp_path: Path):
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        atomic.write_text(path, "track")

    store = Cache(tmp_path / ".vfxswap", "shot")
    first = store.get("a.vfxtrack", make)
    assert first == tmp_path / ".vfxswap" / "shot" / "a.vfxtrack"
    assert first.read_text() == "track"
    assert store.get("a.vfxtrack", make) == first
    assert store.get("b.vfxtrack", make) != first
    assert len(made) == 2


def test_a_maker_that_fails_leaves_nothing(tmp_path: Path):
    def make(path: Path) -> None:
        raise TrackError("no face")

    with pytest.raises(TrackError):
        Cache(tmp_path / ".vfxswap", "shot").get("a.vfxtrack", make)
    assert list(tmp_path.iterdir()) == []


def test_a_key_depends_on_every_fact_and_on_nothing_else():
    key = cache.key("track", 1, 0.5)
    assert key == cache.key("track", 1, 0.5)
    assert len(key) == 20
    assert int(key, 16) >= 0
    assert len({key, cache.key("track", 1, 0.25), cache.key("track1", 0.5), cache.key("track", "10.5")}) == 4
