"""A clip that is a film: rendered to a plate, whose frames are trusted and not its job."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from vfxswap_bridge import BridgeError
from vfxswap_resolve import color, exr, records, sequence
from vfxswap_resolve.api import RefusedError
from vfxswap_resolve.settings import Settings

from tests.support import write_frame

from . import light
from .conftest import PLATE, Talk, film, with_
from .fake import World, bracketed
from .test_flow import above, job_of, refused, run


def test_a_film_is_rendered_with_handles(world: World, chosen: Settings) -> None:
    film(world, Input_Color_Space="ARRI LogC4")
    (report,) = run(world, chosen)
    assert report.warnings == ()
    (item,) = above(world)
    assert (item.start, item.length, item.offset) == (86410, 6, 1)
    job = job_of(item)
    assert (job["color_space"], job["color_config"]) == ("ACEScg", color.CONFIG)
    # 1001 is the clip's first frame, the handle before it 1000.
    assert job["frames"] == "1000-1007"
    assert Path(job["plate"] % 1001).read_bytes() == (PLATE / "plate.1005.exr").read_bytes()
    assert item.media.properties["Input Color Space"] == "ACES (AP1)"
    # Nothing is left of the way.
    assert [timeline.name for timeline in world.project.timelines] == ["Edit"]
    assert world.project.jobs == []


def test_a_plate_is_rendered_once(world: World, chosen: Settings) -> None:
    media = film(world)
    run(world, chosen)
    run(world, chosen)
    assert world.calls.count("Project.AddRenderJob") == 1
    media.properties["Date Modified"] = "Tue Jan 2 2024"
    run(world, chosen)
    assert world.calls.count("Project.AddRenderJob") == 2
    next(Path(chosen.folder).rglob("plate*1003.exr")).unlink()
    run(world, chosen)
    assert world.calls.count("Project.AddRenderJob") == 3


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("short", "7 frames were rendered, 8 were asked for"),
        ("empty", "it is empty"),
        ("cut", "rows are missing"),
        ("failed", "the render failed: no space"),
    ],
)
def test_frames_are_trusted_and_not_the_job(world: World, chosen: Settings, kind: str, said: str) -> None:
    film(world)
    world.render = kind
    assert said in str(refused(world, chosen, "render"))
    assert not list(Path(chosen.folder).rglob("plate*.exr"))


def test_a_render_of_another_size(world: World, chosen: Settings) -> None:
    film(world).properties["Resolution"] = "1920x1080"
    assert "is 960x540, 1920x1080 is expected" in str(refused(world, chosen, "render"))


def test_hidden_settings_of_the_last_render(world: World, chosen: Settings) -> None:
    film(world)
    world.project.presets.pop("H.264 Master")
    assert "a job without pictures" in str(refused(world, chosen, "render"))
    world.project.presets["vfxswap"] = {}
    assert run(world, chosen)[0].version == 1
    assert sorted(world.project.presets) == ["Audio Only", "vfxswap"]
    assert world.project.hidden == {"sound": True, "TargetDir": "/elsewhere"}


def test_a_busy_queue(world: World, chosen: Settings) -> None:
    film(world)
    world.project.left = 1
    with pytest.raises(RefusedError, match="Resolve is rendering"):
        run(world, chosen)


def test_a_render_is_cancelled(world: World, chosen: Settings) -> None:
    film(world)
    before = world.snapshot()
    with pytest.raises(RefusedError, match="cancelled while the plate"):
        run(world, chosen, Talk(chosen, stop_at="plate"))
    assert world.snapshot() == before
    assert "Project.StopRendering" in world.calls


# --------------------------------------------------------------------------------------------------- colour


def test_every_name_is_in_the_config_that_jobs_are_given() -> None:
    from vfxswap.color import ColorConfig

    outputs = (color._RCM_OUTPUT, *color._ACES_OUTPUTS)
    assert {*color.TABLE.values(), *(one.space for one in outputs)} <= set(ColorConfig.load(color.CONFIG).names())


@pytest.mark.parametrize(
    ("said", "space"),
    [
        ("ARRI LogC4", "ARRI LogC4"),
        ("ARRI Wide Gamut 3 ARRI LogC3", "ARRI LogC3 (EI800)"),
        ("Rec.709 Gamma 2.4", "Gamma 2.4 Encoded Rec.709"),
        ("Rec.709 Linear", "Linear Rec.709 (sRGB)"),
        ("ACES (AP1) Linear", "ACEScg"),
        ("ACEScg - CSC", "ACEScg"),
        ("S-Gamut3.Cine/S-Log3", "S-Log3 S-Gamut3.Cine"),
        ("Sony S-Gamut3.Cine S-Log3", "S-Log3 S-Gamut3.Cine"),
        ("Linear", None),  # of which gamut?
        ("Bypass", None),
        ("Rec.2100 ST2084", None),
    ],
)
def test_what_resolve_says(said: str, space: str | None) -> None:
    assert color.known(said) == space


def test_gamut_and_gamma_apart(world: World, chosen: Settings) -> None:
    world.project.settings.update(separateColorSpaceAndGamma="1", colorSpaceInput="Rec.709")
    world.project.settings["colorSpaceInputGamma"] = "Gamma 2.4"
    media = world.project.timeline.current.media
    media.properties.update({"Input Color Space": "Sony S-Gamut3.Cine", "Input Gamma": "S-Log3"})
    run(world, chosen)
    (item,) = above(world)
    assert job_of(item)["color_space"] == "S-Log3 S-Gamut3.Cine"
    assert item.media.properties["Input Gamma"] == "S-Log3"
    media.properties.update({"Input Color Space": "Project", "Input Gamma": "Project"})
    run(world, chosen)
    assert job_of(item)["color_space"] == "Gamma 2.4 Encoded Rec.709"


@pytest.mark.parametrize(("version", "option"), [(20, "ACEScg - CSC"), (17, "ACEScg")])
def test_aces(world: World, chosen: Settings, version: int, option: str) -> None:
    world.version[0] = version
    world.project.settings.update(colorScienceMode="acescct", colorAcesIDT="ARRI LogC4")
    film(world)
    talk = Talk(chosen)
    run(world, chosen, talk)
    assert talk.asked == []
    (item,) = above(world)
    assert job_of(item)["color_space"] == "ACEScg"
    assert item.media.properties["IDT"] == option


def test_aces_without_an_input_transform_is_asked_for(world: World, chosen: Settings) -> None:
    world.project.settings["colorScienceMode"] = "acescct"
    assert "the color space of its pixels is not known (ACES" in str(refused(world, chosen, "color"))
    talk = Talk(chosen, answers=["ACES2065-1"])
    run(world, chosen, talk)
    assert talk.asked == ["talk: which OCIO color space is 'No Input Transform'?"]
    assert job_of(above(world)[0])["color_space"] == "ACES2065-1"


def test_unmanaged_color_asks_and_never_guesses(world: World, chosen: Settings) -> None:
    world.project.settings["colorScienceMode"] = "davinciYRGB"
    refused(world, chosen, "color")
    talk = Talk(chosen, answers=["ARRI LogC4"])
    run(world, chosen, talk)
    assert len(talk.asked) == 1
    (item,) = above(world)
    assert job_of(item)["color_space"] == "ARRI LogC4"
    # The pixels go through as they are, with all their bits.
    film(world)
    run(world, with_(chosen, color_space="ARRI LogC4"))
    assert job_of(item)["color_space"] == "ARRI LogC4"
    refused(world, chosen, "color")


def test_a_film_of_an_unmanaged_project_keeps_all_its_bits(world: World, chosen: Settings) -> None:
    world.project.settings["colorScienceMode"] = "davinciYRGB"
    film(world)
    seen: list[str] = []

    class Watching(Talk):
        def watch(self, what: str, done: int, total: int) -> bool:
            seen.extend(job["codec"] for job in world.project.jobs)
            return True

    run(world, chosen, Watching(chosen, answers=["ARRI LogC4"]))
    assert set(seen) == {"RGBFloatZIP"}
    assert world.project.jobs == []


def test_a_timeline_that_takes_no_linear_output(world: World, chosen: Settings) -> None:
    film(world)
    world.takes = False
    assert "highlights would be lost" in str(refused(world, chosen, "color"))


@pytest.fixture(scope="module")
def rushes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo plate as a camera's log, eight times as bright: more than a display shows."""
    folder = tmp_path_factory.mktemp("rushes")
    log = light.config().from_working("ARRI LogC4")
    for number in range(1004, 1008):
        rgb = log.apply(8 * light.pixels(PLATE / f"plate.{number}.exr"))
        write_frame(folder / f"A.{number}.exr", rgb, dtype=np.float32)
    return folder


@pytest.mark.parametrize(
    ("science", "media", "off"),
    [
        ("davinciYRGBColorManagedv2", "film", 2e-3),
        ("davinciYRGBColorManagedv2", "files", 0.0),
        ("acescct", "film", 2e-3),
        ("acescct", "files", 0.0),
        ("davinciYRGB", "film", 0.0),
        ("davinciYRGB", "files", 0.0),
    ],
)
def test_the_result_is_shown_as_its_plate(
    world: World, chosen: Settings, rushes: Path, science: str, media: str, off: float
) -> None:
    """With a worker that changes nothing: as outside of the matte. `off` is half's rounding of a rendered plate."""
    world.film = [rushes / f"A.{number}.exr" for number in range(1003, 1009)]
    world.manages_color = True
    world.project.settings["colorScienceMode"] = science
    world.project.timeline.current.length = 2
    clip = film(world)
    if media == "files":
        clip.properties["File Path"] = bracketed(rushes, "A.", 4, ".exr", 1003, 1008)
        clip.properties["Frames"] = "6"
    clip.properties["IDT" if science == "acescct" else "Input Color Space"] = "ARRI LogC4"
    run(world, chosen, Talk(chosen, answers=["ARRI LogC4"]))
    (item,) = above(world)
    for index in range(2):
        before = light.shown(world, clip, world.film[2 + index])
        record = records.of_item(item)
        assert record is not None
        after = light.shown(world, item.media, f"{record.folder}/v001/swap.{record.first + 1 + index:04d}.exr")
        np.testing.assert_allclose(after, before, rtol=off, atol=off and 1e-4)
        assert before.max() > (0.5 if science == "davinciYRGB" else 4)


# ---------------------------------------------------------------------------------------------------- files


def test_headers_of_whole_and_broken_files(tmp_path: Path) -> None:
    data = (PLATE / "plate.1003.exr").read_bytes()
    path = tmp_path / "a.exr"
    path.write_bytes(data)
    header = exr.read(str(path))
    assert (header.width, header.height, header.channels, header.aspect) == (960, 540, ("B", "G", "R"), 1.0)
    for size in (0, 3, 50, 300, len(data) // 2):
        path.write_bytes(data[:size])
        with pytest.raises(BridgeError, match="is no whole EXR"):
            exr.read(str(path))
    path.write_bytes(b"RIFF" + data)
    with pytest.raises(BridgeError, match="does not begin as one"):
        exr.read(str(path))
    with pytest.raises(BridgeError, match="cannot read"):
        exr.read(str(tmp_path / "none.exr"))


def test_headers_agree_with_openexr(shared: Path) -> None:
    """On other people's files: the size is what OpenEXR says, or the file is refused."""
    import OpenEXR

    seen = 0
    for path in sorted((shared / "corpus" / "exr").rglob("*.exr")):
        try:
            header = exr.read(str(path))
        except BridgeError:
            continue
        try:
            told = OpenEXR.File(str(path), header_only=True).header()
        except (RuntimeError, ValueError, KeyError):
            continue
        low, high = told["displayWindow"]
        assert (header.width, header.height) == (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1), path
        seen += 1
    assert seen > 20


def test_sequences(tmp_path: Path) -> None:
    found = sequence.parse("C:\\shots\\a_v2.[0990-1010].exr")
    assert found == sequence.Sequence("C:/shots", "a_v2.", 4, ".exr", 990, 1010)
    assert found is not None
    assert (found.pattern, found.path(7)) == ("C:/shots/a_v2.%04d.exr", "C:/shots/a_v2.0007.exr")
    for none in ("/a/b.mov", "/a/b.1001.exr", "/a/[1-2]_[3-4].exr", "/a/b.[5-4].exr", ""):
        assert sequence.parse(none) is None
    for name in ("x_00000998.exr", "x_00001002.exr", "note.txt"):
        (tmp_path / name).write_text("")
    there = sequence.scan(str(tmp_path))
    assert (there.first, there.last, there.path(1000)) == (998, 1002, f"{tmp_path.as_posix()}/x_00001000.exr")
    (tmp_path / "y_1.exr").write_text("")
    with pytest.raises(BridgeError, match="2 sequences"):
        sequence.scan(str(tmp_path))


def test_a_broken_note_about_a_plate_is_no_plate(world: World, chosen: Settings) -> None:
    film(world)
    run(world, chosen)
    (note,) = Path(chosen.folder).rglob("plate.json")
    assert json.loads(note.read_text())["space"] == "ACEScg"
    note.write_text("{")
    run(world, chosen)
    assert world.calls.count("Project.AddRenderJob") == 2
