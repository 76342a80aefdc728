"""What the node knows of its cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vfxswap import exr

from .shot import DEMO, Shot

# ------------------------------------------------------------------------------------------ cache, stale


def test_the_cache_knows_when_it_is_stale(shot: Shot) -> None:
    plate = shot.folder / "plate"
    shutil.copytree(DEMO / "plate", plate)
    shot.read["file"].setValue(str(plate / "plate.%04d.exr"))
    shot.press("check_stale")
    assert shot.get("stale") == "nothing is cached"
    shot.run()
    shot.press("check_stale")
    assert shot.get("stale") == "up to date"
    shot.set(mix=0.2, relight=0.1, show="matte")
    assert shot.get("stale") == "up to date"
    shot.set(edge_feather=4.0)
    assert "perhaps stale" in shot.get("stale")
    shot.press("check_stale")
    assert "<b>stale</b>: run again" in shot.get("stale")
    shot.set(edge_feather=2.0)
    shot.press("check_stale")
    assert shot.get("stale") == "up to date"
    os.utime(plate / "plate.1004.exr", (1, 1))
    shot.press("check_stale")
    assert "<b>stale</b>" in shot.get("stale")
    shot.run()  # the same pixels: nothing is rendered, and it is known to be up to date
    shot.press("check_stale")
    assert shot.get("stale") == "up to date"
    shot.set(frame_range="global")
    shot.press("check_stale")
    assert "2 frames of the range are not in it" in shot.get("stale")


def test_a_change_upstream_makes_an_export_stale(shot: Shot) -> None:
    grade = shot.nuke.module.nodes.Grade(inputs=[shot.read])
    shot.node.setInput(0, grade)
    shot.set(frame_range="custom", frames="1003")
    shot.run()
    shot.press("check_stale")
    assert shot.get("stale") == "up to date"
    grade["multiply"].setValue(1.5)
    shot.press("check_stale")
    assert "<b>stale</b>" in shot.get("stale")
    grade["multiply"].setValue(1.0)
    grade.setName("Other")
    shot.press("check_stale")
    assert shot.get("stale") == "up to date"
    shot.node.setInput(0, None)
    assert "perhaps stale" in shot.get("stale")


def test_versions_go_up_and_down(shot: Shot) -> None:
    shot.set(frame_range="custom", frames="1003")
    shot.run()
    first = shot.get("cache_file")
    shot.press("version_up")
    assert shot.get("cache_version") == 2
    assert shot.get("cache_file") == first
    assert "version 2 is empty" in shot.get("stale")
    shot.set(edge_feather=6.0)
    shot.run()
    assert "/v002/" in shot.get("cache_file")
    shot.press("version_down")
    assert shot.get("cache_file") == first
    shot.press("version_down")
    assert shot.get("cache_version") == 1
    for _ in range(4):
        shot.press("version_up")
    assert shot.get("cache_version") == 3


def test_clearing_deletes_this_version_and_nothing_else(shot: Shot) -> None:
    shot.set(frame_range="custom", frames="1003")
    shot.run()
    shot.press("version_up")
    shot.run()
    folder = shot.cache
    shot.nuke.says_yes = False
    shot.press("clear")
    assert folder.exists()
    shot.nuke.says_yes = True
    shot.press("clear")
    assert not folder.exists()
    assert (folder.parent / "v001" / "swap.1003.exr").exists()
    assert not shot.get("has_cache")
    foreign = shot.cache
    foreign.mkdir()
    (foreign / "precious.exr").write_text("x")
    shot.press("clear")
    assert "is not this node's" in shot.nuke.messages[-1]
    assert (foreign / "precious.exr").exists()


def said(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def test_the_log_is_shown(shot: Shot) -> None:
    shot.press("open_log")
    assert "there is no log yet; run first" in shot.nuke.messages[-1]
    shot.set(consents=shot.fields["consents"][0])
    shot.run()
    # What a worker complains of comes by another way than its events, and may be a moment later.
    shot.nuke.pump(lambda: "VS-CON-001" in said(shot.cache / "job.json.log"), 30)
    shot.press("open_log")
    assert "VS-CON-001" in shot.nuke.messages[-1]
    assert "job.json.log" in shot.nuke.messages[-1]


def test_bright_and_negative_light_comes_back(shot: Shot) -> None:
    """Through the node's own job, not only through the command line."""
    import numpy as np

    plate = shot.folder / "plate"
    plate.mkdir()
    source = exr.read(Path(shot.fields["plate"] % 1003))
    wild = source.rgb.astype(np.float32)
    wild[:40, :40] = (-0.75, 30.0, 5.5)
    channels = {c: np.ascontiguousarray(wild[..., i]).astype(np.float16) for i, c in enumerate("RGB")}
    exr.write_channels(plate / "p.1003.exr", channels=channels, attributes={})
    shot.read["file"].setValue(str(plate / "p.%04d.exr"))
    shot.set(frame_range="custom", frames="1003")
    shot.run()
    made = exr.read(shot.cache / "swap.1003.exr").rgb
    assert np.array_equal(made[:40, :40], wild[:40, :40].astype(np.float16))
