from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from vfxswap.errors import TrackError
from vfxswap.face import export
from vfxswap.face.keys import REACH, Key
from vfxswap.face.track import Face, Track

from ..support import face
from .test_track import track  # noqa: F401 - the fixture

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def test_json_is_what_the_contract_says(track, tmp_path):  # noqa: F811
    path = tmp_path / "track.json"
    export.write_json(track, path)
    data = json.loads(path.read_text())
    jsonschema.Draft202012Validator(export.json_schema()).validate(data)
    assert set(data) == {"schema", "plate", "frames"}
    assert data["schema"] == export.SCHEMA
    assert list(data["frames"]) == ["-1", "0", "1", "7"]
    assert data["frames"]["0"] == {"faces": []}
    face = data["frames"]["7"]["faces"][0]
    assert set(face) == {
        *("id", "name", "box", "landmarks", "confidence", "pose_deg", "similarity", "source"),
    }
    assert (face["id"], face["name"], face["source"]) == (1, "Anna", "key")
    original = track.at(7, 1)
    assert np.array(face["landmarks"]) == pytest.approx(original.landmarks, abs=1e-4)
    assert np.array_equal(face["similarity"], original.similarity)
    assert "name" not in data["frames"]["1"]["faces"][0]


def test_schema_refuses_other_things(track):  # noqa: F811
    data = json.loads(export.json_text(track))
    schema = jsonschema.Draft202012Validator(export.json_schema())
    data["frames"]["7"]["faces"][0]["landmarks"].pop()
    assert not schema.is_valid(data)
    assert not schema.is_valid({**json.loads(export.json_text(track)), "schema": "vfxswap.track-json/2"})


def test_json_reads_back(track):  # noqa: F811
    text = export.json_text(track)
    assert export.TrackJson.model_validate_json(text) == export.to_json(track)


def test_one_face_of_several(track):  # noqa: F811
    found = export.to_json(track, face=1)
    assert {one.id for frame in found.frames.values() for one in frame.faces} == {1}


@pytest.mark.parametrize(("name", "schema"), [("track", export.json_schema), ("fixes", export.fixes_schema)])
def test_the_published_schema_is_the_one_in_force(name, schema):
    """After a change: json.dumps(export.json_schema(), indent=2) into the file."""
    published = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    assert published == schema()
    jsonschema.Draft202012Validator.check_schema(published)


# --------------------------------------------------------------------------------------------- keys in JSON


@pytest.fixture
def walk() -> Track:
    faces = (Face(0, "Anna", np.zeros(128)), Face(1, None, np.ones(128)))
    return Track(
        plate="p.%04d.exr",
        frames={f: ((0, face(100 + f, 90, 60)), (1, face(300, 90, 50))) if f != 5 else () for f in range(1, 9)},
        faces=faces,
    )


def fixes(**entries) -> str:
    keys = {number.removeprefix("f"): entry for number, entry in entries.items()}
    return json.dumps({"schema": "vfxswap.fixes/1", "face": "Anna", "keys": keys})


def test_keys_from_json(walk):
    matrix = walk.face(0)[3].similarity * 1.25
    text = fixes(
        f1={"move": [3, -2], "scale": 1.5},
        f3={"similarity": matrix.tolist(), "reach": "hold"},
        f4={"landmarks": {"4": [105.5, 93.25]}, "reach": 2},
    )
    jsonschema.Draft202012Validator(export.fixes_schema()).validate(json.loads(text))
    found = export.from_json(text, walk)
    assert (found.face, list(found.keys), found.notes) == (0, [1, 3, 4], ())
    assert [key.reach for key in found.keys.values()] == [REACH, None, 2]
    assert found.keys[4].landmarks == {4: (105.5, 93.25)}
    fixed = walk.with_keys(0, found.keys)
    assert np.array_equal(fixed.face(0)[3].similarity, matrix)
    assert fixed.face(1)[3] is walk.face(1)[3]
    nudged = fixed.face(0)[1].landmarks[:468, :2] - walk.face(0)[1].landmarks[:468, :2]
    assert np.ptp(fixed.face(0)[1].landmarks[:468, 1]) == pytest.approx(
        1.5 * np.ptp(walk.face(0)[1].landmarks[:468, 1])
    )
    assert nudged.shape == (468, 2)
    assert export.from_json(text, walk, face=1).face == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a file of keys"),
        ("[]", "not a file of keys"),
        ('{"schema": "vfxswap.fixes/2", "keys": {}}', "schema"),
        (fixes(fx={"scale": 1}), "not a file of keys"),
        (fixes(f1={}), "says nothing"),
        (fixes(f1={"scale": 1, "landmarks": {"4": [1, 2]}}), "two things"),
        (fixes(f1={"scale": -1}), "scale"),
        (fixes(f1={"scale": 1, "reach": -3}), "reach"),
        (fixes(f1={"skale": 1}), "skale"),
        (fixes(f1={"landmarks": {"500": [1, 2]}}), "does not exist"),
        (fixes(f1={"similarity": [[1, 2, 3], [4, 5, 6]]}), "no similarity"),
        (fixes(f5={"scale": 2}), "was not found there"),
        (fixes(f1={"scale": 1}).replace("Anna", "Ben"), "Ben"),
    ],
)
def test_files_of_keys_that_mean_nothing(walk, text, words):
    with pytest.raises(TrackError, match=words) as caught:
        export.from_json(text, walk)
    assert "\n" not in str(caught.value)


def test_an_edited_track_comes_back_as_keys(walk):
    data = json.loads(export.json_text(walk))
    assert export.from_json(json.dumps(data), walk).keys == {}
    moved = data["frames"]["3"]["faces"][0]["landmarks"]
    moved[61][0] += 2.5
    moved[4][1] -= 0.001  # less than what counts
    other = data["frames"]["6"]["faces"][0]["similarity"]
    other[0][2] += 0.05
    found = export.from_json(json.dumps(data), walk)
    assert list(found.keys) == [3, 6]
    assert found.keys[3].landmarks == {61: (moved[61][0], moved[61][1])}
    assert np.array_equal(walk.with_keys(0, found.keys).face(0)[6].similarity, other)
    data["frames"]["2"]["faces"][1]["similarity"][1][2] += 0.05
    assert list(export.from_json(json.dumps(data), walk, face=1).keys) == [2]


def test_exports_hold_the_keys(walk):
    fixed = walk.with_keys(0, {3: Key(landmarks={4: (111.0, 99.0)}, reach=0)})
    one = export.to_json(fixed).frames["3"].faces[0]
    assert (one.landmarks[4][:2], one.source) == ([111.0, 99.0], "key")
    assert export.to_json(dataclasses.replace(fixed, keys={})) == export.to_json(walk)
