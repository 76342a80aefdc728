"""Timelines taken apart and put together again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vfxswap.conform import TRACK, Timeline
from vfxswap.errors import PlateError, TimelineError, UsageError

otio = pytest.importorskip("opentimelineio", reason="the extra otio is not installed")

DEMO = Path(__file__).parents[1] / "examples" / "demo"
PLATE = DEMO / "plate"

RATES = [23.976, 24000 / 1001, 24.0, 25.0, 29.97, 30000 / 1001, 50.0]


def at(frames: float, rate: float) -> Any:
    return otio.opentime.RationalTime(frames, rate)


def span(first: float, count: float, rate: float) -> Any:
    return otio.opentime.TimeRange(at(first, rate), at(count, rate))


def sequence(rate: float = 24.0, *, folder: Path = PLATE, first: int = 1003, count: int = 11, tc: int = 86400) -> Any:
    """The demo plate as media whose first frame has the timecode `tc`."""
    return otio.schema.ImageSequenceReference(
        target_url_base=folder.as_uri() + "/",
        name_prefix="plate.",
        name_suffix=".exr",
        start_frame=first,
        frame_step=1,
        rate=rate,
        frame_zero_padding=4,
        available_range=span(tc, count, rate),
    )


def clip(name: str, first: float, count: float, rate: float = 24.0, media: Any = None, **more: Any) -> Any:
    return otio.schema.Clip(
        name=name, media_reference=media or sequence(rate), source_range=span(first, count, rate), **more
    )


def gap(count: float, rate: float = 24.0) -> Any:
    return otio.schema.Gap(duration=at(count, rate))


def written(path: Path, *tracks: list[Any], name: str = "Reel 1", start: Any = None) -> Path:
    """A timeline file with video tracks, the bottom one first, and sound."""
    timeline = otio.schema.Timeline(name=name, global_start_time=start)
    for children in tracks:
        track = otio.schema.Track(kind=otio.schema.TrackKind.Video)
        track.extend(children)
        timeline.tracks.append(track)
    sound = otio.schema.Track(kind=otio.schema.TrackKind.Audio)
    timeline.tracks.append(sound)
    otio.adapters.write_to_file(timeline, str(path))
    return path


# ----------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("rate", RATES)
def test_gaps_handles_and_rates(tmp_path: Path, rate: float) -> None:
    """A gap of 10, then frames 2 to 6 of the media: files 1005 to 1009."""
    media = sequence(rate, tc=90000)
    path = written(tmp_path / "a.otio", [gap(10, rate), clip("talk", 90002, 5, rate, media), gap(3, rate)])
    (cut,) = Timeline(path).cuts(["talk"], handles=1)
    assert (cut.record, cut.length, cut.track) == (10, 5, 1)
    assert (cut.plate, cut.frames, cut.head) == (str(PLATE / "plate.%04d.exr"), "1004-1010", 1)
    # Handles end where the media does.
    (cut,) = Timeline(path).cuts(["talk"], handles=100)
    assert (cut.frames, cut.head) == ("1003-1013", 2)
    (cut,) = Timeline(path).cuts(["talk"], handles=0)
    assert (cut.frames, cut.head) == ("1005-1009", 0)


@pytest.mark.parametrize("rate", RATES)
def test_a_whole_clip_without_a_source_range(tmp_path: Path, rate: float) -> None:
    whole = otio.schema.Clip(name="talk", media_reference=sequence(rate))
    (cut,) = Timeline(written(tmp_path / "a.otio", [whole])).cuts(["talk"], handles=8)
    assert (cut.record, cut.length, cut.frames, cut.head) == (0, 11, "1003-1013", 0)


def test_several_tracks_and_occurrences(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.otio",
        [clip("wide", 86400, 4), clip("talk", 86401, 3)],
        [gap(2), clip("talk", 86405, 2), gap(1), clip("talk", 86407, 4)],
    )
    cuts = Timeline(path).cuts(["talk"], handles=0)
    assert [(cut.track, cut.record, cut.frames) for cut in cuts] == [
        (1, 4, "1004-1006"),
        (2, 2, "1008-1009"),
        (2, 5, "1010-1013"),
    ]


def test_a_rate_written_in_two_ways_and_times_off_by_a_hair(tmp_path: Path) -> None:
    media = sequence(24000 / 1001, tc=0)
    media.available_range = otio.opentime.TimeRange(at(86486.4, 23.976), at(11, 23.976))
    one = otio.schema.Clip(name="talk", media_reference=media)
    one.source_range = otio.opentime.TimeRange(at(86488.4, 24000 / 1001), at(4, 24000 / 1001))
    (cut,) = Timeline(written(tmp_path / "a.otio", [one])).cuts(["talk"], handles=0)
    assert cut.frames == "1005-1008"


@pytest.mark.parametrize(
    "url",
    [
        "{folder}/plate.[1003-1013].exr",
        "{folder}/plate.%04d.exr",
        "file://{folder}/plate.%04d.exr",
        "file://{folder}/plate.%2504d.exr",
        "file://{folder}/plate.%5B1003-1013%5D.exr",
        "plate.####.exr",
    ],
)
def test_sequences_as_external_references(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    for path in PLATE.glob("*.exr"):
        (folder / path.name).symlink_to(path)
    quoted = str(folder).replace(" ", "%20") if url.startswith("file:") else str(folder)
    media = otio.schema.ExternalReference(url.format(folder=quoted), available_range=span(100, 11, 25))
    path = written(folder / "a.otio", [clip("talk", 102, 3, 25, media)])
    (cut,) = Timeline(path).cuts(["talk"], handles=0)
    assert (cut.plate, cut.frames) == (str(folder / "plate.%04d.exr"), "1005-1007")


def test_a_track_that_shows_a_part_of_itself(tmp_path: Path) -> None:
    timeline = otio.schema.Timeline(name="a")
    track = otio.schema.Track(kind="Video", source_range=span(6, 100, 24))
    track.extend([gap(10), clip("talk", 86400, 5)])
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(tmp_path / "a.otio"))
    (cut,) = Timeline(tmp_path / "a.otio").cuts(["talk"], handles=0)
    assert (cut.record, cut.length) == (4, 5)


# ---------------------------------------------------------------------------------------------------- refusals


def refused(tmp_path: Path, *children: Any, start: Any = None) -> str:
    path = written(tmp_path / "a.otio", list(children), start=start)
    with pytest.raises((TimelineError, PlateError)) as caught:
        Timeline(path).cuts(["talk"], handles=0)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    # The list says the same.
    assert "talk" in [entry.name for entry in Timeline(path).entries()]
    return str(caught.value)


@pytest.mark.parametrize("effect", ["LinearTimeWarp", "FreezeFrame", "TimeEffect"])
def test_retimed(tmp_path: Path, effect: str) -> None:
    made = getattr(otio.schema, effect)()
    if effect == "LinearTimeWarp":
        made.time_scalar = 0.5
    assert "talk is retimed" in refused(tmp_path, clip("talk", 86400, 4, effects=[made]))


def test_a_warp_that_changes_nothing_is_none(tmp_path: Path) -> None:
    one = clip("talk", 86400, 4, effects=[otio.schema.LinearTimeWarp(time_scalar=1.0), otio.schema.Effect(name="x")])
    assert len(Timeline(written(tmp_path / "a.otio", [one])).cuts(["talk"], handles=0)) == 1


def test_media_that_is_none(tmp_path: Path) -> None:
    title = otio.schema.GeneratorReference(name="bars", generator_kind="SMPTE", available_range=span(0, 50, 24))
    assert "title or generator" in refused(tmp_path, clip("talk", 0, 4, media=title))
    assert "is offline" in refused(tmp_path, clip("talk", 0, 4, media=otio.schema.MissingReference()))
    film = otio.schema.ExternalReference("/a.mov", available_range=span(0, 50, 24))
    assert "no EXR image sequence: /a.mov" in refused(tmp_path, clip("talk", 0, 4, media=film))
    silent = sequence()
    silent.available_range = None
    assert "does not say which frames" in refused(tmp_path, clip("talk", 0, 4, media=silent))
    stepped = sequence()
    stepped.frame_step = 2
    assert "every 2th frame" in refused(tmp_path, clip("talk", 86400, 4, media=stepped))
    assert "uses frames 9 to 12 of media with 11" in refused(tmp_path, clip("talk", 86409, 4))
    longer = sequence(count=30)
    assert "10 of 15 frames are missing, the first 1014" in refused(tmp_path, clip("talk", 86406, 15, media=longer))


def test_a_pattern_whose_first_frame_nobody_says(tmp_path: Path) -> None:
    media = otio.schema.ExternalReference(str(PLATE / "plate.%04d.exr"), available_range=span(0, 200, 24))
    assert "knows 200 frames of its media, on disk are 1003-1013" in refused(tmp_path, clip("talk", 0, 4, media=media))


def test_rates_that_differ(tmp_path: Path) -> None:
    assert "(mixed-fps)" in refused(tmp_path, clip("talk", 86400, 4, 25.0), start=at(0, 24))
    slow = clip("talk", 90000, 4, 25.0, sequence(24.0))
    assert "plays media of 24 frames per second at 25" in refused(tmp_path, slow)
    assert "does not begin or end on a frame" in refused(tmp_path, clip("talk", 86400.5, 4))


def test_nested(tmp_path: Path) -> None:
    stack = otio.schema.Stack(name="comp")
    stack.append(clip("talk", 86400, 4))
    assert "talk is nested in comp" in refused(tmp_path, stack)


def test_a_transition(tmp_path: Path) -> None:
    dissolve = otio.schema.Transition("x", "SMPTE_Dissolve", at(2, 24), at(2, 24))
    children = [clip("talk", 86402, 4), dissolve, clip("wide", 86402, 6)]
    assert "talk has a transition beside it" in refused(tmp_path, *children)
    timeline = Timeline(tmp_path / "a.otio")
    (cut,) = timeline.cuts(["talk"], handles=3, in_place=True)
    assert (cut.record, cut.frames) == (0, "1003-1011")


def test_names_and_files_that_are_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.otio", [clip("talk", 86400, 4)])
    with pytest.raises(UsageError, match=r"no clip is named 'tlak'.*there is talk"):
        Timeline(path).cuts(["talk", "tlak"], handles=0)
    with pytest.raises(TimelineError, match="no such timeline"):
        Timeline(tmp_path / "none.otio")
    for text in ("", "{", "[]", '{"OTIO_SCHEMA": "Clip.2"}', '{"OTIO_SCHEMA": "Timeline.999"}'):
        path.write_text(text)
        with pytest.raises(TimelineError):
            Timeline(path)
    path.with_suffix(".xyz").write_text("x")
    with pytest.raises(TimelineError, match="not a timeline"):
        Timeline(path.with_suffix(".xyz"))


def test_a_collection_with_one_timeline(tmp_path: Path) -> None:
    path = written(tmp_path / "a.otio", [clip("talk", 86400, 4)])
    inside = otio.adapters.read_from_file(str(path))
    bin_ = otio.schema.SerializableCollection(name="bin", children=[inside])
    otio.adapters.write_to_file(bin_, str(path))
    assert len(Timeline(path).cuts(["talk"], handles=0)) == 1


# ----------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("rate", RATES)
def test_results_lie_above_their_plates(tmp_path: Path, rate: float) -> None:
    media = sequence(rate, tc=90000)
    path = written(
        tmp_path / "a.otio",
        [clip("wide", 90000, 4, rate, media), clip("talk", 90002, 5, rate, media), clip("talk", 90008, 2, rate, media)],
        [gap(20, rate)],
    )
    timeline = Timeline(path)
    cuts = timeline.cuts(["talk"], handles=1)
    target = tmp_path / "out.otio"
    results = [(cut, f"/r/{number}/swap.%04d.exr", f"/r/{number}/job.json") for number, cut in enumerate(cuts)]
    timeline.with_results(results).save(target)
    again = otio.adapters.read_from_file(str(target))
    assert again.name == "Reel 1 vfxswap"
    assert [track.name for track in again.tracks] == ["", TRACK, "", ""]
    track = again.tracks[1]
    made = list(track.find_clips())
    assert [one.name for one in made] == ["talk vfxswap", "talk vfxswap"]
    for one, plate, cut in zip(made, [again.tracks[0][1], again.tracks[0][2]], cuts, strict=True):
        # The same place, the same source timecode.
        assert track.range_of_child(one) == again.tracks[0].range_of_child(plate)
        assert one.source_range == plate.source_range
        reference = one.media_reference
        assert reference.frame_for_time(plate.source_range.start_time) == cut.first + cut.head
        assert media.frame_for_time(plate.source_range.start_time) == cut.first + cut.head
        assert reference.available_range.start_time.value == plate.source_range.start_time.value - cut.head
        assert one.markers[0].metadata[TRACK].endswith("job.json")
    assert made[0].media_reference.target_url_for_image_number(0) == "file:///r/0/swap.1004.exr"
    # What Resolve takes in is of this version and kind.
    text = target.read_text()
    assert '"OTIO_SCHEMA": "Clip.2"' in text
    assert '"media_references"' in text
    # What there was is as it was.
    before = otio.adapters.read_from_file(str(path))
    assert [child.to_json_string() for child in again.tracks[0]] == [
        child.to_json_string() for child in before.tracks[0]
    ]


def test_results_as_media_of_their_clips(tmp_path: Path) -> None:
    path = written(tmp_path / "a.otio", [gap(5), clip("talk", 86402, 4)])
    timeline = Timeline(path)
    (cut,) = timeline.cuts(["talk"], handles=2)
    timeline.with_results([(cut, "/r/swap.%04d.exr", "/r/job.json")], replace=True).save(tmp_path / "b.otio")
    again = otio.adapters.read_from_file(str(tmp_path / "b.otio"))
    assert len(again.tracks) == 2
    one = again.tracks[0][1]
    assert one.active_media_reference_key == TRACK
    assert set(one.media_references()) == {"DEFAULT_MEDIA", TRACK}
    assert one.media_reference.frame_for_time(one.source_range.start_time) == 1005
    assert one.range_in_parent() == timeline._timeline.tracks[0][1].range_in_parent()
    # It can be conformed again, but only once its frames are there.
    with pytest.raises(PlateError):
        Timeline(tmp_path / "b.otio").cuts(["talk"], handles=0)


# ---------------------------------------------------------------------------------------------- other people's


def relinked(found: Any, folder: Path) -> int:
    """Every clip with a range gets an image sequence with ten frames to spare on either side; how many there are."""
    count = 0
    for track in found.video_tracks():
        for one in track.find_clips():
            if one.source_range is None and one.media_reference.available_range is None:
                continue
            one.source_range = source = one.trimmed_range()
            rate, length = source.start_time.rate, round(source.duration.value) + 20
            media = folder / f"s{count}"
            media.mkdir()
            for number in range(length):
                (media / f"plate.{1003 + number:04d}.exr").touch()
            first = source.start_time - at(10, rate)
            one.media_reference = sequence(rate, folder=media, count=length)
            one.media_reference.available_range = otio.opentime.TimeRange(first, at(length, rate))
            count += 1
    return count


def test_otios_own_samples(tmp_path: Path) -> None:
    """As they are, each clip is refused by name; with image sequences as media, each is at the place OTIO gives it."""
    where = os.environ.get("OTIO_SAMPLE_DATA", "")
    if not where:
        pytest.skip("OTIO_SAMPLE_DATA names no folder: tests/sample_data of OpenTimelineIO's source distribution")
    files = clips = refusals = 0
    for path in sorted(Path(where).glob("*.otio")):
        found = otio.adapters.read_from_file(str(path))
        if not isinstance(found, otio.schema.Timeline):
            continue
        assert all(entry.cut is None and entry.refusal for entry in Timeline(path).entries())
        folder = tmp_path / path.stem
        folder.mkdir()
        files += relinked(found, folder) > 0
        otio.adapters.write_to_file(found, str(folder / "a.otio"))
        timeline = Timeline(folder / "a.otio")
        entries = timeline.entries(handles=5)
        refusals += sum(entry.cut is None for entry in entries)
        cuts = [entry.cut for entry in entries if entry.cut is not None]
        clips += len(cuts)
        places = []
        for cut in cuts:
            place = cut.clip.transformed_time_range(cut.clip.trimmed_range(), timeline._timeline.tracks)
            assert place.start_time.rescaled_to(cut.rate).value == pytest.approx(cut.record, abs=0.05)
            assert (cut.first, cut.head, cut.last) == (1008, 5, 1007 + cut.length + 10)
            places.append((round(cut.record * 24 / cut.rate, 2), cut.length))
        results = [(cut, str(folder / f"r{number}.%04d.exr"), "job.json") for number, cut in enumerate(cuts)]
        timeline.with_results(results).save(folder / "b.otio")
        made = otio.adapters.read_from_file(str(folder / "b.otio"))
        there = [one for track in made.tracks if track.name == TRACK for one in track.find_clips()]
        assert sorted(
            (round(one.range_in_parent().start_time.rescaled_to(24).value, 2), round(one.duration().value))
            for one in there
        ) == sorted(places)
    assert files >= 10
    assert clips >= 50
    assert refusals <= 4, "nested clips, and one of another rate"


# ------------------------------------------------------------------------------------------------- the command


def command(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "vfxswap", "otio", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, check=False)


def test_the_list(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.otio", [clip("talk", 86402, 4), clip("gone", 0, 3, media=otio.schema.MissingReference())]
    )
    done = command(path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("V1  talk  record 0-3  24 fps  ")
    assert lines[0].endswith("plate.%04d.exr 1005-1008")
    assert "V1  gone  refused: gone is offline" in lines[1]


def test_a_dry_run_writes_jobs_and_the_timeline(tmp_path: Path) -> None:
    path = written(tmp_path / "a.otio", [clip("talk 1", 86402, 4), clip("talk 1", 86407, 2)])
    words: list[str | Path] = [
        path,
        "--clip",
        "talk 1",
        "--model",
        DEMO / "ben_over_anna.vfxmodel",
        "--output",
        "out",
        "--handles",
        "1",
    ]
    done = command(*words, "--shot", "demo/rendered/{clip}", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(item.name for item in (tmp_path / "out").iterdir())
    assert names == ["Reel_1.vfxswap.otio", "talk_1", "talk_1_at4_V1"]
    job = json.loads((tmp_path / "out" / "talk_1" / "job.json").read_text())
    assert (job["host"], job["shot"], job["frames"]) == ("otio", "demo/rendered/talk_1", "1004-1009")
    assert job["output"] == str(tmp_path / "out" / "talk_1" / "talk_1.%04d.exr")
    missing = command(path, "--clip", "talk 1", cwd=tmp_path)
    assert missing.returncode == 2
    assert "--model is missing" in missing.stderr


@pytest.mark.slow
def test_a_clip_is_swapped(tmp_path: Path) -> None:
    path = written(tmp_path / "a.otio", [gap(7), clip("talk", 86403, 2)])
    trust = DEMO / "trust"
    words: list[str | Path] = [path, "--clip", "talk", "--model", DEMO / "ben_over_anna.vfxmodel", "--output", "out"]
    words += ["--handles", "0", "--shot", "demo/rendered/talk", "--keyring", trust / "keyring", "--device", "cpu"]
    one = command(*words, "--consent", trust / "demo-ben.consent.json", cwd=tmp_path)
    assert one.returncode == 77, one.stderr
    assert not (tmp_path / "out").exists()
    for who in ("anna", "ben"):
        words += ["--consent", trust / f"demo-{who}.consent.json"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = sorted(item.name for item in (tmp_path / "out" / "talk").glob("*.exr"))
    assert made == ["talk.1006.exr", "talk.1007.exr"]
    (cut,) = Timeline(tmp_path / "out" / "Reel_1.vfxswap.otio").cuts(["talk vfxswap"], handles=0)
    assert (cut.track, cut.record, cut.frames) == (2, 7, "1006-1007")
    assert cut.plate == str(tmp_path / "out" / "talk" / "talk.%04d.exr")
