"""The track out and back, and training."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfxswap.face import track as tracks

from .shot import Shot

# ------------------------------------------------------------------------------------------------- track


def tracked(shot: Shot) -> None:
    shot.set(track="", measurements="")
    shot.run()


@pytest.mark.slow
def test_the_track_goes_out_as_nodes(shot: Shot) -> None:
    tracked(shot)
    shot.set(reference=1004)
    for button in ("to_tracker", "to_cornerpin", "to_roto"):
        shot.press(button)
    assert shot.nuke.messages == []
    kinds = [node.kind for node in shot.nuke.nodes]
    assert kinds == ["Read", "Group", "Tracker4", "CornerPin2D", "CornerPin2D", "Roto"]
    assert "reference_frame 1004" in shot.nuke.nodes[2].text
    shot.press("to_stmap")
    placed = shot.nuke.nodes[-1]
    assert (placed.kind, placed.knobs["uv"].value()) == ("STMap", "stmap")
    assert placed.inputs[1] is not None
    assert placed.inputs[1].knobs["file"].value() == shot.get("cache_file")


def test_without_a_track_it_is_said_what_to_do(shot: Shot) -> None:
    shot.set(track="")
    shot.press("to_tracker")
    assert "there is no track yet; run or preview a frame first" in shot.nuke.messages[0]


@pytest.mark.slow
def test_fixes_go_back_and_only_their_frames_render_again(shot: Shot) -> None:
    import re

    tracked(shot)
    shot.set(motion_blur=0.0)  # it looks at the frames beside, too
    shot.press("to_tracker")
    tracker = shot.nuke.nodes[-1]
    # Every point of the last frame is dragged 20 pixels right.
    curve = re.compile(r"\{curve x1003 (\S+) (\S+) (\S+)\}( \{curve x1003)")
    tracker.text, count = curve.subn(lambda m: f"{{curve x1003 {m[1]} {m[2]} {float(m[3]) + 20}}}{m[4]}", tracker.text)
    assert count >= 10
    shot.press("fix")
    assert "no Tracker or CornerPin is selected" in shot.nuke.messages.pop()
    tracker.selected = True
    shot.press("keep_track")
    kept = Path(shot.get("track"))
    assert kept.parent == shot.cache.parent
    assert shot.get("measurements").endswith("kept.vfxshot")
    shot.run()
    before = {path.name: path.stat().st_mtime_ns for path in shot.cache.glob("*.exr")}
    x = tracks.load(kept).at(1005, 0)
    shot.set(reach=0)
    shot.press("fix_and_run")
    shot.wait()
    assert shot.nuke.messages == []
    fixed = tracks.load(kept)
    assert list(fixed.keys[0]) == [1005]
    moved = fixed.at(1005, 0)
    assert x is not None
    assert moved is not None
    assert 19 < (moved.landmarks[:, 0] - x.landmarks[:, 0]).mean() < 21
    after = {path.name: path.stat().st_mtime_ns for path in shot.cache.glob("*.exr")}
    assert {name for name in after if after[name] != before[name]} == {"swap.1005.exr"}


# ------------------------------------------------------------------------------------------------- train


def test_training_is_asked_for_and_what_is_missing_is_said(shot: Shot) -> None:
    shot.press("train")
    assert shot.nuke.messages == []  # the panel was closed
    shot.nuke.answers = {"model folder": str(shot.folder / "model")}
    shot.press("train")
    assert "no likeness faceset is given" in shot.nuke.messages.pop()
    shot.nuke.answers |= {"likeness faceset": "/no/a", "double faceset": "/no/b", "minutes": "soon"}
    shot.press("train")
    assert "'soon' is no number of minutes" in shot.nuke.messages.pop()
    shot.press("stop_training")
    assert "no training was started from this node" in shot.nuke.messages.pop()


def test_a_training_that_fails_is_said(shot: Shot) -> None:
    shot.nuke.answers = {
        "model folder": str(shot.folder / "model"), "likeness faceset": "/no/a", "double faceset": "/no/b",
        "minutes": "1", "preset": "tiny",
    }  # fmt: skip
    shot.press("train")
    shot.nuke.pump(lambda: "failed" in shot.get("train_status"), 60)
    (message,) = shot.nuke.messages
    assert message.startswith("Training: ")
    assert "/no/" in message
    log = (shot.folder / "model" / "nuke.log").read_text()
    assert "vfxswap: error" in log
