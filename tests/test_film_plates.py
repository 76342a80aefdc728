"""Whole jobs on plates as film has them: stereo, several doubles, log, changing light, lenses, mattes, squeezes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr, measure, pipeline
from vfxswap.color import ColorConfig
from vfxswap.errors import JobError, TrackError, UsageError
from vfxswap.events import CancelToken, Event
from vfxswap.face import track as tracks
from vfxswap.frames import Report
from vfxswap.geometry import Window
from vfxswap.job import SwapJob
from vfxswap.pixels import F32, WorkingRgb

from .support import PASS_THROUGH, Studio, astronaut, digests, job, network, write_frame

SIZE = 192
STUDIO = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"


class Told:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def do(studio: Studio, made: SwapJob) -> Report:
    return pipeline.swap(made, gate=studio.gate(), sink=Told(), cancel=CancelToken())


@functools.cache
def picture(shift: float = 0.0) -> F32:
    """(SIZE, SIZE, 3) scene-linear face."""
    out = astronaut(SIZE, shift=shift)
    out.setflags(write=False)
    return out


def halves(rgb: Any, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{c}": np.ascontiguousarray(rgb[..., i]).astype(np.float16) for i, c in enumerate("RGB")}


def bits(array: Any) -> Any:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


# ------------------------------------------------------------------------------------------------- stereo


def write_stereo(folder: Path, kind: str, frames: int = 2) -> str:
    """A stereo plate whose right eye sees the face 12 pixels further left; returns its path."""
    folder.mkdir(parents=True)
    header: dict[str, Any] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    for i in range(frames):
        left, right = picture(2.0 * i), picture(2.0 * i - 12.0)
        path = str(folder / f"s.{1001 + i}.exr")
        if kind == "parts":
            eyes = (("rgba.left", "left", left), ("rgba.right", "right", right))
            parts = [OpenEXR.Part({**header, "view": view}, halves(rgb), name) for name, view, rgb in eyes]
            OpenEXR.File(parts).write(path)
        elif kind == "channels":
            channels = halves(left) | halves(right, "right.") | {"right.Z": np.ones((SIZE, SIZE), np.float32)}
            OpenEXR.File({**header, "multiView": ["left", "right"]}, channels).write(path)
        else:
            for eye, rgb in (("left", left), ("right", right)):
                write_frame(folder / f"s.{eye}.{1001 + i}.exr", rgb, frame=1001 + i)
    return str(folder / ("s.%V.####.exr" if kind == "files" else "s.####.exr"))


def eyes_of(path: Path) -> dict[str, exr.Frame]:
    first = exr.read(path)
    return {view: first.seen(view) for view in first.info.views}


@pytest.mark.parametrize("kind", ["parts", "channels"])
@pytest.mark.parametrize("layers", ["comp", "ingredients", "patch"])
def test_both_eyes_of_a_stereo_file_are_swapped(production: Studio, tmp_path: Path, kind: str, layers: str):
    plate = write_stereo(tmp_path / "plate", kind)
    report = do(production, job(production, plate, tmp_path / "out", view="all", layers=layers))
    assert (report.rendered, report.failed) == (2, ())
    before, after = eyes_of(tmp_path / "plate" / "s.1001.exr"), eyes_of(tmp_path / "out" / "out.1001.exr")
    assert list(after) == ["left", "right"]
    if layers == "patch":
        left, right = (after[eye].origin_window for eye in ("left", "right"))
        assert left.x - right.x == pytest.approx(12, abs=2)
        assert {eye: after[eye].display_window for eye in after} == {eye: before[eye].display_window for eye in before}
        return
    for eye in after:
        changed = (bits(before[eye].rgb) != bits(after[eye].rgb)).any(axis=-1)
        assert 0.02 < changed.mean() < 0.5
        names = {channel.name for channel in after[eye].part.channels}
        wanted = {"parts": "face.A", "channels": "face.A" if eye == "left" else "face.right.A"}[kind]
        assert (wanted in names) == (layers == "ingredients")
    if kind == "channels":
        channels, _ = exr.read_channels(tmp_path / "out" / "out.1001.exr")
        np.testing.assert_array_equal(channels["right.Z"], 1.0)


def test_eyes_with_files_of_their_own(production: Studio, tmp_path: Path):
    plate = write_stereo(tmp_path / "plate", "files")
    made = job(production, plate, tmp_path, view="all").replace(output=str(tmp_path / "out" / "o.%V.####.exr"))
    assert do(production, made).rendered == 4
    assert sorted(digests(tmp_path / "out")) == [f"o.{eye}.{n}.exr" for eye in ("left", "right") for n in (1001, 1002)]
    assert do(production, made).skipped == 4
    one = made.replace(view="right", output=str(tmp_path / "one" / "o.####.exr"))
    assert do(production, one).rendered == 2
    with pytest.raises(UsageError, match="each view needs an output"):
        do(production, made.replace(output=str(tmp_path / "out" / "o.####.exr")))


def test_the_eyes_share_exposure_and_relight(production: Studio, tmp_path: Path):
    plate = write_stereo(tmp_path / "plate", "parts")
    do(production, job(production, plate, tmp_path / "out", view="all"))
    (found,) = (tmp_path / "out" / ".vfxswap" / "out").glob("*.vfxshot")
    assert sorted(measure.load(found).relight) == [1001, 1002]
    assert len(list((tmp_path / "out" / ".vfxswap" / "out").glob("*.vfxtrack"))) == 2
    headers = [part.attributes for part in exr.probe(tmp_path / "out" / "out.1001.exr").parts]
    assert len({header["vfxswap:exposure"] for header in headers}) == 1


def test_all_views_of_a_mono_plate_is_wrong_usage(production: Studio, face_plate: str, tmp_path: Path):
    with pytest.raises(UsageError, match="has one view"):
        do(production, job(production, face_plate, tmp_path, view="all"))


# ----------------------------------------------------------------------------------------- several doubles


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pair")
    for i in range(2):
        write_frame(folder / f"s.{1001 + i}.exr", np.concatenate([picture(i), picture(2.0 * i)], axis=1))
    return str(folder / "s.####.exr")


def at(side: int) -> str:
    """The face in the left (0) or right (1) half."""
    return f"{SIZE * (side + 0.42):.0f},{SIZE * 0.45:.0f}"


def test_two_doubles_each_with_a_model(production: Studio, two_faces: str, tmp_path: Path):
    green = production.model("green", network(constant=np.array([0.1, 0.8, 0.1], np.float32)))
    both = job(production, two_faces, tmp_path / "both", face=at(0), also=[{"face": at(1), "model": green}])
    both = both.replace(layers="ingredients", parameters={"relight": 0})
    assert do(production, both).rendered == 2
    channels, attributes = exr.read_channels(tmp_path / "both" / "out.1001.exr")
    left, right = channels["face.A"] > 0, channels["face2.A"] > 0
    assert left[:, :SIZE].sum() > 500
    assert not left[:, SIZE:].any()
    assert right[:, SIZE:].sum() > 500
    assert not right[:, :SIZE].any()
    covered = channels["matte2.face"] == 1
    assert (channels["G"] > 2 * channels["R"])[covered].all()
    assert not (channels["G"] > 2 * channels["R"])[left].any()
    assert len(attributes["vfxswap:model"].split()) == 2
    # Each as if it were alone.
    for side, model in ((0, both.model), (1, green)):
        alone = both.replace(also=[], face=at(side), model=model, output=str(tmp_path / f"{side}" / "out.####.exr"))
        do(production, alone)
        single, _ = exr.read_channels(tmp_path / f"{side}" / "out.1001.exr")
        half = slice(0, SIZE) if side == 0 else slice(SIZE, None)
        for letter in "RGB":
            np.testing.assert_array_equal(bits(single[letter][:, half]), bits(channels[letter][:, half]))


def test_the_last_face_is_in_front(production: Studio, face_plate: str, tmp_path: Path):
    green = production.model("green", network(constant=np.array([0.1, 0.8, 0.1], np.float32)))
    red = production.model("red", network(constant=np.array([0.8, 0.1, 0.1], np.float32)))
    for name, order in (("g", (red, green)), ("r", (green, red))):
        made = job(production, face_plate, tmp_path / name, model=order[0], also=[{"face": "0", "model": order[1]}])
        do(production, made.replace(layers="patch", parameters={"relight": 0}))
        channels, _ = exr.read_channels(tmp_path / name / "out.1001.exr")
        inside = channels["A"] == 1
        assert inside.sum() > 500
        assert (channels["G"] > channels["R"])[inside].all() == (name == "g")


def test_a_matte_of_one_face_leaves_the_other(production: Studio, two_faces: str, tmp_path: Path):
    write_frame(tmp_path / "hold.exr", np.ones((SIZE, 2 * SIZE, 3), np.float32))
    made = job(production, two_faces, tmp_path / "out", face=at(0), layers="ingredients")
    made = made.replace(also=[{"face": at(1), "model": made.model, "matte": f"{tmp_path / 'hold.exr'}:R,holdout"}])
    do(production, made)
    channels, _ = exr.read_channels(tmp_path / "out" / "out.1001.exr")
    assert (channels["face.A"] > 0).sum() > 500
    assert not (channels["face2.A"] > 0).any()
    assert (channels["matte2.occlusion"][:, SIZE:] == 1).sum() > 500


# -------------------------------------------------------------------------------------------------- colour


@pytest.mark.parametrize("space", ["ARRI LogC4", "S-Log3 S-Gamut3.Cine"])
def test_a_log_plate_is_mixed_in_light_and_kept_in_log(production: Studio, tmp_path: Path, space: str):
    config = ColorConfig.load(STUDIO)
    rgb = np.array(picture())
    rgb[10:20, 10:20], rgb[100:104, 80:84] = 12.0, 9.0
    coded = config.from_working(space).apply(WorkingRgb(rgb))
    plate = str(write_frame(tmp_path / "plate" / "p.1001.exr", coded))
    made = job(production, plate, tmp_path / "log", color_space=space, color_config=STUDIO, layers="ingredients")
    assert do(production, made).rendered == 1
    light = str(write_frame(tmp_path / "light" / "p.1001.exr", rgb, dtype=np.float32))
    do(production, made.replace(plate=light, color_space="ACEScg", output=str(tmp_path / "lin" / "out.####.exr")))
    log, attributes = exr.read_channels(tmp_path / "log" / "out.1001.exr")
    lin, _ = exr.read_channels(tmp_path / "lin" / "out.1001.exr")
    assert attributes["vfxswap:space"] == "ACEScg"
    outside = log["face.A"] == 0
    before, _ = exr.read_channels(Path(plate))
    for letter in "RGB":
        np.testing.assert_array_equal(bits(log[letter][outside]), bits(before[letter][outside]))
    inside = (log["face.A"] > 0) & (lin["face.A"] > 0)
    assert inside.sum() > 1000
    shown = config.to_working(space).apply(np.stack([log[c] for c in "RGB"], axis=-1)[inside].astype(np.float32))
    wanted = np.stack([lin[c] for c in "RGB"], axis=-1)[inside]
    # Half an S-Log3 or LogC4 code of half precision is below a hundredth of a stop around the skin.
    np.testing.assert_allclose(shown, wanted, rtol=0.02, atol=0.01)
    np.testing.assert_allclose(log["raw.G"][inside], lin["raw.G"][inside], rtol=0.02, atol=0.01)


def test_a_patch_in_light_does_not_say_that_it_is_log(production: Studio, tmp_path: Path):
    coded = ColorConfig.load(STUDIO).from_working("ARRI LogC4").apply(WorkingRgb(np.array(picture())))
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, "colorInteropID": "ARRI LogC4"}
    (tmp_path / "plate").mkdir()
    OpenEXR.File(header, halves(coded)).write(str(tmp_path / "plate" / "p.1001.exr"))
    made = job(production, str(tmp_path / "plate"), tmp_path / "out", color_config=STUDIO, passes=["uv"])
    said = {}
    for layers in ("patch", "comp"):
        do(production, made.replace(layers=layers))
        said[layers] = exr.probe(tmp_path / "out" / "out.1001.exr").parts[0].attributes
        said["uv"] = exr.probe(tmp_path / "out" / "out_uv.1001.exr").parts[0].attributes
    assert said["comp"]["colorInteropID"] == "ARRI LogC4"
    assert "colorInteropID" not in said["patch"]
    assert "colorInteropID" not in said["uv"]
    assert said["patch"]["vfxswap:space"] == "ACEScg"


def test_a_face_that_is_not_shown_alters_nothing(production: Studio, face_plate: str, tmp_path: Path):
    do(production, job(production, face_plate, tmp_path, parameters={"mix": 0}))
    assert exr.probe(tmp_path / "out.1001.exr").parts[0].attributes["vfxswap:altered"] == "0"


def test_another_config_than_the_jobs_is_noticed(production: Studio, face_plate: str, tmp_path: Path):
    made = job(production, face_plate, tmp_path, color_config_hash="not this one")
    with pytest.raises(JobError, match="not the one the job was written with"):
        do(production, made)


# -------------------------------------------------------------------------------------------- changing light


def lit(folder: Path, stops: list[float]) -> str:
    for i, stop in enumerate(stops):
        write_frame(folder / f"p.{1001 + i}.exr", picture(0.5 * i) * np.float32(2.0**stop))
    return str(folder / "p.####.exr")


@pytest.mark.parametrize(
    ("name", "stops"),
    [("flash", [0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0]), ("fade", [0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0])],
)
def test_exposure_follows_a_flash_and_a_fade(production: Studio, tmp_path: Path, name: str, stops: list[float]):
    """A model that changes nothing gives every frame back as it was, however bright."""
    same = production.model("same", network(PASS_THROUGH))
    plate = lit(tmp_path / "plate", stops)
    asked = job(production, plate, tmp_path / "out", model=same, parameters={"grain": 0})
    assert do(production, asked).rendered == len(stops)
    (found,) = (tmp_path / "out" / ".vfxswap" / "out").glob("*.vfxshot")
    measured = measure.load(found)
    away = np.array([np.log2(measured.curve[1001 + i] / measured.curve[1001]) for i in range(len(stops))])
    np.testing.assert_allclose(away, -np.array(stops), atol=0.15)
    for i, stop in enumerate(stops):
        before = exr.read(tmp_path / "plate" / f"p.{1001 + i}.exr").rgb.astype(np.float32)
        after, attributes = exr.read_channels(tmp_path / "out" / f"out.{1001 + i}.exr")
        rgb = np.stack([after[c] for c in "RGB"], axis=-1).astype(np.float32)
        assert float(attributes["vfxswap:exposure"]) == pytest.approx(np.log2(measured.curve[1001 + i]), abs=1e-3)
        changed = (rgb != before).any(axis=-1)
        assert changed.sum() > 1000
        error = np.abs(rgb - before)[changed] / 2.0**stop
        assert np.median(error) < 0.01


def test_a_steady_shot_has_one_exposure(production: Studio, tmp_path: Path):
    plate = lit(tmp_path / "plate", [0.0, 0.3, -0.3, 0.2])
    do(production, job(production, plate, tmp_path / "out"))
    (found,) = (tmp_path / "out" / ".vfxswap" / "out").glob("*.vfxshot")
    assert measure.load(found).curve == {}


# ---------------------------------------------------------------------------------------------------- lens

K = 0.12
"""Barrel distortion, as a part of the radius at the edge of the picture."""


@functools.cache
def cornered(shift: float = 0.0) -> F32:
    """(SIZE, SIZE, 3) scene-linear face in the lower right corner, where a lens bends most."""
    out = np.pad(astronaut(128, shift=shift), ((SIZE - 128, 0), (SIZE - 128, 0), (0, 0)), mode="edge")
    out.setflags(write=False)
    return out


def undistorting(size: int) -> F32:
    """(size, size, 2) STMap: undistorted pixel -> where it is in the plate, y up."""
    at = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(at, at)
    bend = 1 - K * (x * x + y * y)
    return np.stack([(x * bend + 1) / 2, 1 - (y * bend + 1) / 2], axis=-1).astype(np.float32)


def write_lens(path: Path, map_: F32) -> Path:
    exr.write_channels(path, channels={"R": map_[..., 0].copy(), "G": map_[..., 1].copy()})
    return path


@pytest.fixture(scope="module")
def bent(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A plate seen through a lens, and its undistorting STMap."""
    import cv2

    folder = tmp_path_factory.mktemp("bent")
    map_ = undistorting(SIZE)
    # The plate is the straight picture seen through the inverse of the map, found by fixed-point steps.
    at = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    x, y = np.meshgrid(at, at)
    u, v = x.copy(), y.copy()
    for _ in range(40):
        bend = 1 - K * (u * u + v * v)
        u, v = x / bend, y / bend
    columns, rows = (((value + 1) / 2 * SIZE - 0.5).astype(np.float32) for value in (u, v))
    for i in range(2):
        plate = cv2.remap(np.array(cornered(i)), columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        write_frame(folder / f"p.{1001 + i}.exr", plate)
    return str(folder / "p.####.exr"), write_lens(folder / "lens.exr", map_)


def test_a_lens_is_tracked_and_warped_through(production: Studio, bent: tuple[str, Path], tmp_path: Path):
    plate, lens = bent
    made = job(
        production, plate, tmp_path / "out", lens=str(lens), layers="ingredients", passes=["uv", "stmap_inverse"]
    )
    assert do(production, made).rendered == 2
    (found,) = (tmp_path / "out" / ".vfxswap" / "out").glob("*.vfxtrack")
    bowed = tracks.load(found)
    # The straight picture's landmarks, seen through the lens.
    for i in range(2):
        write_frame(tmp_path / "straight" / f"p.{1001 + i}.exr", cornered(i))
    (plain,) = pipeline.job_plates(job(production, str(tmp_path / "straight"), tmp_path))
    straight = pipeline.track_plate(plain, sink=Told(), cancel=CancelToken())
    points = straight.face(0)[1001].landmarks[:, :2] / SIZE * 2 - 1
    wanted = (points * (1 - K * (points**2).sum(axis=1, keepdims=True)) + 1) / 2 * SIZE
    error = np.linalg.norm(bowed.face(0)[1001].landmarks[:, :2] - wanted, axis=1)
    assert np.median(error) < 0.5
    assert np.median(np.linalg.norm(wanted - straight.face(0)[1001].landmarks[:, :2], axis=1)) > 1.0
    # stmap and its inverse undo each other: crop pixel -> plate -> crop.
    channels, _ = exr.read_channels(tmp_path / "out" / "out.1001.exr")
    inverse, _ = exr.read_channels(tmp_path / "out" / "out_stmap_inverse.1001.exr")
    size = inverse["R"].shape[0]
    for row, column in ((size // 2, size // 2), (size // 3, size // 2), (size // 2, 2 * size // 3)):
        x, y = inverse["R"][row, column] * SIZE - 0.5, (1 - inverse["G"][row, column]) * SIZE - 0.5
        u = bilinear(channels["stmap.u"], x, y) * size
        v = (1 - bilinear(channels["stmap.v"], x, y)) * size
        np.testing.assert_allclose([u, v], [column + 0.5, row + 0.5], atol=0.05)


def bilinear(plane: Any, x: float, y: float) -> float:
    """`plane` at a position that counts from pixel centres."""
    i, j = int(np.floor(x)), int(np.floor(y))
    a, b = x - i, y - j
    top, bottom = plane[j, i] * (1 - a) + plane[j, i + 1] * a, plane[j + 1, i] * (1 - a) + plane[j + 1, i + 1] * a
    return float(top * (1 - b) + bottom * b)


def test_a_track_belongs_to_its_lens(production: Studio, bent: tuple[str, Path], tmp_path: Path):
    plate, lens = bent
    (opened,) = pipeline.job_plates(job(production, plate, tmp_path, lens=str(lens)))
    pipeline.track_plate(opened, sink=Told(), cancel=CancelToken()).save(tmp_path / "t.vfxtrack")
    with pytest.raises(TrackError, match="another lens"):
        do(production, job(production, plate, tmp_path / "out", track=tmp_path / "t.vfxtrack"))
    made = job(production, plate, tmp_path / "out", track=tmp_path / "t.vfxtrack", lens=str(lens))
    assert do(production, made).rendered == 2


# ------------------------------------------------------------------------------------------------- passes


def test_the_uv_pass_lies_on_the_face(production: Studio, face_plate: str, tmp_path: Path):
    made = job(production, face_plate, tmp_path, passes=["uv"], layers="ingredients")
    do(production, made)
    uv, attributes = exr.read_channels(tmp_path / "out_uv.1002.exr")
    assert {array.dtype for array in uv.values()} == {np.dtype(np.float32)}
    assert attributes["vfxswap:altered"] == "1"
    info = exr.probe(tmp_path / "out_uv.1002.exr").parts[0]
    assert (info.display_window.width, info.display_window.height) == (256, 256)
    shown = uv["A"] > 0
    assert shown.mean() > 0.3
    rows, columns = np.nonzero(shown)
    # u grows to the picture's right for a face that looks at the camera, v upwards.
    assert np.corrcoef(columns, uv["R"][shown])[0, 1] > 0.9
    assert np.corrcoef(rows, uv["G"][shown])[0, 1] < -0.9
    before = digests(tmp_path)
    assert do(production, made).skipped == 4
    (tmp_path / "out_uv.1002.exr").unlink()
    assert do(production, made).rendered == 1
    assert digests(tmp_path) == before


def test_eyes_and_mouth_have_mattes(production: Studio, face_plate: str, tmp_path: Path):
    do(production, job(production, face_plate, tmp_path, layers="ingredients"))
    channels, _ = exr.read_channels(tmp_path / "out.1001.exr")
    (found,) = (tmp_path / ".vfxswap" / "out").glob("*.vfxtrack")
    points = tracks.load(found).face(0)[1001].landmarks
    for name, point in (("eyes", points[468]), ("eyes", points[473]), ("mouth", points[13])):
        x, y = (int(value) for value in point[:2])
        assert channels[f"matte.{name}"][y, x] > 0.9
    assert 0 < (channels["matte.eyes"] > 0).sum() < (channels["matte.face"] > 0).sum() / 5
    assert (channels["matte.person"][channels["matte.face"] == 1] > 0.5).mean() > 0.95


# -------------------------------------------------------------------------------------------------- mattes


def test_holdout_and_garbage_mattes_limit_the_face_by_cause(production: Studio, face_plate: str, tmp_path: Path):
    left, low = np.zeros((256, 256, 3), np.float32), np.zeros((256, 256, 3), np.float32)
    left[:, :120], low[130:] = 1.0, 1.0
    write_frame(tmp_path / "left.exr", left)
    write_frame(tmp_path / "low.exr", low)
    mattes = [f"{tmp_path / 'left.exr'}:G", f"{tmp_path / 'low.exr'}:R,holdout"]
    do(production, job(production, face_plate, tmp_path / "out", matte=mattes, layers="ingredients"))
    channels, _ = exr.read_channels(tmp_path / "out" / "out.1001.exr")
    before, _ = exr.read_channels(Path(face_plate.replace("####", "1001")))
    shown = channels["face.A"] > 0
    assert shown[:130, :120].sum() > 500
    assert not shown[:, 120:].any()
    assert not shown[130:].any()
    for letter in "RGB":
        np.testing.assert_array_equal(bits(channels[letter][~shown]), bits(before[letter][~shown]))
    covered = channels["matte.model"] > 0.5
    np.testing.assert_array_equal(channels["matte.artist"][covered], left[..., 0][covered])
    np.testing.assert_array_equal(channels["matte.occlusion"][covered], low[..., 0][covered])


def test_a_changed_matte_makes_its_frames_stale(production: Studio, face_plate: str, tmp_path: Path):
    for frame in range(1001, 1005):
        write_frame(tmp_path / f"m.{frame}.exr", np.ones((256, 256, 3), np.float32))
    made = job(production, face_plate, tmp_path / "out", matte=f"{tmp_path}/m.####.exr:R")
    do(production, made)
    write_frame(tmp_path / "m.1003.exr", np.zeros((256, 256, 3), np.float32))
    report = do(production, made)
    assert (report.rendered, report.skipped) == (1, 3)
    (tmp_path / "m.1002.exr").unlink()
    report = do(production, made)
    assert [error.frame for error in report.failed] == [1002]


# --------------------------------------------------------------------------------------------------- shape


def test_an_anamorphic_plate_gives_the_squeezed_swap(production: Studio, tmp_path: Path):
    """Squeezed 2:1, tracked and swapped with square pixels: the same face as in the plate that is not squeezed."""
    wide = picture()
    narrow = wide.reshape(SIZE, SIZE // 2, 2, 3).mean(axis=2)
    write_frame(tmp_path / "wide" / "p.1001.exr", wide)
    (tmp_path / "narrow").mkdir()
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, "pixelAspectRatio": 2.0}
    OpenEXR.File(header, halves(narrow)).write(str(tmp_path / "narrow" / "p.1001.exr"))
    found = {}
    for name in ("wide", "narrow"):
        do(production, job(production, str(tmp_path / name), tmp_path / f"o_{name}", layers="ingredients"))
        found[name], attributes = exr.read_channels(tmp_path / f"o_{name}" / "out.1001.exr")
    assert attributes["PixelAspectRatio"] == 2.0
    wide_alpha = found["wide"]["face.A"].astype(np.float32).reshape(SIZE, SIZE // 2, 2).mean(axis=2)
    narrow_alpha = found["narrow"]["face.A"].astype(np.float32)
    assert narrow_alpha.sum() == pytest.approx(wide_alpha.sum(), rel=0.03)
    assert np.abs(wide_alpha - narrow_alpha).mean() < 0.02


def test_overscan_and_negative_origins_swap_the_same_face(production: Studio, tmp_path: Path):
    rgb = astronaut(256)
    inner = rgb[30:250, 20:240]
    write_frame(tmp_path / "plain" / "p.1001.exr", inner)
    write_frame(
        tmp_path / "over" / "p.1001.exr",
        rgb,
        data_window=Window(-120, 70, 256, 256),
        display_window=Window(-100, 100, 220, 220),
    )
    for name in ("plain", "over"):
        do(production, job(production, str(tmp_path / name), tmp_path / f"o_{name}"))
    plain, over = (exr.read(tmp_path / f"o_{name}" / "out.1001.exr") for name in ("plain", "over"))
    assert (over.data_window, over.display_window) == (Window(-120, 70, 256, 256), Window(-100, 100, 220, 220))
    np.testing.assert_array_equal(bits(plain.rgb), bits(over.rgb[30:250, 20:240]))
