"""What happens on the timeline, with a worker that gives the plate back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest
from vfxswap_bridge import BridgeError, Handle, sha256
from vfxswap_resolve import records, results, timecode
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.flow import Flow
from vfxswap_resolve.settings import Settings

from .conftest import PLATE, Talk, copying, film, with_
from .fake import Timeline, TimelineItem, World


def run(world: World, chosen: Settings, talk: Talk | None = None, start: Any = copying) -> list[Any]:
    return Flow(world.resolve, chosen, talk or Talk(chosen), start).swap()


def above(world: World, track: int = 2) -> list[Any]:
    return list(world.project.timeline.tracks[track - 1]["items"])


def job_of(item: Any) -> dict[str, Any]:
    record = records.of_item(item)
    assert record is not None
    found: dict[str, Any] = json.loads((Path(record.folder) / f"v{record.version:03d}" / "job.json").read_text())
    return found


# ------------------------------------------------------------------------------------------- the timeline


def test_a_clip_with_files_of_its_own_is_not_rendered(world: World, chosen: Settings) -> None:
    (report,) = run(world, chosen)
    assert (report.refused, report.version, report.warnings) == (None, 1, ())
    assert "Project.AddRenderJob" not in world.calls
    timeline = world.project.timeline
    assert [track["name"] for track in timeline.tracks] == ["", "vfxswap", ""]
    (item,) = above(world)
    assert (item.start, item.length, item.offset) == (86410, 6, 1)
    assert (item.grade, item.properties["Pan"]) == ("warm", 12.5)
    media = item.media
    # Handles: source frames 2..7 are 1005..1010, one more on either side.
    assert media.properties["File Path"].endswith("/v001/swap.[1004-1011].exr")
    assert media.properties["Input Color Space"] == "ACEScg"
    assert media.properties["Start TC"] == "01:00:10:01"
    assert media.properties["Alpha mode"] == "None"
    assert media.name == "talk vfxswap v001"
    (marker,) = item.markers.values()
    record = records.of_item(item)
    assert record is not None
    assert record.job in marker["note"]
    assert sha256(f"{record.folder}/v001/job.json").startswith(record.job)
    assert record.plate == timeline.current.uid
    job = job_of(item)
    assert (job["plate"], job["frames"]) == (str(PLATE / "plate.%04d.exr"), "1004-1011")
    assert (job["host"], job["host_version"], job["color_space"]) == ("resolve", "20.1.0", "ACEScg")
    assert world.saved == 1


def test_what_the_artist_sees_is_as_before(world: World, chosen: Settings) -> None:
    film(world)
    before = world.snapshot()
    run(world, chosen)
    after = world.snapshot()
    for name in ("page", "timecode", "timeline", "folder", "presets", "render", "settings"):
        assert after[name] == before[name], name
    assert len(after["timelines"]) == 1


@pytest.mark.parametrize("media", ["files", "film"])
def test_removing_leaves_the_timeline_as_it_was(world: World, chosen: Settings, media: str) -> None:
    if media == "film":
        film(world)
    before = world.snapshot()
    run(world, chosen)
    assert world.snapshot() != before
    (report,) = Flow(world.resolve, with_(chosen, action="remove"), Talk(chosen)).remove()
    assert report.name == "talk"
    assert world.snapshot() == before
    assert len(list(Path(chosen.folder).rglob("swap.*.exr"))) == 8


def test_a_track_of_ours_is_used_again(world: World, chosen: Settings) -> None:
    run(world, chosen)
    timeline = world.project.timeline
    timeline.current = timeline.tracks[0]["items"][1]
    run(world, chosen)
    assert [(item.start, item.length) for item in above(world)] == [(86410, 6), (86420, 3)]
    assert len(timeline.tracks) == 3


def test_a_whole_track(world: World, chosen: Settings) -> None:
    reports = run(world, with_(chosen, scope="track"))
    assert [(report.name, report.version) for report in reports] == [("talk", 1), ("talk later", 1)]
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86410, 6, 1), (86420, 3, 1)]
    assert world.saved == 2
    # Again: the results are no plates.
    again = run(world, with_(chosen, scope="track"))
    assert [(report.name, report.version) for report in again] == [("talk", 2), ("talk later", 2)]


def test_one_bad_clip_does_not_stop_the_others(world: World, chosen: Settings) -> None:
    world.project.timeline.tracks[0]["items"][0].speed = 2.0
    talk = Talk(chosen)
    first, second = run(world, with_(chosen, scope="track"), talk)
    assert "talk: retimed: talk is retimed" in str(first)
    assert second.version == 1
    assert len(talk.said) == 2


@pytest.mark.parametrize("marks", [(86412, 86421), (12, 21)])
def test_a_marked_range(world: World, chosen: Settings, marks: tuple[int, int]) -> None:
    world.project.timeline.marks = {"video": {"in": marks[0], "out": marks[1]}}
    run(world, with_(chosen, scope="range"))
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86412, 4, 1), (86420, 2, 1)]
    # Source frames 4..7 of the first are 1007..1010.
    assert [job_of(item)["frames"] for item in above(world)] == ["1006-1011", "1010-1013"]


def test_marks_that_are_not_clear(world: World, chosen: Settings) -> None:
    ranged = with_(chosen, scope="range")
    with pytest.raises(RefusedError, match="no range is marked"):
        run(world, ranged)
    timeline = world.project.timeline
    timeline.marks = {"video": {"in": 86412, "out": 86421}}
    timeline.put(1, TimelineItem(world, None, 180000, 10, 0))
    with pytest.raises(RefusedError, match="are not clear"):
        run(world, ranged)
    world.lacking.add("GetMarkInOut")
    with pytest.raises(RefusedError, match="does not tell its marks"):
        run(world, ranged)


# ------------------------------------------------------------------------------------------------- versions


def test_again_is_a_version_up(world: World, chosen: Settings) -> None:
    run(world, chosen)
    (item,) = above(world)
    media = item.media
    media.metadata["Comments"], media.third["id"] = "approved", "7"
    media.flags.append("Blue")
    media.color = "Teal"
    media.AddMarker(3, "Red", "look", "here", 1, "")
    world.sequence_rate = "25"  # what ReplaceClip brings in
    # The result is what is at the playhead now.
    world.project.timeline.current = item
    (report,) = run(world, with_(chosen, handles=3))
    assert report.version == 2
    assert above(world) == [item]
    assert (item.start, item.length, item.offset, item.media) == (86410, 6, 1, media)
    assert media.properties["File Path"].endswith("/v002/swap.[1004-1011].exr")
    assert (media.metadata, media.third) == ({"Comments": "approved"}, {"id": "7"})
    assert (media.flags, media.color, media.properties["FPS"]) == (["Blue"], "Teal", "24")
    assert media.markers[3.0]["name"] == "look"
    assert (media.properties["Input Color Space"], media.name) == ("ACEScg", "talk vfxswap v002")
    assert [json.loads(marker["customData"])["version"] for marker in item.markers.values()] == [2]


def test_a_version_that_resolve_does_not_take_leaves_the_one_before(world: World, chosen: Settings) -> None:
    run(world, chosen)
    before = world.snapshot()
    world.saves = False
    with pytest.raises(RefusedError, match="did not save"):
        run(world, chosen)
    assert world.snapshot() == before


def test_a_plate_that_moved_gets_its_result_anew(world: World, chosen: Settings) -> None:
    run(world, chosen)
    plate = world.project.timeline.current
    plate.start, plate.length, plate.offset = 86411, 5, 3
    (report,) = run(world, chosen)
    assert report.version == 2
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86411, 5, 1)]


@pytest.mark.parametrize("trap", ["drops_appends", "saves"])
def test_a_plate_that_moved_keeps_its_result_until_there_is_another(world: World, chosen: Settings, trap: str) -> None:
    run(world, chosen)
    plate = world.project.timeline.current
    plate.start, plate.length, plate.offset = 86411, 5, 3
    before = world.snapshot()
    setattr(world, trap, trap != "saves")
    with pytest.raises(RefusedError):
        run(world, chosen)
    assert world.snapshot() == before


def test_a_result_that_was_trimmed_is_placed_anew(world: World, chosen: Settings) -> None:
    run(world, chosen)
    (item,) = above(world)
    item.length = 3
    run(world, chosen)
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86410, 6, 1)]
    assert [track["name"] for track in world.project.timeline.tracks] == ["", "vfxswap", ""]


def test_parts_of_a_clip(world: World, chosen: Settings) -> None:
    """Two marked parts of one clip have a result each; a part is done again as a part, wherever its plate is now."""
    timeline, ranged = world.project.timeline, with_(chosen, scope="range", handles=0)
    plate = timeline.current
    timeline.tracks[0]["items"] = [plate]
    for marks in ((86410, 86411), (86414, 86415)):
        timeline.marks = {"video": {"in": marks[0], "out": marks[1]}}
        run(world, ranged)
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86410, 2, 0), (86414, 2, 0)]
    second = above(world)[1]
    timeline.current = second
    plain = with_(chosen, handles=0)
    assert run(world, plain)[0].version == 3
    assert [(item.start, job_of(item)["frames"]) for item in above(world)] == [
        (86410, "1005-1006"),
        (86414, "1009-1010"),
    ]
    # What moved together stays together: a version up in place.
    for item in (plate, *above(world)):
        item.start += 100
    run(world, plain)
    assert [item.start for item in above(world)] == [86510, 86514]
    assert above(world)[1] is second
    timeline.current = above(world)[1]
    Flow(world.resolve, plain, Talk(plain)).remove()
    assert [item.start for item in above(world)] == [86510]
    # The whole clip stands for its parts.
    timeline.current = plate
    run(world, plain)
    assert [(item.start, item.length) for item in above(world)] == [(86510, 6)]
    assert len(world.root.folders[0].clips) == 1


def test_a_duplicated_timeline(world: World, chosen: Settings) -> None:
    """Its items have other ids and share their media with the first one, which is left alone."""
    run(world, chosen)
    first = world.project.timeline
    other = Timeline(world, "Edit copy", tracks=3)
    for number, track in enumerate(first.tracks, 1):
        other.tracks[number - 1]["name"] = track["name"]
        for item in track["items"]:
            twin = other.put(number, TimelineItem(world, item.media, item.start, item.length, item.offset, item.name))
            twin.markers = dict(item.markers)
    world.project.timelines.append(other)
    world.project.timeline = other
    other.current = other.tracks[1]["items"][0]
    before = first.told()
    (report,) = run(world, chosen)
    assert report.version == 2
    (item,) = above(world)
    assert item.media.properties["File Path"].endswith("/v002/swap.[1004-1011].exr")
    assert first.told() == before
    other.current = item
    Flow(world.resolve, chosen, Talk(chosen)).remove()
    assert first.told() == before
    assert [clip.name for clip in world.root.folders[0].clips] == ["talk vfxswap v001"]


def test_a_result_without_its_plate(world: World, chosen: Settings) -> None:
    run(world, chosen)
    timeline = world.project.timeline
    timeline.tracks[0]["items"].remove(timeline.current)
    timeline.current = above(world)[0]
    with pytest.raises(RefusedError, match="whose plate is gone"):
        run(world, chosen)


# ------------------------------------------------------------------------------------------------- refusals


def refused(world: World, chosen: Settings, name: str, start: Any = copying) -> RefusedError:
    before = world.snapshot()
    with pytest.raises(RefusedError) as caught:
        run(world, chosen, start=start)
    assert caught.value.name == name
    assert caught.value.hint
    assert world.snapshot() == before
    return caught.value


@pytest.mark.parametrize("change", ["twice", "slow", "slightly", "frozen"])
@pytest.mark.parametrize("counts", [True, False])
def test_retimed(world: World, chosen: Settings, change: str, counts: bool) -> None:
    item = world.project.timeline.current
    world.source_end_counts = counts
    if change == "slightly":
        media = film(world)
        media.properties["Frames"] = "1000"
        item.length, item.offset = 90, 100
    item.speed = {"twice": 2.0, "slow": 0.5, "slightly": 1.01, "frozen": 0.01}[change]
    assert "talk is retimed" in str(refused(world, chosen, "retimed"))


def test_clips_without_files_of_their_own(world: World, chosen: Settings) -> None:
    timeline = world.project.timeline
    item, media = timeline.current, timeline.current.media
    for kind, name in (("Compound", "compound"), ("Timeline", "nested"), ("Multicam", "nested"), ("Still", "still")):
        media.properties["Type"] = kind
        refused(world, chosen, name)
    media.properties["Type"] = "Video + Audio"
    item.comps = 1
    refused(world, chosen, "fusion")
    item.comps = 0
    timeline.current = timeline.tracks[1]["items"][0]
    refused(world, chosen, "title")


def test_rates(world: World, chosen: Settings) -> None:
    media = world.project.timeline.current.media
    timeline = world.project.timeline
    media.properties["FPS"] = "25"
    assert "talk has 25 frames per second, the timeline 24" in str(refused(world, chosen, "mixed-fps"))
    media.properties["FPS"] = "23.976"
    refused(world, chosen, "mixed-fps")
    timeline.settings["timelineFrameRate"] = "23.976"
    world.sequence_rate = "23.976"
    assert run(world, chosen)[0].version == 1
    media.properties["FPS"] = "29.97"
    timeline.settings["timelineFrameRate"] = "29.97 DF"
    assert run(world, chosen)[0].version == 2


def test_a_project_that_was_never_saved(world: World, chosen: Settings) -> None:
    world.project.name = "Untitled Project"
    refused(world, chosen, "unsaved")


def test_locked_and_occupied(world: World, chosen: Settings) -> None:
    timeline = world.project.timeline
    timeline.tracks[1]["name"] = "vfxswap"
    assert "'vfxswap' is Credits already" in str(refused(world, chosen, "occupied"))
    timeline.tracks[1]["items"].clear()
    timeline.tracks[1]["locked"] = True
    assert "track V2 'vfxswap' is locked" in str(refused(world, chosen, "locked"))
    # Before anything is rendered.
    assert not Path(chosen.folder).exists()
    timeline.tracks[1]["locked"] = False
    run(world, chosen)
    timeline.tracks[1]["locked"] = True
    refused(world, chosen, "locked")
    before = world.snapshot()
    with pytest.raises(RefusedError, match="is locked"):
        Flow(world.resolve, chosen, Talk(chosen)).remove()
    assert world.snapshot() == before


def test_missing_frames_of_the_plate(world: World, chosen: Settings, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(PLATE, tmp_path / "plate")
    media = world.project.timeline.current.media
    media.properties["File Path"] = media.properties["File Path"].replace(str(PLATE), str(tmp_path / "plate"))
    (tmp_path / "plate" / "plate.1006.exr").unlink()
    assert "frame 1006 is missing" in str(refused(world, chosen, "plate"))
    shutil.copy(PLATE / "plate.1005.exr", tmp_path / "plate" / "plate.1006.exr")
    os.truncate(tmp_path / "plate" / "plate.1007.exr", 20000)
    assert "frame 1007: " in str(refused(world, chosen, "plate"))


def test_what_only_studio_renders(world: World, chosen: Settings) -> None:
    world.studio = False
    media = film(world)
    media.properties["Resolution"] = "4096x2160"
    assert "only Resolve Studio renders" in str(refused(world, chosen, "studio"))
    world.studio = True
    media.properties["Resolution"] = "960x540"


def test_the_free_edition_is_asked_nothing_that_opens_a_dialog(world: World, chosen: Settings) -> None:
    world.studio = False
    film(world)
    assert run(world, chosen)[0].version == 1
    assert not world.dialog
    world.project.timeline.current.Stabilize()
    assert world.dialog
    assert world.resolve.GetProductName() is None


# ---------------------------------------------------------------------------------------- failures on the way


@pytest.mark.parametrize("trap", ["drops_appends", "bin_stuck", "saves"])
def test_what_fails_is_taken_back(world: World, chosen: Settings, trap: str) -> None:
    before = world.snapshot()
    setattr(world, trap, trap != "saves")
    with pytest.raises(RefusedError):
        run(world, chosen)
    assert world.snapshot() == before


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("media", ["files", "film"])
def test_whether_ends_count_is_seen(world: World, chosen: Settings, counts: bool, media: str) -> None:
    world.end_counts = counts
    if media == "film":
        film(world)
    run(world, chosen)
    assert [(item.start, item.length, item.offset) for item in above(world)] == [(86410, 6, 1)]


def test_a_version_that_knows_no_track_index(world: World, chosen: Settings) -> None:
    world.index_known = False
    before = world.snapshot()
    run(world, chosen)
    assert [track["name"] for track in world.project.timeline.tracks] == ["", "", "vfxswap"]
    assert [item.start for item in above(world, 3)] == [86410]
    Flow(world.resolve, chosen, Talk(chosen)).remove()
    assert world.snapshot() == before


def test_a_rate_that_resolve_does_not_change(world: World, chosen: Settings) -> None:
    world.sequence_rate = "25"
    world.refused = {"FPS"}
    assert "takes no other; 24 are needed" in str(refused(world, chosen, "import"))


def test_a_space_that_resolve_does_not_take_is_said(world: World, chosen: Settings) -> None:
    world.refused = {"Input Color Space"}
    (report,) = run(world, chosen)
    assert report.version == 1
    assert "did not take the result's Input Color Space 'ACEScg'" in report.warnings[0]


def test_the_workers_refusal_and_cancel(world: World, chosen: Settings) -> None:
    def refusing(job: str) -> Handle:
        handle = Handle(job, None, lambda: None)
        handle.feed({"event": "error", "code": "consent", "message": "VS-CON-001 no consent", "hint": "give one"})
        handle.finish(77)
        return handle

    assert "VS-CON-001" in str(refused(world, chosen, "worker", refusing))

    def short(job: str) -> Handle:
        handle = copying(job)
        (Path(job).parent / "swap.1007.exr").unlink()
        return handle

    assert "frame 1007 is missing" in str(refused(world, chosen, "worker", short))

    stopped: list[Handle] = []

    def slow(job: str) -> Handle:
        stopped.append(Handle(job, None, lambda: stopped[-1].finish(75)))
        return stopped[-1]

    with pytest.raises(RefusedError, match="cancelled"):
        run(world, chosen, Talk(chosen, stop_at="starting"), slow)
    assert above(world)[0].name == "Credits"

    class Gone(Talk):
        def watch(self, what: str, done: int, total: int) -> bool:
            world.quit = True  # Resolve is closed; the script goes on until it sees that
            return True

    with pytest.raises((BridgeError, TypeError, AttributeError)):
        run(world, chosen, Gone(chosen), slow)
    assert all(handle.outcome is not None and handle.outcome.cancelled for handle in stopped)


def test_a_cancelled_batch_stops(world: World, chosen: Settings) -> None:
    talk = Talk(chosen, stop_at="talk later")

    def slow(job: str) -> Handle:
        if "talk_later" not in job:
            return copying(job)
        handle = Handle(job, None, lambda: handle.finish(75))
        return handle

    with pytest.raises(RefusedError, match="talk later: cancelled"):
        run(world, with_(chosen, scope="track"), talk, slow)
    assert len(results.on(world.project.timeline)) == 1


def test_a_run_that_was_stopped_goes_on_in_its_version(world: World, chosen: Settings) -> None:
    folders: list[Path] = []

    def stopped(job: str) -> Handle:
        folders.append(Path(job).parent)
        handle = Handle(job, None, lambda: None)
        handle.finish(3)
        return handle

    for _ in range(2):
        with pytest.raises(RefusedError, match="some frames failed"):
            run(world, chosen, start=stopped)
    assert {folder.name for folder in folders} == {"v001"}
    # Another range is another version: its frames must not lie beside those of the first.
    with pytest.raises(RefusedError):
        run(world, with_(chosen, handles=0), start=stopped)
    assert folders[-1].name == "v002"
    assert run(world, with_(chosen, handles=0))[0].version == 2
    assert run(world, with_(chosen, handles=0))[0].version == 3


def test_two_projects_and_two_clips_share_no_folder(world: World, chosen: Settings) -> None:
    run(world, with_(chosen, scope="track"))
    other = Timeline(world, "Other")
    assert other.uid
    folders = {one.record.folder for one in results.on(world.project.timeline)}
    assert len(folders) == 2
    assert all(folder.startswith(f"{chosen.folder}/Show_1/talk") for folder in folders)


@pytest.mark.parametrize(
    ("rate", "drop"),
    [(23.976, False), (24.0, False), (25.0, False), (29.97, False), (29.97, True), (50.0, False), (59.94, True)],
)
def test_timecodes_are_those_of_otio(rate: float, drop: bool) -> None:
    for count in (0, 1, 47, 1799, 1800, 17981, 17982, 107892, 108000, 2000000):
        said = otio.opentime.RationalTime(count, rate).to_timecode(rate, drop)
        assert timecode.from_frames(count, rate, drop=drop) == said
        assert timecode.to_frames(said, rate) == count
        assert timecode.to_frames(timecode.moved(said, 8, rate), rate) == count + 8
    # Over midnight it begins anew.
    assert timecode.moved("23:59:59:20", 10, rate).startswith("00:00:00" if rate < 30 else "23:59:59")
    with pytest.raises(BridgeError, match="is no timecode"):
        timecode.to_frames("1:2", rate)
