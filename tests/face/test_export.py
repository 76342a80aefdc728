from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from vfxswap.face import export

from .test_track import track  # noqa: F401 - the fixture


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
