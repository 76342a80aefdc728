"""The coverage report: what a face does, how far apart two are, and what is said of the gaps."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vfxswap import coverage, faceset
from vfxswap.coverage import Examples, Look, Sample, Side, metric, samples, svg, words
from vfxswap.errors import FrameError, TrackError
from vfxswap.face import mesh, shot
from vfxswap.face import track as tracks
from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.face.pose import head_pose
from vfxswap.pixels import F64, ModelRgb
from vfxswap.plate import open_plate
from vfxswap.sequence import FrameRange

from . import support

COMMAND = str(Path(sys.executable).parent / "vfxswap")


def expression(**values: float) -> F64:
    found = np.zeros(52)
    for name, value in values.items():
        found[BLENDSHAPES.index(name)] = value
    return found


def a_look(
    yaw: float = 0.0,
    pitch: float = 0.0,
    *,
    gaze: tuple[float, float] = (0.0, 0.0),
    known: bool = True,
    **values: float,
) -> Look:
    return Look((pitch, yaw, 0.0), expression(**values), gaze, known)


def sample(look: Look, frame: int = 1001, *, plate: str = "plate.%04d.exr", name: str = "") -> Sample:
    return Sample(name or f"{plate} {frame}", plate, frame, None, look, 0.5, 1.2, 200.0, 0.9)


def ramp(_sample: Sample) -> ModelRgb:
    """Dark on the left, bright on the right."""
    return ModelRgb(np.tile(np.linspace(0, 1, 160, dtype=np.float32)[None, :, None], (160, 1, 3)))


def side(*looks: Look, performer: str = "P-1", first: int = 1001) -> Side:
    made = tuple(sample(look, first + i) for i, look in enumerate(looks))
    return Side(performer, "somewhere", made, {}, (), ramp)


# -------------------------------------------------------------------------------------------------- gaze


def turned(points: F64, *, pitch: float, yaw: float, roll: float) -> F64:
    p, y, r = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(points @ (about_z @ about_y @ about_x).T, np.float64)


def head(*, right: float = 0.0, up: float = 0.0, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> F64:
    """Landmarks of the canonical head with eyes that are balls, which look `right` and `up` out of the head."""
    vertices = mesh.canonical().vertices
    points = np.zeros((mesh.COUNT, 3))
    points[: mesh.MESH_COUNT] = vertices
    a, b = np.radians([right, up])
    out = np.array([np.sin(a), np.sin(b), np.sqrt(max(0.0, 1 - np.sin(a) ** 2 - np.sin(b) ** 2))])
    for iris, outer, inner in ((468, 33, 133), (473, 263, 362)):
        width = np.linalg.norm(vertices[outer, :2] - vertices[inner, :2])
        middle = (vertices[outer] + vertices[inner]) / 2 + [0, 0.066 * width, 0]
        # A radius of 12 mm for 30 mm of eye; the corners lie in front of the ball's middle by a little over half of it.
        points[iris : iris + 5] = middle + width * (0.4 * out - [0, 0, 0.22])
    seen = turned(points, pitch=pitch, yaw=yaw, roll=roll) * [20, -20, -20]
    return np.asarray(np.add(seen, [300, 300, 0]), np.float64)


@pytest.mark.parametrize(("right", "up"), [(0, 0), (20, 0), (-20, 0), (0, 12), (10, -12)])
@pytest.mark.parametrize(("pitch", "yaw", "roll"), [(0, 0, 0), (0, 25, 0), (0, -25, 20), (12, 0, -30)])
def test_gaze_is_where_eyeballs_look_however_the_head_is_turned(
    right: float, up: float, pitch: float, yaw: float, roll: float
) -> None:
    points = head(right=right, up=up, pitch=pitch, yaw=yaw, roll=roll)
    found = coverage.gaze(points, head_pose(points))
    assert found[0] == pytest.approx(right, abs=6)
    assert found[1] == pytest.approx(up, abs=5)


def test_gaze_of_closed_eyes_and_of_far_turned_heads_is_not_known() -> None:
    assert coverage.look(head(), expression()).gaze_known
    assert not coverage.look(head(), expression(eyeBlinkLeft=0.8)).gaze_known
    assert not coverage.look(head(yaw=60), expression()).gaze_known


def test_a_mirror_exchanges_sides_and_twice_it_is_the_same() -> None:
    seen = a_look(20, 5, gaze=(7, 3), mouthSmileLeft=0.6, jawOpen=0.2)
    flipped = seen.mirrored()
    assert flipped.pose_deg == (5, -20, 0)
    assert flipped.gaze_deg == (-7, 3)
    assert flipped.expression[BLENDSHAPES.index("mouthSmileRight")] == 0.6
    assert flipped.expression[BLENDSHAPES.index("mouthSmileLeft")] == 0
    assert flipped.expression[BLENDSHAPES.index("jawOpen")] == 0.2
    np.testing.assert_array_equal(flipped.mirrored().expression, seen.expression)


# ------------------------------------------------------------------------------------------------ metric


def test_degrees_of_turn_are_degrees() -> None:
    parts = metric.part_distances([a_look(30, 0)], [a_look(0, 0), a_look(27, 4)])
    np.testing.assert_allclose(parts["turn"], [[30, 5]])
    np.testing.assert_allclose(metric.together(parts), [[30, 5]])


def test_an_open_mouth_counts_more_than_a_smile_and_parts_add_as_squares() -> None:
    rest = [a_look()]
    opened = metric.part_distances([a_look(jawOpen=1)], rest)["mouth"][0, 0]
    smiling = metric.part_distances([a_look(mouthSmileLeft=1)], rest)["mouth"][0, 0]
    assert opened > 1.5 * smiling > 0
    whole = metric.together(metric.part_distances([a_look(6, jawOpen=0.4)], rest))[0, 0]
    assert whole == pytest.approx(np.hypot(6, 0.4 * opened))


def test_every_expression_coefficient_belongs_to_one_group_at_most() -> None:
    indices = np.concatenate([group.indices for group in metric.GROUPS])
    assert len(set(indices.tolist())) == len(indices)
    named = {BLENDSHAPES[i] for i in indices}
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUp"} <= named
    assert not any(name.startswith(("eyeLook", "_")) for name in named)


def test_gaze_counts_only_where_both_are_known() -> None:
    far = a_look(gaze=(20, 0))
    assert metric.part_distances([far], [a_look()])["gaze"][0, 0] == pytest.approx(20 * metric.GAZE_DEG)
    assert metric.part_distances([far], [a_look(known=False)])["gaze"][0, 0] == 0


def test_mirrored_examples_can_be_left_out() -> None:
    looks = [a_look(30)]
    assert Examples.of(looks).distances([a_look(-30)])["turn"].min() == 0
    assert Examples.of(looks, mirror=False).distances([a_look(-30)])["turn"].min() == 60


# ------------------------------------------------------------------------------------------------- words


def test_words_name_directions_as_the_camera_sees_them() -> None:
    assert words.turned(a_look(-35, 12)) == "turned 35 degrees camera left, 12 down"
    assert words.turned(a_look(0, -20)) == "turned 20 degrees up"
    assert words.turned(a_look(2, 3)) == "facing the camera"
    assert words.looking(a_look(gaze=(18, 0))) == "eyes 18 degrees camera right"
    assert words.looking(a_look(gaze=(18, 0), known=False)) == ""


def test_every_coefficient_has_words() -> None:
    judged = np.concatenate([group.indices for group in metric.GROUPS])
    bare = [BLENDSHAPES[i] for i in judged if words.coefficient(BLENDSHAPES[i]) == BLENDSHAPES[i]]
    assert bare == []


def test_what_is_missing_is_said() -> None:
    likeness = side(a_look(0), a_look(10, jawOpen=0.1), a_look(17, 8))
    far = coverage.compare(likeness, side(a_look(-35, 20))).needs[0]
    assert far.missing == ("turned 35 degrees camera left, 20 down: nearest example 22 degrees away",)
    opened = coverage.compare(likeness, side(a_look(5, jawOpen=0.8))).needs[0]
    assert opened.missing == ("mouth wide open (0.80): no example (0.10)",)
    shut = coverage.compare(side(a_look(jawOpen=0.9)), side(a_look())).needs[0]
    assert shut.missing == ("without mouth open (0.00): the nearest example has 0.90",)


def test_parts_that_never_meet_are_a_gap_too() -> None:
    likeness = side(a_look(0, jawOpen=0.8), a_look(30))
    need = coverage.compare(likeness, side(a_look(30, jawOpen=0.8))).needs[0]
    assert max(need.alone.values()) == 0
    assert need.missing == ("each part has examples, but not this mouth with this turn of the head",)


# ------------------------------------------------------------------------------------------------ report


def test_frames_are_ranked_and_near_ones_have_nothing_missing() -> None:
    found = coverage.compare(side(a_look(0), a_look(10)), side(a_look(0), a_look(40), a_look(25), a_look(11)))
    assert [need.sample.frame for need in found.needs] == [1002, 1003, 1004, 1001]
    assert [need.degrees for need in found.needs] == pytest.approx([30, 15, 1, 0])
    assert [need.sample.frame for need in found.gaps] == [1002, 1003]
    assert found.covered == 0.5
    assert all(bool(need.missing) == (need.degrees > found.near) for need in found.needs)


def test_a_crop_and_its_mirror_image_are_one_example() -> None:
    likeness = side(a_look(2), a_look(-30), a_look(6))
    matches = coverage.compare(likeness, side(a_look(4))).needs[0].nearest
    assert [match.sample.frame for match in matches] == [1001, 1003, 1002]
    assert [match.mirrored for match in matches] == [False, False, True]


def test_gaps_that_follow_each_other_are_told_once_unless_they_differ() -> None:
    likeness = side(a_look(0))
    same = coverage.compare(likeness, side(*(a_look(40 + i) for i in range(5)))).runs
    assert [(run.first, run.last, run.count, run.worst.sample.frame) for run in same] == [(1001, 1005, 5, 1005)]
    assert same[0].span == "1005, of 1001-1005"
    other = coverage.compare(likeness, side(a_look(40), a_look(-40), a_look(40))).runs
    assert [run.count for run in other] == [1, 1, 1]


def test_json_holds_every_frame_and_no_nan(tmp_path: Path) -> None:
    unlit = replace(sample(a_look(40)), stops=float("nan"), height=float("nan"))
    double = replace(side(), samples=(unlit,), left_out={"7": "track confidence 0.10"})
    found = coverage.compare(side(a_look(0)), double)
    coverage.write_json(found, tmp_path / "r.json")
    data = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert data["schema"] == "vfxswap.coverage/1"
    assert data["double"]["left_out"] == {"7": "track confidence 0.10"}
    assert data["double"]["samples"][0]["skin_stops"] is None
    assert data["frames"][0]["distance_deg"] == 40
    assert data["frames"][0]["parts_deg"]["turn"] == 40
    assert len(data["double"]["samples"][0]["blendshapes"]) == len(data["blendshapes"]) == 52


# -------------------------------------------------------------------------------------------------- page


class Page(HTMLParser):
    """Tags that are open, everything that a browser would fetch, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.images: list[bytes] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.stack.append(tag)
        for key, value in attrs:
            if key in ("src", "href", "data", "srcset"):
                kind, _, data = str(value).partition("base64,")
                if kind.startswith("data:image/"):
                    self.images.append(base64.b64decode(data))
                else:
                    self.fetched.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data


def decoded(data: bytes) -> F64:
    """A picture's grey values."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.float64)


@pytest.fixture(scope="module")
def page_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    likeness = side(a_look(0), a_look(30), performer="<b>P-1</b>")
    double = side(a_look(1), a_look(-80), a_look(80), a_look(5, jawOpen=1.0), performer="P-2")
    path = tmp_path_factory.mktemp("page") / "r.html"
    coverage.write_html(coverage.compare(likeness, double), path)
    return path.read_text(encoding="utf-8")


def test_the_page_is_whole_and_fetches_nothing(page_text: str) -> None:
    page = Page(page_text)
    assert page.stack == []
    assert page.wrong == []
    assert page.fetched == []
    assert "url(" not in page_text
    assert "@import" not in page_text
    assert "script" not in page.tags
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page_text)


def test_the_page_says_what_is_missing_and_escapes_names(page_text: str) -> None:
    page = Page(page_text)
    assert "Coverage: <b>P-1</b> for P-2" in page.words
    assert "b" not in page.tags
    assert "1 of 4 frames of the double (25%)" in page.words
    assert "turned 80 degrees camera left: nearest example 50 degrees away" in page.words
    assert "mouth wide open (1.00): no example (0.00)" in page.words
    assert page.tags.count("img") == 3 * (1 + 2)  # each gap: the double and both examples


def test_mirrored_examples_are_shown_mirrored(page_text: str) -> None:
    def slope(data: bytes) -> float:
        picture = decoded(data)
        return float(picture[:, -20:].mean() - picture[:, :20].mean())

    slopes = [slope(data) > 0 for data in Page(page_text).images]
    assert page_text.count(", mirrored</td>") == slopes.count(False) == 1


def test_a_full_page_lists_no_gap(tmp_path: Path) -> None:
    coverage.write_html(coverage.compare(side(a_look(0)), side(a_look(3))), tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text())
    assert "img" not in page.tags
    assert "None." in page.words


def test_a_frame_that_is_gone_leaves_a_grey_picture(tmp_path: Path) -> None:
    def gone(found: Sample) -> ModelRgb:
        raise FrameError("file not found", frame=found.frame)

    found = coverage.compare(side(a_look(0)), replace(side(a_look(40)), picture=gone))
    coverage.write_html(found, tmp_path / "r.html")
    grey = decoded(Page((tmp_path / "r.html").read_text()).images[0])
    assert abs(float(np.median(grey)) - 128) <= 2


def test_histograms_count_shares_and_leave_nan_out() -> None:
    plot = svg.histograms([0.1, 0.1, 0.9, float("nan")], [0.6], low=0, high=1, bins=2, title="t", ticks=())
    assert "likeness 67%, double 0%" in plot
    assert "likeness 33%, double 100%" in plot


# ------------------------------------------------------------------------------------------------- sides


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, tracks.Track]:
    pattern = support.write_plate(tmp_path_factory.mktemp("coverage") / "plate", frames=3)
    return pattern, shot.track_plate(open_plate(pattern), device="cpu")


def test_a_track_gives_the_frames_of_its_face(tracked: tuple[str, tracks.Track]) -> None:
    pattern, track = tracked
    faces = track.face()
    weak = {**faces, 1002: replace(faces[1002], confidence=0.1)}
    found = coverage.of_track(open_plate(pattern), weak)
    assert [one.frame for one in found.samples] == [1001, 1003]
    assert found.left_out == {"1002": "track confidence 0.10"}
    assert found.samples[0].height == pytest.approx(
        float(np.linalg.norm(faces[1001].landmarks[10, :2] - faces[1001].landmarks[152, :2]))
    )
    assert found.samples[0].look.pose_deg == pytest.approx(faces[1001].pose_deg, abs=1)
    assert words.described(found.samples[0].look).find("smile") > 0  # the astronaut does
    picture = found.picture(found.samples[0])
    assert picture.shape == (160, 160, 3)
    assert 0.1 < float(picture[60:100, 60:100].mean()) < 0.9


def test_a_squeezed_plate_gives_the_same_face(tracked: tuple[str, tracks.Track], tmp_path: Path) -> None:
    pattern, track = tracked
    rgb = cv2.resize(support.astronaut(256), (128, 256), interpolation=cv2.INTER_AREA)
    support.write_frame(tmp_path / "squeezed.1001.exr", rgb)
    face = track.face()[1001]
    thin = replace(face, landmarks=face.landmarks * [0.5, 1, 1])
    squeezed = coverage.of_track(open_plate(str(tmp_path / "squeezed.####.exr")), {1001: thin}, pixel_aspect=2.0)
    plain = coverage.of_track(open_plate(pattern), {1001: face})
    np.testing.assert_allclose(squeezed.samples[0].look.expression, plain.samples[0].look.expression)
    assert squeezed.samples[0].height == pytest.approx(plain.samples[0].height)
    apart = np.abs(squeezed.picture(squeezed.samples[0]) - plain.picture(plain.samples[0]))
    assert float(apart[40:120, 40:120].mean()) < 0.03


def test_skin_exposure_follows_the_plate(tracked: tuple[str, tracks.Track], tmp_path: Path) -> None:
    pattern, track = tracked
    support.write_frame(tmp_path / "dark.1001.exr", support.astronaut(256) / 8)
    dark = coverage.of_track(open_plate(str(tmp_path / "dark.####.exr")), {1001: track.face()[1001]})
    plain = coverage.of_track(open_plate(pattern), {1001: track.face()[1001]})
    assert plain.samples[0].stops - dark.samples[0].stops == pytest.approx(3, abs=0.05)


def test_a_track_without_a_sure_frame_is_refused(tracked: tuple[str, tracks.Track]) -> None:
    pattern, track = tracked
    weak = {frame: replace(face, confidence=0.1) for frame, face in track.face().items()}
    with pytest.raises(TrackError, match="no frame of the track can be judged"):
        coverage.of_track(open_plate(pattern), weak)


def test_frames_of_the_double_count_though_nobody_trains_on_them() -> None:
    def crop(name: str, *kinds: Any, verdict: Any = None) -> faceset.Crop:
        reasons = tuple(faceset.Reason(kind, kind) for kind in kinds)
        return faceset.Crop(
            name, "p", 1, None, 1.0, (0, 0, 0), 1.0, "why", np.zeros((478, 3)), reasons, verdict=verdict
        )

    crops = [crop("soft", "blur"), crop("far", "extreme", "blur"), crop("other", "identity", "blur"),
             crop("again", "duplicate"), crop("no", "blur", verdict="drop")]  # fmt: skip
    assert samples._still_needed(crops) == {"soft", "far"}


# ----------------------------------------------------------------------------------------------- command


def vfxswap(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tracked: tuple[str, tracks.Track]) -> Path:
    """A faceset of ben, `ben`, and `anna.vfxtrack`."""
    root = tmp_path_factory.mktemp("report")
    studio = support.Studio.make(root / "studio")
    consents = [part for path in studio.consents for part in ("--consent", str(path))]
    done = vfxswap("faceset", "build", tracked[0], "--performer", "ben", "--output", root / "ben", "--size", "96",
                   "--device", "cpu", *consents, "--keyring", studio.keyring)  # fmt: skip
    assert done.returncode == 0, done.stderr
    tracked[1].save(root / "anna.vfxtrack")
    return root


def test_a_report_of_a_faceset_and_a_track(place: Path, tmp_path: Path) -> None:
    html, data = tmp_path / "r.html", tmp_path / "r.json"
    done = vfxswap("faceset", "report", place / "ben", place / "anna.vfxtrack", "--output", html, "--output", data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 of 3 frames have a near example\n"
    assert Page(html.read_text()).fetched == []
    found = json.loads(data.read_text())
    assert found["likeness"]["performer"] == "ben"
    assert len(found["likeness"]["consents"]) == 1
    assert [frame["distance_deg"] < 5 for frame in found["frames"]] == [True] * 3

    again = vfxswap("faceset", "report", place / "ben", place / "anna.vfxtrack", "--output", html)
    assert again.returncode == 4
    assert "give --overwrite" in again.stderr


def test_a_report_of_two_facesets_with_events(place: Path, tmp_path: Path) -> None:
    done = vfxswap("faceset", "report", place / "ben", place / "ben", "--output", tmp_path / "r.json", "--near", "1",
                   "--events", "-")  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "done"
    assert events[-1]["counts"]["without a near example"] == 0  # each frame is its own example


@pytest.mark.parametrize(
    ("double", "output", "code", "said"),
    [
        ("anna.vfxtrack", "r.pdf", 2, "ends in .html or .json"),
        ("nobody", "r.html", 4, "no faceset in"),
        ("nobody.vfxtrack", "r.html", 4, "nobody.vfxtrack"),
    ],
)
def test_wrong_reports_are_refused(place: Path, tmp_path: Path, double: str, output: str, code: int, said: str) -> None:
    done = vfxswap("faceset", "report", place / "ben", place / double, "--output", tmp_path / output)
    assert done.returncode == code
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------- rendered performers


def test_turns_without_an_example_come_first(shared: Path) -> None:
    """A likeness that was only seen from the front, and a double that turns from side to side."""
    stills = open_plate(str(shared / "data/train/ben/ben.%04d.exr"), frames=FrameRange.parse("1001-1040"))
    faces = shot.track_plate(stills, still=True, device="cpu").face()
    frontal = {frame: face for frame, face in faces.items() if abs(face.pose_deg[1]) < 15}
    plate = open_plate(str(shared / "data/shots/turn_hot_hand/plate/plate.%04d.exr"))
    asked = coverage.of_track(plate, shot.track_plate(plate, device="cpu").face())
    truth = json.loads((shared / "data/shots/turn_hot_hand/shot.json").read_text())["frames"]

    found = coverage.compare(coverage.of_track(stills, frontal), asked)
    yaw = {need.sample.frame: abs(truth[str(need.sample.frame)]["head_deg"][1]) for need in found.needs}
    worst = [need.sample.frame for need in found.needs[:5]]
    assert min(yaw[frame] for frame in worst) > 25
    assert all("turned" in need.missing[0] for need in found.needs[:5])
    ranks = np.argsort(np.argsort([need.degrees for need in found.needs]))
    turns = np.argsort(np.argsort([yaw[need.sample.frame] for need in found.needs]))
    assert float(np.corrcoef(ranks, turns)[0, 1]) > 0.8

    everything = coverage.compare(coverage.of_track(stills, faces), asked)
    assert everything.covered > found.covered
