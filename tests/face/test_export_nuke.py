"""Nuke nodes: what is written is read back as the same plate pixels, and an artist's changes become keys."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from vfxswap import align, geometry
from vfxswap.errors import TrackError
from vfxswap.face import mesh
from vfxswap.face.export import FORMATS, View, edits, from_nk, nk, nuke
from vfxswap.face.frame import FaceFrame
from vfxswap.face.keys import Key
from vfxswap.face.pose import face_similarity
from vfxswap.face.track import Face, Track
from vfxswap.geometry import Window, transform

from ..support import face

WIDTH, HEIGHT = 1920, 1080
# A gap in the frames and one in the face: both have to survive.
FRAMES = (*range(1001, 1007), *range(1011, 1016))
WITHOUT = (1004, 1005)
SHIFT = np.array([7.0, 0.0, 0.0])


def solved(x: float, y: float, size: float, turn: float = 0.0, *, squeeze: float = 1.0) -> FaceFrame:
    plain = face(x, y, size, squeeze=squeeze)
    points = plain.landmarks.copy()
    points[:, :2] += np.sin(np.arange(mesh.COUNT * 2).reshape(-1, 2)) * size * 0.01
    cos, sin = np.cos(turn), np.sin(turn)
    points[:, :2] = ((points[:, :2] - [x, y]) * [squeeze, 1]) @ np.array([[cos, sin], [-sin, cos]]) / [squeeze, 1]
    points[:, :2] += [x, y]
    matrix = face_similarity(points, pixel_aspect=squeeze)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return dataclasses.replace(plain, landmarks=points, similarity=matrix, box=np.concatenate([low, high]))


def make(squeeze: float = 1.0, **fields) -> Track:
    frames = {}
    for i, frame in enumerate(FRAMES):
        one = solved(700.123 + 4.37 * i, 500.456 - 2.11 * i, 300 + i, 0.01 * i, squeeze=squeeze)
        frames[frame] = () if frame in WITHOUT else ((3, one),)
    return Track(
        plate="sh010.%04d.exr",
        frames=frames,
        faces=(Face(3, "Anna B", np.zeros(128)),),
        pixel_aspect=squeeze,
        size=(WIDTH, HEIGHT),
        **fields,
    )


def view(track: Track, **fields) -> View:
    return View(track, 3, track.face(3), (WIDTH, HEIGHT), **fields)


@pytest.fixture(params=[1.0, 2.0], ids=["square", "anamorphic"])
def track(request) -> Track:
    return make(request.param)


def node(text: str, kind: str) -> nk.Node:
    (found,) = [one for one in nk.parse(text) if one.kind == kind]
    return found


def at(word: nk.Word, frame: int) -> float:
    found = nk.number_or_curve(word)
    return found if isinstance(found, float) else found[frame]


def down(x: float, y: float) -> np.ndarray:
    return np.array([x, HEIGHT - y])


def test_the_convention():
    """The centre of the top-left pixel, and the plate's bottom-left corner, which is Nuke's origin."""
    one = view(make())
    points = np.array([[0.5, 0.5], [0.0, HEIGHT], [WIDTH - 0.5, HEIGHT - 0.5]])
    assert one.up(points).tolist() == [[0.5, HEIGHT - 0.5], [0.0, 0.0], [WIDTH - 0.5, 0.5]]
    assert np.array_equal(one.up(one.up(points)), points)
    # The same as in our STMaps, which Nuke reads as 0..1 of the format.
    uv = align.stmap(matrix=np.eye(3)[:2], window=Window(0, 0, 8, 8), size=8)
    assert (uv[0, 0] * 8).tolist() == [0.5, 7.5]
    assert np.allclose(uv[0, 0] * 8, View(one.track, 3, {}, (8, 8)).up(np.array([[0.5, 0.5]]))[0])


# ------------------------------------------------------------------------------------------------ tracker


def rows(one: nk.Node) -> list[list[nk.Word]]:
    return [nk.words(row.text) for row in nk.words(nk.words(one.text("tracks"))[2].text)]


def test_a_tracker_reads_back_to_the_same_pixels(track):
    found = node(nuke.tracker(view(track)), "Tracker4")
    head, columns, _ = nk.words(found.text("tracks"))
    names = [nk.words(column.text)[3].text for column in nk.words(columns.text)]
    assert len(names) == 31
    assert nk.words(head.text) == [nk.Word("1"), nk.Word("31"), nk.Word(str(len(nuke.POINTS)))]
    assert {len(row) for row in rows(found)} == {31}
    assert [row[1].text for row in rows(found)] == list(nuke.POINTS)
    where = {name: names.index(name) for name in ("track_x", "track_y", "error", "enable")}
    for row, index in zip(rows(found), nuke.POINTS.values(), strict=True):
        for frame, one in track.face(3).items():
            xy = down(at(row[where["track_x"]], frame), at(row[where["track_y"]], frame))
            assert np.allclose(xy, one.landmarks[index, :2], atol=1e-3)
            assert at(row[where["error"]], frame) == pytest.approx(1 - one.confidence, abs=1e-4)
        enabled = nk.number_or_curve(row[where["enable"]])
        assert enabled == {1001: 1, 1004: 0, 1006: 1}
        keyed = nk.number_or_curve(row[where["track_x"]])
        assert isinstance(keyed, dict)
        assert set(keyed) == set(track.face(3))
    assert found.text("reference_frame") == "1001"
    assert found.text("name") == "vfxswap_Anna_B_tracker"


# --------------------------------------------------------------------------------------------- corner pin


def pin(text: str, kind: str) -> nk.Node:
    (found,) = [one for one in nk.parse(text) if one.text("name").endswith(kind)]
    assert found.kind == "CornerPin2D"
    return found


def quad(one: nk.Node, side: str, frame: int) -> np.ndarray:
    pairs = [nk.words(one.text(f"{side}{i}")) for i in range(1, 5)]
    return np.array([down(at(x, frame), at(y, frame)) for x, y in pairs])


def test_corner_pins_read_back_to_the_crop_in_the_plate(track):
    text = nuke.corner_pin(view(track, reference=1006))
    stick, hold = pin(text, "matchmove"), pin(text, "stabilize")
    side = 256
    # Bottom left, bottom right, top right, top left of the picture.
    ends = np.array([[0, side], [side, side], [side, 0], [0, 0]], np.float64)
    for frame, one in track.face(3).items():
        crop = align.crop_matrix(one.similarity, size=side)
        reference = align.crop_matrix(track.face(3)[1006].similarity, size=side)
        assert np.allclose(transform(crop, quad(stick, "to", frame)), ends, atol=1e-3)
        assert np.allclose(quad(stick, "to", frame), quad(hold, "from", frame))
        for still in (quad(stick, "from", frame), quad(hold, "to", frame)):
            assert np.allclose(transform(reference, still), ends, atol=1e-3)
    assert "reference frame 1006" in hold.text("label")
    first = quad(stick, "to", 1001)
    assert first[0, 1] > first[3, 1], "corner 1 is at the bottom"
    assert first[1, 0] > first[0, 0], "corner 2 is to its right"


def test_a_reference_frame_without_the_face_is_refused():
    with pytest.raises(TrackError, match="reference frame 1004"):
        nuke.corner_pin(view(make(), reference=1004))


def test_with_a_lens_the_pin_goes_through_the_plate_as_shot():
    """The landmarks are the plate's, the similarity is the straight picture's."""
    bent = make(metadata={"lens": "hash"})
    moved = {
        frame: tuple((key, dataclasses.replace(one, landmarks=one.landmarks + SHIFT)) for key, one in pairs)
        for frame, pairs in bent.frames.items()
    }
    bent = dataclasses.replace(bent, frames=moved)
    plain = quad(pin(nuke.corner_pin(view(make())), "matchmove"), "to", 1002)
    assert np.allclose(quad(pin(nuke.corner_pin(view(bent)), "matchmove"), "to", 1002), plain + SHIFT[:2], atol=1e-3)


# --------------------------------------------------------------------------------------------------- roto


def tree(word: str) -> list:
    """A roto tree as nested lists."""
    return [tree(one.text) if one.braced else one.text for one in nk.words(word)]


def branches(found: list, head: str) -> list[list]:
    return [one for one in found if isinstance(one, list) and one and one[0] == head]


def shapes(text: str) -> dict[str, list]:
    (root,) = tree(node(text, "Roto").text("curves"))
    (content,) = branches(root, "n")
    assert branches(root, "v") == [["v", "1.2"]]
    (layer,) = branches(content, "layer")
    assert layer[1] == "Root"
    return {one[1]: one for one in branches(layer, "curvegroup")}


def test_roto_shapes_read_back_to_the_landmarks(track):
    found = shapes(nuke.roto(view(track)))
    assert set(found) == {"face_oval", "eye_right", "eye_left", "mouth", "mouth_inner"}
    for name, indices in nuke.SHAPES.items():
        group = found[name]
        assert group[2:4] == ["512", "bezier"]
        curve, feather = group[4]
        assert feather == "idem"
        (points,) = branches(curve, "p")
        triples = points[1:]
        assert len(triples) == 3 * len(indices)
        for i, index in enumerate(indices):
            before, middle, after = triples[3 * i : 3 * i + 3]
            for frame, one in track.face(3).items():
                x, y = ({int(f): float(v) for f, v in axis}[frame] for axis in middle)
                assert np.allclose(down(x, y), one.landmarks[index, :2], atol=1e-3)
                ends = [[{int(f): float(v) for f, v in axis}[frame] for axis in end] for end in (before, after)]
                assert np.allclose(ends[0], -np.array(ends[1]), atol=1e-3), "smooth"
        (attributes,) = branches(group, "a")
        visible = attributes[attributes.index("vis") + 1]
        assert visible == [["1001", "1"], ["1004", "0"], ["1006", "1"]]


def test_roto_tangents_point_along_the_outline():
    """Walking a round shape, the tangent is the direction of the way; a third of the chord to the next but one."""
    one = view(make())
    (points,) = branches(shapes(nuke.roto(one))["face_oval"][4][0], "p")
    after = np.array([[float(axis[0][1]) for axis in end] for end in points[1:][2::3]])
    where = one.landmarks(mesh.OVAL)[0]
    chord = np.roll(where, -1, axis=0) - np.roll(where, 1, axis=0)
    assert np.allclose(after, chord / 6, atol=1e-3)


# ------------------------------------------------------------------------------------------- reading back


def changed(text: str, kind: str, knob: str, frame: int, by: float) -> str:
    """The script with one curve's value changed at a frame, as an artist's drag does."""
    start = text.index(kind)
    start = text.index(knob, start)
    where = re.compile(r"\{curve [^}]*\}").search(text, start)
    assert where is not None
    keys = nk.number_or_curve(nk.Word(where[0].strip("{}")))
    assert isinstance(keys, dict)
    keys[float(frame)] += by
    # As Nuke writes them: single precision, slopes here and there.
    body = " ".join(f"x{f:g} {np.float32(v):.10g}" + (" s0.5" if f == frame else "") for f, v in keys.items())
    return text[: where.start()] + "{curve " + body + "}" + text[where.end() :]


def test_an_untouched_script_says_nothing(track):
    for text in (nuke.tracker(view(track)), nuke.corner_pin(view(track))):
        assert from_nk(text, track).keys == {}
        # Nor does it after the plate was tracked anew: it knows what it was written with.
        again = dataclasses.replace(track, frames={**track.frames, 1002: ((3, solved(100, 100, 50)),)})
        assert from_nk(text, again).keys == {}


def test_a_dragged_point_becomes_a_key_in_its_frame(track):
    text = changed(nuke.tracker(view(track)), "Tracker4", '"nose_tip"', 1006, 5.0)
    found = from_nk(text, track, reach=4)
    assert (found.face, list(found.keys), found.notes) == (3, [1006], ())
    key = found.keys[1006]
    assert key.reach == 4
    assert key.landmarks is not None
    assert set(key.landmarks) == set(nuke.POINTS.values())
    before = track.face(3)[1006].landmarks
    for index, where in key.landmarks.items():
        expected = before[index, :2] + ([5.0, 0.0] if index == nuke.POINTS["nose_tip"] else [0, 0])
        assert np.allclose(where, expected, atol=1e-3)
    fixed = track.with_keys(3, found.keys).face(3)
    assert np.allclose(fixed[1006].landmarks[4, 0], before[4, 0] + 5, atol=1e-3)
    assert fixed[1015] is track.face(3)[1015]


def test_a_disabled_point_and_deleted_keys_are_left_out(track):
    text = changed(nuke.tracker(view(track)), "Tracker4", '"chin"', 1003, -3.0)
    row = text.index('"mouth_left"')
    start = text.rindex("{curve K", 0, row)
    text = text[:start] + "{curve K x1001 1 x1003 0 x1006 1}" + text[text.index("}", start) + 1 :]
    key = from_nk(text, track).keys[1003]
    assert key.landmarks is not None
    assert nuke.POINTS["mouth_left"] not in key.landmarks
    assert nuke.POINTS["mouth_right"] in key.landmarks


@pytest.mark.parametrize(("kind", "side"), [("matchmove", "to"), ("stabilize", "from")])
def test_a_dragged_corner_pin_becomes_a_similarity(track, kind, side):
    text = nuke.corner_pin(view(track))
    start = text.index(f'label "{kind}')
    begin = text.rindex("CornerPin2D", 0, start)
    head, body = text[:begin], text[begin:]
    for corner in range(1, 5):
        body = changed(body, "CornerPin2D", f" {side}{corner} ", 1012, 6.0)  # each corner's x
    found = from_nk(head + body, track)
    assert (list(found.keys), found.notes) == ([1012], ())
    key = found.keys[1012]
    assert key.similarity is not None
    old = track.face(3)[1012].similarity
    back = [geometry.invert(matrix)[:, 2] for matrix in (key.similarity, old)]
    assert np.allclose(back[0] - back[1], [6.0, 0.0], atol=2e-3)
    assert np.allclose(key.similarity[:, :2], old[:, :2], atol=1e-6)


def test_corners_that_are_no_square_are_said(track):
    text = changed(nuke.corner_pin(view(track)), "CornerPin2D", " to1 ", 1002, 20.0)
    found = from_nk(text, track)
    (note,) = found.notes
    assert "frame 1002" in note
    assert "no square" in note
    assert list(found.keys) == [1002]


def test_with_a_lens_a_pin_changes_the_straight_similarity():
    bent = make(metadata={"lens": "hash"})
    moved = {
        frame: tuple((key, dataclasses.replace(one, landmarks=one.landmarks + SHIFT)) for key, one in pairs)
        for frame, pairs in bent.frames.items()
    }
    bent = dataclasses.replace(bent, frames=moved)
    text = nuke.corner_pin(view(bent))
    for corner in range(1, 5):
        text = changed(text, "CornerPin2D", f" to{corner} ", 1002, 6.0)
    fixed = bent.with_keys(3, from_nk(text, bent).keys).face(3)[1002]
    was = bent.face(3)[1002]
    assert np.allclose(fixed.landmarks[:, :2] - was.landmarks[:, :2], [6.0, 0.0], atol=2e-3)
    back = [geometry.invert(one.similarity)[:, 2] for one in (fixed, was)]
    assert np.allclose(back[0] - back[1], [6.0, 0.0], atol=2e-3)


def test_scripts_that_cannot_be_taken_are_refused():
    track = make()
    text = nuke.tracker(view(track))
    with pytest.raises(TrackError, match="no Tracker4"):
        from_nk("Blur {\n size 3\n}\n", track)
    stranger = re.sub(rf" {nuke.RECORD} \S+\n", "", text)
    with pytest.raises(TrackError, match="none of the script's nodes was exported"):
        from_nk(stranger, track)
    with pytest.raises(TrackError, match="brace"):
        from_nk(text[: len(text) // 2], track)
    with pytest.raises(TrackError, match="no face 3"):
        from_nk(text, dataclasses.replace(track, faces=(Face(0, None, np.zeros(128)),)))
    expression = re.sub(r'("chin" )\{curve [^}]*\}', r"\1{parent.Blur1.size}", text)
    with pytest.raises(TrackError, match="bake"):
        from_nk(expression, track)
    other = text.replace("{ 1 31 10 }", "{ 1 31 10 } {}")
    with pytest.raises(TrackError, match="three parts"):
        from_nk(other, track)


def test_a_key_of_another_face_says_whose_it_is():
    track = make()
    track = dataclasses.replace(track, faces=(*track.faces, Face(5, None, np.zeros(128))))
    text = changed(nuke.tracker(view(track)), "Tracker4", '"chin"', 1003, -3.0)
    assert from_nk(text, track).face == 3
    assert from_nk(text, track, face=5).face == 5


def test_exports_show_the_artists_keys():
    track = make()
    moved = track.with_keys(3, {1002: Key(landmarks={4: (900.0, 444.25)}, reach=0)})
    found = node(nuke.tracker(view(moved)), "Tracker4")
    row = rows(found)[list(nuke.POINTS).index("nose_tip")]
    assert np.allclose(down(at(row[2], 1002), at(row[3], 1002)), [900.0, 444.25])


def test_every_format_is_written(tmp_path):
    small = dataclasses.replace(view(make()), crop=16, size=(64, 48))
    for name, write in FORMATS.items():
        if name == "usd":
            continue
        paths = write(small, tmp_path / name / "a.%04d.x")
        assert paths
        assert all(path.stat().st_size > 0 for path in paths)


def test_moved_is_more_than_what_scripts_round():
    assert edits.MOVED > 8192 * 2**-24 * 4
