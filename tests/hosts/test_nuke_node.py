"""The node on a fake Nuke and the real worker: made, run, refused, cancelled."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
import vfxswap_bridge as bridge

from vfxswap import archive
from vfxswap.job import SwapJob, knobs, schema_json

from . import fake_nuke
from .fake_nuke import FakeNuke
from .shot import ROOT, Shot, pick

# ------------------------------------------------------------------------------------------------ create


def test_a_new_node_has_an_id_and_passes_the_plate(shot: Shot) -> None:
    assert len(shot.get("vfxswap_id")) == 12
    assert not shot.get("has_cache")
    assert shot.get("model_info").startswith("demo-ben over demo-anna, ")
    assert "demo-anna (double, until 2036-01-01)" in shot.get("model_info")
    assert "Nuke 15.1v3" in shot.get("versions")
    assert not shot.node["frames"].enabled()
    shot.set(frame_range="custom")
    assert shot.node["frames"].enabled()
    shot.set(model=str(shot.folder / "gone.vfxmodel"))
    assert shot.get("model_info").startswith("no such file")
    shot.set(model=str(ROOT / "README.md"))
    assert shot.get("model_info").startswith("not a .vfxmodel")


def test_two_nodes_share_no_cache(shot: Shot) -> None:
    shot.run()
    assert shot.get("has_cache")
    twin = shot.nuke.copy_paste(shot.node)
    assert twin["vfxswap_id"].value() != shot.get("vfxswap_id")
    # It goes on showing what the original shows, and renders into a folder of its own.
    assert twin["cache_file"].value() == shot.get("cache_file")
    before = {path: path.stat().st_mtime_ns for path in shot.cache.rglob("*")}
    twin.setInput(0, shot.read)
    shot.press("run", twin)
    shot.wait(twin)
    assert twin["cache_file"].value() != shot.get("cache_file")
    assert {path: path.stat().st_mtime_ns for path in shot.cache.rglob("*")} == before
    assert len(list((shot.folder / "vfxswap").iterdir())) == 2


def test_a_renamed_node_keeps_its_cache(shot: Shot) -> None:
    shot.press("run")
    shot.node.setName("Hero")
    shot.wait()
    assert shot.get("has_cache")
    file = shot.get("cache_file")
    shot.run()
    assert shot.get("cache_file") == file
    assert len(list((shot.folder / "vfxswap").iterdir())) == 1


def test_a_run_is_one_step_to_undo(shot: Shot) -> None:
    shot.run()
    assert len(shot.nuke.steps) == 1
    assert {knob.name() for knob, _ in shot.nuke.steps[0]} == {"cache_file", "cache_first", "cache_last", "has_cache"}
    shot.nuke.undo()
    assert (shot.get("cache_file"), shot.get("has_cache")) == ("", False)
    assert len(shot.frames()) == 3


def test_an_unsaved_script_is_told_what_to_do(shot: Shot) -> None:
    shot.nuke.root.name = "Root"
    shot.press("run")
    (said,) = shot.nuke.messages
    assert "the script was never saved; save it, or set the folder on the Cache tab" in said
    shot.nuke.messages.clear()
    shot.set(cache_dir=str(shot.folder / "elsewhere"))
    shot.run()
    assert shot.nuke.messages == []
    assert shot.get("cache_file").startswith(str(shot.folder / "elsewhere"))


def test_it_opens_and_shows_its_cache_without_vfxswap(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    shot.run()
    for name in [name for name in sys.modules if name.startswith("vfxswap_nuke")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.endswith("hosts/nuke")])
    twin = shot.nuke.copy_paste(shot.node)  # what a load does: onCreate runs
    assert twin["cache_file"].value() == shot.get("cache_file")
    assert twin["has_cache"].value()
    twin["mix"].setValue(0.5)
    shot.press("run", twin)
    assert shot.nuke.messages == ["vfxswap is not installed here: the node shows what is cached, and can do no more."]


# --------------------------------------------------------------------------------------------------- run


def test_a_run_from_the_files_of_a_read(shot: Shot) -> None:
    shot.run()
    job = shot.job
    jsonschema.validate(job, json.loads(schema_json()))
    assert job["plate"] == shot.fields["plate"]
    assert (job["frames"], job["layers"], job["host"], job["host_version"]) == (
        "1003-1005",
        "ingredients",
        "nuke",
        "15.1v3",
    )
    rendered = pick("knobs").RENDERED
    assert job["parameters"] == {knob.name: knob.default for knob in knobs() if knob.name in rendered}
    assert shot.nuke.executed == []
    assert shot.frames() == ["swap.1003.exr", "swap.1004.exr", "swap.1005.exr"]
    assert (shot.get("cache_first"), shot.get("cache_last"), shot.get("has_cache")) == (1003, 1005, True)
    assert shot.get("status") == "3 of 3 frames are cached"
    assert shot.nuke.messages == []
    inside = shot.node.node("Ingredients")  # type: ignore[attr-defined]
    assert inside._data.executed == ["reload"]
    bar = shot.nuke.tasks[0].said
    assert ("message", "swap") in bar or ("progress", 100) in bar or len(bar) > 2


def test_dots_are_looked_through_and_anything_else_is_exported(shot: Shot) -> None:
    dot = shot.nuke.module.nodes.Dot(inputs=[shot.read])
    shot.node.setInput(0, dot)
    shot.run("farm")
    assert shot.job["plate"] == shot.fields["plate"]
    assert "The job is written" in shot.nuke.messages[0]
    assert str(shot.cache / "job.json") in shot.nuke.messages[0]
    assert SwapJob.load(shot.cache / "job.json").model_sha256 == archive.sha256(Path(shot.fields["model"]).read_bytes())
    grade = shot.nuke.module.nodes.Grade(inputs=[dot])
    shot.node.setInput(0, grade)
    shot.run()
    assert shot.job["plate"] == str(shot.cache / "plate" / "plate.%04d.exr")
    assert shot.nuke.executed == [(1003, 1005, ["main"])]
    assert shot.frames() == ["swap.1003.exr", "swap.1004.exr", "swap.1005.exr"]
    # The Write is gone, and the same picture is not exported again.
    assert [node.kind for node in shot.nuke.nodes] == ["Read", "Group", "Dot", "Grade"]
    shot.run()
    assert len(shot.nuke.executed) == 1
    grade["multiply"].setValue(2.0)
    shot.run()
    assert len(shot.nuke.executed) == 2


def test_an_offset_read_is_exported(shot: Shot) -> None:
    shot.read["frame"].setValue("frame+10")
    found = pick("plate").direct(shot.node, pick("color").of_script())
    assert found is None


def test_a_custom_range_with_holes(shot: Shot) -> None:
    shot.set(frame_range="custom", frames="1003,1005")
    grade = shot.nuke.module.nodes.Grade(inputs=[shot.read])
    shot.node.setInput(0, grade)
    shot.run()
    assert shot.nuke.executed == [(1003, 1003, ["main"]), (1005, 1005, ["main"])]
    assert shot.job["frames"] == "1003,1005"
    assert shot.frames() == ["swap.1003.exr", "swap.1005.exr"]


@pytest.mark.parametrize(
    ("written", "frames"),
    [
        ("1001-1003", [1001, 1002, 1003]),
        ("1-10x4", [1, 5, 9]),
        ("1-10:4", [1, 5, 9]),
        ("-3--1", [-3, -2, -1]),
        ("-2-1,7", [-2, -1, 0, 1, 7]),
        ("12", [12]),
        ("3 4", [3, 4]),
    ],
)
def test_ranges(gui: FakeNuke, written: str, frames: list[int]) -> None:
    found = pick("frames").parse(written)
    assert found == frames
    assert pick("frames").parse(pick("frames").text(found)) == frames


@pytest.mark.parametrize("written", ["", "a", "5-1", "1-5x0", "1--", "1;2"])
def test_what_is_no_range(gui: FakeNuke, written: str) -> None:
    from vfxswap_bridge import BridgeError

    with pytest.raises(BridgeError, match=r"no range of frames|holds no frame"):
        pick("frames").parse(written)


def test_negative_frames_have_the_names_that_vfxswap_gives_them(gui: FakeNuke) -> None:
    from vfxswap.sequence import SequencePath

    for frame in (-12, -1, 0, 7, 1001, 123456):
        assert pick("plate").expand("/a/b.%04d.exr", frame) == str(SequencePath.parse("/a/b.%04d.exr").path(frame))
        assert pick("plate").expand("/a/b.####.exr", frame) == str(SequencePath.parse("/a/b.####.exr").path(frame))
    assert pick("plate").expand("/a/%V/b.%v.%03d.exr", 5, "right") == "/a/right/b.r.005.exr"


def test_backslashes_are_turned(shot: Shot) -> None:
    shot.set(model="C:\\models\\ben v2.vfxmodel", cache_dir="//share/show\\cache")
    assert pick("knobs").text(shot.node, "model") == "C:/models/ben v2.vfxmodel"
    assert pick("places").root(shot.node).startswith("//share/show/cache/")


def test_a_preview_renders_the_viewers_frame_alone(shot: Shot) -> None:
    shot.run("preview")
    assert shot.frames() == ["swap.1004.exr"]
    assert shot.get("status") == "1 of 3 frames are cached"
    shot.press("check_stale")
    assert shot.get("stale") == "rendered in part: run again"
    shot.run()
    assert shot.get("status") == "3 of 3 frames are cached"
    shot.nuke.now = 2000
    shot.run("preview")
    assert "no frame of 2000 is in the job's range" in shot.nuke.messages[0]


def test_rendered_knobs_reach_the_job_and_live_ones_do_not(shot: Shot) -> None:
    shot.set(
        mix=0.3,
        relight=0.2,
        edge_feather=5.0,
        skin_tone="likeness",
        person=0.5,
        matte="/m/a.####.exr:A,holdout\n\n/b.exr",
    )
    shot.run("farm")
    parameters = shot.job["parameters"]
    assert (parameters["edge_feather"], parameters["skin_tone"], parameters["person"]) == (5.0, "likeness", 0.5)
    assert not {"mix", "relight"} & set(parameters)
    assert shot.job["matte"] == ["/m/a.####.exr:A,holdout", "/b.exr"]


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": ""}, "no model is set; choose a .vfxmodel on the Swap tab"),
        ({"consents": " \n"}, "no consent is given; name the signed consents"),
        ({"view": "left"}, "the script has no view 'left'; there are main"),
        ({"frame_range": "custom"}, "the range is custom, and none is given"),
        ({"frame_range": "custom", "frames": "10-1"}, "the range '10-1' holds no frame"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(shot: Shot, change: dict[str, str], said: str) -> None:
    shot.set(**change)
    shot.press("run")
    (message,) = shot.nuke.messages
    assert said in message
    assert message.startswith("VfxSwap1: ")
    assert not list(shot.folder.rglob("job.json"))


def test_what_is_animated_is_live(shot: Shot) -> None:
    shot.node["mix"].setValueAt(0.5, 1003)
    shot.run("farm")
    shot.nuke.messages.clear()
    shot.node["edge_feather"].setValueAt(3.0, 1003)
    shot.press("run")
    assert "edge feather is animated, and it is rendered with one value for the shot" in shot.nuke.messages[0]


def test_proxy_mode_is_refused(shot: Shot) -> None:
    shot.nuke.proxy = True
    shot.press("run")
    assert "proxy mode is on" in shot.nuke.messages[0]
    assert not (shot.folder / "vfxswap").exists()


def test_no_plate_is_refused(shot: Shot) -> None:
    shot.node.setInput(0, None)
    shot.press("run")
    assert "nothing is connected to the plate input; connect the plate" in shot.nuke.messages[0]


def test_a_missing_interpreter_is_said(own_worker: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = own_worker
    monkeypatch.setenv("VFXSWAP_PYTHON", "/no/such/python")
    shot.press("run")
    (message,) = shot.nuke.messages
    assert "VFXSWAP_PYTHON is '/no/such/python', which is no program" in message


def test_a_refused_consent_is_one_dialog_and_a_red_node(shot: Shot) -> None:
    shot.set(consents=shot.fields["consents"][0])
    shot.node["tile_color"].setValue(0x112233FF)
    shot.run()
    (message,) = shot.nuke.messages
    assert "VS-CON-001" in message
    assert "failed" in shot.get("status")
    assert shot.node["tile_color"].value() == 0x993333FF
    assert not shot.get("has_cache")
    shot.set(consents="\n".join(shot.fields["consents"]))
    shot.run()
    assert shot.node["tile_color"].value() == 0x112233FF
    assert len(shot.nuke.messages) == 1


def test_frames_that_are_missing_fail_by_name_and_the_others_are_shown(shot: Shot) -> None:
    plate = shot.folder / "plate"
    plate.mkdir()
    for frame in (1003, 1005):
        shutil.copy(shot.fields["plate"] % frame, plate)
    shot.read["file"].setValue(str(plate / "plate.%04d.exr"))
    shot.run()
    (message,) = shot.nuke.messages
    assert "1 frames failed, the first 1004" in message
    assert shot.frames() == ["swap.1003.exr", "swap.1005.exr"]
    assert shot.get("has_cache")
    shot.press("check_stale")
    assert shot.get("stale") == "rendered in part: run again"


def test_an_export_of_nothing_is_refused(shot: Shot) -> None:
    shot.node.setInput(0, shot.nuke.module.nodes.Grade(inputs=[shot.read]))
    shot.nuke.empty_frames = {1004}
    shot.press("run")
    (message,) = shot.nuke.messages
    assert "Nuke wrote nothing into 1 of 3 files, the first: " in message
    assert "plate.1004.exr" in message
    assert not list(shot.folder.rglob("job.json"))


def test_a_cancelled_export_leaves_nothing(shot: Shot) -> None:
    shot.node.setInput(0, shot.nuke.module.nodes.Grade(inputs=[shot.read]))
    shot.nuke.cancel_at = 1004
    shot.press("run")
    assert "the export of the plate was cancelled" in shot.nuke.messages[0]
    assert not list(shot.folder.rglob("*.tmp"))
    assert not list(shot.folder.rglob("*.exr"))
    assert [node.kind for node in shot.nuke.nodes] == ["Read", "Group", "Grade"]
    shot.nuke.cancel_at = None
    shot.run()
    assert len(shot.frames()) == 3


@pytest.mark.parametrize("how", ["button", "bar"])
def test_a_cancelled_inference_keeps_whole_frames(shot: Shot, how: str) -> None:
    shot.press("run")
    if how == "button":
        shot.press("cancel")
    else:
        shot.nuke.pressed_cancel = True
    shot.wait()
    shot.nuke.pressed_cancel = False
    assert "<b>cancelled</b>" in shot.get("status")
    assert shot.nuke.messages == []
    assert not list(shot.folder.rglob("*.tmp"))
    shot.run()
    assert len(shot.frames()) == 3
    assert shot.get("status") == "3 of 3 frames are cached"


def test_one_job_for_a_node_at_a_time(shot: Shot) -> None:
    shot.press("cancel")
    assert "nothing is at work here" in shot.nuke.messages[0]
    shot.press("run")
    shot.press("run")
    assert "this node is at work already" in shot.nuke.messages[1]
    shot.press("clear")
    assert "this node is at work" in shot.nuke.messages[2]
    shot.wait()


def test_a_node_that_is_deleted_while_it_renders(shot: Shot, worker: bridge.WarmWorker) -> None:
    cache = shot.cache
    shot.press("run")
    shot.nuke.module.delete(shot.node)
    shot.nuke.pump(lambda: len(list(cache.glob("*.exr"))) == 3 and not worker._current, 60)
    shot.nuke.pump(lambda: not shot.nuke._queue)
    assert shot.nuke.messages == []


def test_the_worker_goes_with_the_script(own_worker: Shot) -> None:
    shot = own_worker
    shot.run()
    pid = pick("session").current()._worker.pid
    assert pid
    for call in shot.nuke.closing:
        call()
    assert not Path(f"/proc/{pid}").exists()


def test_a_node_in_a_group_works_there(shot: Shot) -> None:
    """A button's script runs inside the node: what it makes belongs beside the node, wherever that is."""
    outer = fake_nuke.Data(shot.nuke, "Group", "Comp")
    shot.nuke.nodes.append(outer)
    for data in (shot.read._data, shot.node._data):
        shot.nuke.nodes.remove(data)
        outer.children.append(data)
        data.parent = outer
    with outer.handle():  # type: ignore[attr-defined]
        grade = shot.nuke.module.nodes.Grade(inputs=[shot.read])
    shot.node.setInput(0, grade)
    shot.set(frame_range="custom", frames="1003")
    shot.run()
    assert shot.nuke.messages == []
    assert shot.get("has_cache")
    shot.press("to_tracker")
    assert [node.kind for node in outer.children] == ["Read", "Group", "Grade", "Tracker4"]
    inside = [child.kind for child in shot.node._data.children]
    assert "Write" not in inside
    assert "Tracker4" not in inside


def test_an_internal_error_is_a_dialog_with_the_reason(shot: Shot) -> None:
    shot.node._data.children.clear()  # somebody took the group apart
    shot.press("reload")
    (message,) = shot.nuke.messages
    assert "an internal error, please report it" in message
    assert "has no Ingredients inside: it was taken apart" in message


def test_a_job_is_handed_to_a_farm(shot: Shot) -> None:
    shot.press("submit")  # the panel was closed
    assert shot.nuke.messages == []
    shot.nuke.answers = {"engine": "openjd", "frames a worker does in one go": "2"}
    shot.press("submit")
    (said,) = shot.nuke.messages
    assert "written to" in said
    folder = Path(said.split("written to ")[1].split(": ")[0])
    made = json.loads((folder / "job.json").read_text())
    assert (made["frames"], made["host"]) == ("1003-1005", "nuke")
    assert made["model_sha256"]
    assert any("jobtemplate-2023-09" in path.read_text() for path in folder.iterdir())

    shot.nuke.messages.clear()
    shot.nuke.answers["frames a worker does in one go"] = "all"
    shot.press("submit")
    assert shot.nuke.messages == [
        "VfxSwap1: 'all' is no number of frames; write how many frames a worker does in one go"
    ]
    shot.nuke.messages.clear()
    shot.nuke.answers["frames a worker does in one go"] = "2"
    shot.set(consents=shot.fields["consents"][0])
    shot.press("submit")
    (said,) = shot.nuke.messages
    assert "VS-CON-001" in said
