from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vfxswap.errors import TrackError
from vfxswap.face.track import Face, FaceFrame, Key, Track, choose, describe, load


def face_frame(x: float, seed: int, **changes) -> FaceFrame:
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(size=(478, 3)) * 20 + [x, 100.0, 0.0]
    values = {
        "box": np.array([x - 50, 50.0, x + 50, 150.0]),
        "landmarks": landmarks,
        "confidence": float(rng.random()),
        "presence": float(rng.random()),
        "pose_deg": (1.0 / 3, -2.5, 1e-7),
        "similarity": rng.normal(size=(2, 3)),
        "source": "solve",
        **changes,
    }
    return FaceFrame(**values)


@pytest.fixture
def track() -> Track:
    rng = np.random.default_rng(9)
    return Track(
        plate="plates/shot.%04d.exr",
        frames={
            -1: ((0, face_frame(100, 1)), (1, face_frame(400, 2))),
            0: (),
            1: ((0, face_frame(110, 3, source="gap", reasons=("flow disagrees", "yaw 52"))),),
            7: ((1, face_frame(405, 4, source="key")), (0, face_frame(120, 5))),
        },
        faces=(Face(0, None, rng.normal(size=128)), Face(1, "Anna", rng.normal(size=128))),
        gain=1.7320508075688772,
        colorspace="ACEScg",
        config_id="ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4",
        pixel_aspect=2.0,
        metadata={"onnxruntime": "1.0"},
        cuts=(1,),
        size=(2048, 858),
        keys={
            1: {
                -1: Key(similarity=np.array([[0.01, 0.002, -1 / 3], [-0.004, 0.005, 0.1]])),
                7: Key(landmarks={4: (812.5, 1 / 3), 152: (800.0, 900.25)}, reach=None),
            }
        },
    )


def assert_same(a: Track, b: Track) -> None:
    for name in ("plate", "gain", "colorspace", "config_id", "pixel_aspect", "still", "metadata", "cuts", "size"):
        assert getattr(a, name) == getattr(b, name)
    assert list(a.frames) == list(b.frames)
    for mine, theirs in zip(a.frames.values(), b.frames.values(), strict=True):
        assert [key for key, _ in mine] == [key for key, _ in theirs]
        for (_, x), (_, y) in zip(mine, theirs, strict=True):
            for item in dataclasses.fields(FaceFrame):
                assert np.array_equal(getattr(x, item.name), getattr(y, item.name))
    for one, other in zip(a.faces, b.faces, strict=True):
        assert (one.id, one.name) == (other.id, other.name)
        assert np.array_equal(one.embedding, other.embedding)
    assert {face: list(keys) for face, keys in a.keys.items()} == {face: list(keys) for face, keys in b.keys.items()}
    for face, keys in a.keys.items():
        for frame, key in keys.items():
            again = b.keys[face][frame]
            assert (key.landmarks, key.reach) == (again.landmarks, again.reach)
            assert (key.similarity is None) == (again.similarity is None)
            if key.similarity is not None and again.similarity is not None:
                assert np.array_equal(key.similarity, again.similarity)


def test_round_trip_is_exact(track, tmp_path):
    path = tmp_path / "shot.vfxtrack"
    track.save(path)
    found = load(path)
    assert_same(track, found)
    first = path.read_bytes()
    found.save(path)
    assert path.read_bytes() == first, "the same track gives the same bytes"


def test_a_track_without_faces_survives(tmp_path):
    path = tmp_path / "empty.vfxtrack"
    empty = Track(plate="p.####.exr", frames={1: (), 2: ()}, faces=())
    empty.save(path)
    assert_same(empty, load(path))


def test_no_pickle_inside(track, tmp_path):
    path = tmp_path / "shot.vfxtrack"
    track.save(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            assert name.endswith((".json", ".npy"))
            if name.endswith(".npy"):
                np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
        assert json.loads(archive.read("manifest.json"))["schema"] == "vfxswap.track/2"


def test_damage_is_told_with_the_path(track, tmp_path):
    path = tmp_path / "shot.vfxtrack"
    track.save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(TrackError, match="damaged") as caught:
        load(path)
    assert caught.value.path == path
    with pytest.raises(TrackError, match="no such file"):
        load(tmp_path / "absent.vfxtrack")


@pytest.mark.parametrize("drop", ["landmarks.npy", "embedding.npy", "source.npy"])
def test_an_incomplete_track_is_refused(track, tmp_path, drop):
    from vfxswap import archive

    path = tmp_path / "shot.vfxtrack"
    track.save(path)
    manifest, members = archive.read(path, kind="track", version=2, error=TrackError)
    manifest.pop("schema")
    members.pop(drop)
    archive.write(path, kind="track", version=2, manifest=manifest, members=members)
    with pytest.raises(TrackError, match="incomplete"):
        load(path)


def test_a_track_of_version_1_is_migrated(tmp_path):
    """The file was written by the code of version 1; it knew no reasons, cuts, size or keys."""
    found = load(Path(__file__).parents[1] / "data" / "track_v1.vfxtrack")
    assert (found.plate, found.gain, found.colorspace, found.config_id) == (
        "plates/sh010.%04d.exr",
        1.5,
        "ACEScg",
        "cg",
    )
    assert (found.pixel_aspect, found.metadata) == (2.0, {"made by": "version 1"})
    assert (found.cuts, found.size, found.keys) == ((), None, {})
    assert {frame: [key for key, _ in pairs] for frame, pairs in found.frames.items()} == {
        1001: [0],
        1002: [],
        1003: [0],
    }
    (one,) = found.faces
    assert (one.id, one.name) == (0, "Anna")
    assert np.array_equal(one.embedding, np.arange(128) / 128)
    face = found.at(1003, 0)
    assert face is not None
    assert (face.confidence, face.presence, face.source, face.reasons) == (0.75, 0.875, "gap", ())
    assert face.pose_deg == (1.5, -20.0, 3.25)
    numbers = np.arange(478)
    expected = np.stack([102 + numbers % 20, 50 + numbers // 20, -(numbers % 7) / 2], axis=1)
    assert np.array_equal(face.landmarks, expected)
    assert np.array_equal(face.similarity, [[0.01, 0, -1.02], [0, 0.01, -0.5]])
    found.save(tmp_path / "again.vfxtrack")
    assert_same(found, load(tmp_path / "again.vfxtrack"))


def test_a_newer_track_is_refused(track, tmp_path: Path):
    from vfxswap import archive

    path = tmp_path / "shot.vfxtrack"
    archive.write(path, kind="track", version=99, manifest={}, members={})
    with pytest.raises(TrackError, match="newer"):
        load(path)


@pytest.mark.parametrize(
    ("which", "expected"),
    [(None, 0), (0, 0), ("1", 1), (1, 1), ("Anna", 1), ("110,100", 0), ("402.5, 60", 1), (" 0 ", 0)],
)
def test_choosing_a_face(track, which, expected):
    track = dataclasses.replace(track, keys={})
    assert choose(track, which) == expected
    assert list(track.face(which)) == ([-1, 1, 7] if expected == 0 else [-1, 7])


@pytest.mark.parametrize("which", ["2", "Ben", "5000,5", "1,2,3", "a,b", "", -1])
def test_a_choice_that_matches_nothing_lists_the_faces(track, which):
    with pytest.raises(TrackError, match="1 Anna around 402,100 in 2 frames"):
        choose(dataclasses.replace(track, keys={}), which)


def test_no_face_at_all():
    empty = Track(plate="p", frames={1: ()}, faces=())
    with pytest.raises(TrackError, match="no face was found"):
        choose(empty)
    assert describe(empty) == "there are none"


def test_at(track):
    track = dataclasses.replace(track, keys={})
    found = track.at(7, 1)
    assert found is not None
    assert found.source == "key"
    assert track.at(0, 0) is None
    assert track.at(99, 0) is None


def test_keys_lie_beside_the_solve(track, tmp_path):
    plain = dataclasses.replace(track, keys={})
    moved = np.array([[0.02, 0.0, -2.0], [0.0, 0.01, -0.5]])
    keyed = plain.with_keys(0, {1: Key(similarity=moved, reach=0)})
    assert np.array_equal(keyed.face(0)[1].similarity, moved)
    assert keyed.face(0)[1].source == "key"
    assert keyed.face(0)[7] is plain.face(0)[7]
    assert keyed.face(1)[7] is plain.face(1)[7]
    assert keyed.frames is plain.frames
    keyed.save(tmp_path / "keyed.vfxtrack")
    again = load(tmp_path / "keyed.vfxtrack")
    assert np.array_equal(again.face(0)[1].similarity, moved)
    assert_same(again.with_keys(0, {}), plain)


def test_keys_that_mean_nothing_are_refused(track):
    plain = dataclasses.replace(track, keys={}, pixel_aspect=1.0)
    square = np.array([[0.01, 0.0, -1.0], [0.0, 0.01, -0.5]])
    for wrong, words in (
        (Key(), "either"),
        (Key(similarity=square, landmarks={4: (1.0, 2.0)}), "either"),
        (Key(landmarks={}), "either"),
        (Key(landmarks={478: (1.0, 2.0)}), "does not exist"),
        (Key(landmarks={4: (1.0, np.nan)}), "landmark 4"),
        (Key(similarity=square, reach=-1), "reach"),
        (Key(similarity=square * [[1.0], [1.1]]), "no similarity"),
        (Key(similarity=square * [[1.0], [-1.0]]), "mirrors"),
        (Key(similarity=square[:, :2]), "2x3"),
    ):
        with pytest.raises(TrackError, match=words):
            plain.with_keys(0, {1: wrong})
    with pytest.raises(TrackError, match="stills"):
        dataclasses.replace(plain, still=True).with_keys(0, {1: Key(similarity=square)})
