"""The job description: what is refused and how it is said, paths, knobs, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap.errors import JobError
from vfxswap.job import SCHEMA, SwapJob, SwapParameters, knobs, schema_json

LEAST = {"schema": SCHEMA, "plate": "plate.%04d.exr", "model": "ben.vfxmodel", "output": "out/comp.%04d.exr"}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps({**LEAST, **changes}))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(JobError) as caught:
        SwapJob.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert caught.value.exit_code == 4
    return text


def test_relative_paths_are_relative_to_the_job_file(tmp_path: Path) -> None:
    job = SwapJob.load(
        write(
            tmp_path,
            consents=["a.json", "/keys/b.json"],
            keyring="ring",
            track="t.vfxtrack",
            measurements="s.vfxshot",
            matte="matte.####.exr",
            color_config="config.ocio",
        )
    )
    assert job.plate == str(tmp_path / "plate.%04d.exr")
    assert job.output == str(tmp_path / "out/comp.%04d.exr")
    assert job.model == tmp_path / "ben.vfxmodel"
    assert job.consents == (tmp_path / "a.json", Path("/keys/b.json"))
    assert job.keyring == tmp_path / "ring"
    assert job.track == tmp_path / "t.vfxtrack"
    assert job.measurements == tmp_path / "s.vfxshot"
    assert job.matte == (str(tmp_path / "matte.####.exr"),)
    assert job.color_config == str(tmp_path / "config.ocio")


def test_a_built_in_color_config_is_no_path(tmp_path: Path) -> None:
    uri = "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4"
    assert SwapJob.load(write(tmp_path, color_config=uri)).color_config == uri


def test_what_is_saved_is_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = SwapJob.make(plate="p.####.exr", model="m.vfxmodel", output="o.####.exr", parameters={"mix": 0.5})
    saved = tmp_path / "elsewhere" / "job.json"
    job.save(saved)
    loaded = SwapJob.load(saved)
    assert loaded.plate == str(tmp_path / "p.####.exr")
    assert loaded.parameters.mix == 0.5
    loaded.save(saved)
    assert SwapJob.load(saved) == loaded
    assert [path.name for path in saved.parent.iterdir()] == ["job.json"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"platee": "x"}, "unknown key 'platee'|did you mean 'plate'?"),
        ({"parameters": {"featherr": 1}}, "unknown key 'parameters.featherr'|did you mean 'edge_feather'?"),
        ({"parameters": {"mix": 1.5}}, "parameters.mix is 1.5, allowed is at most 1"),
        ({"parameters": {"edge_erode": -11}}, "parameters.edge_erode is -11, allowed is at least -10"),
        ({"parameters": {"mix": "half"}}, "parameters.mix is 'half', a number is expected"),
        ({"parameters": {"mix": float("nan")}}, "a finite number is expected"),
        ({"parameters": {"skin_tone": "mine"}}, "allowed is 'plate' or 'likeness'"),
        ({"layers": "com"}, "layers is 'com', allowed is 'comp', 'ingredients' or 'patch'"),
        ({"device": "gpu"}, "device is 'gpu', allowed is 'auto', 'cpu' or 'cuda'"),
        ({"overwrite": "yes"}, "overwrite is 'yes', true or false is expected"),
        ({"consents": "one.json"}, "consents is 'one.json', a list is expected"),
        ({"plate": ""}, "plate is '', some text is expected"),
        ({"shot": "show/sq010"}, "PROJECT/SEQUENCE/SHOT"),
        ({"shot": "../sq010/sh020"}, "PROJECT/SEQUENCE/SHOT"),
        ({"model_sha256": "ABC"}, "64 lower-case hexadecimal digits"),
        ({"layers": "x", "device": "y"}, "(and 1 more)"),
        ({"schema": "vfxswap.job/2"}, "vfxswap.job/2 is newer than this vfxswap reads (vfxswap.job/1)|update vfxswap"),
        ({"schema": "vfxswap.track/1"}, "a job file says vfxswap.job/1"),
        ({"schema": None}, "'schema' is missing"),
    ],
)
def test_a_refusal_names_field_value_and_what_is_allowed(tmp_path: Path, changes: Any, expected: str) -> None:
    text = refusal(write(tmp_path, **changes))
    for part in expected.split("|"):
        assert part in text


@pytest.mark.parametrize("field", ["plate", "model", "output"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({key: value for key, value in LEAST.items() if key != field}))
    assert f"'{field}' is missing" in refusal(path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{", "not JSON"),
        (b"[]", "a JSON object is expected, got list"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_job_file(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(data)
    assert expected in refusal(path)


def test_no_job_file(tmp_path: Path) -> None:
    assert "no such job file" in refusal(tmp_path / "none.json")
    assert "cannot read" in refusal(tmp_path)


def test_jobs_do_not_change() -> None:
    job = SwapJob.make(plate="p", model="m", output="o")
    with pytest.raises(ValueError, match="frozen"):
        job.plate = "q"  # type: ignore[misc]
    assert job.replace(frames="1-5").frames == "1-5"
    assert job.frames == ""
    with pytest.raises(JobError, match="layers is 'none'"):
        job.replace(layers="none")


def test_plate_folder_names_the_local_shot(tmp_path: Path) -> None:
    folder = tmp_path / "sh020"
    folder.mkdir()
    for plate in (folder, folder / "plate.%04d.exr"):
        assert SwapJob.make(plate=str(plate), model="m", output="o").plate_folder == "sh020"


def test_every_knob_says_all_there_is_to_know() -> None:
    assert [knob.name for knob in knobs()] == list(SwapParameters.model_fields)
    for knob in knobs():
        assert knob.help.endswith(".")
        if knob.choices:
            assert knob.default in knob.choices
            assert knob.low is None
        else:
            assert isinstance(knob.default, float)
            assert knob.low is not None
            assert knob.high is not None
            assert knob.low <= knob.default <= knob.high


def test_knob_defaults_are_the_parameters_defaults() -> None:
    defaults = SwapParameters()
    assert {knob.name: knob.default for knob in knobs()} == defaults.model_dump()


@pytest.mark.parametrize("name", [knob.name for knob in knobs() if not knob.choices])
def test_knob_limits_are_enforced(name: str) -> None:
    knob = next(knob for knob in knobs() if knob.name == name)
    assert knob.low is not None
    assert knob.high is not None
    for value in (knob.low, knob.high):
        assert getattr(SwapParameters(**{name: value}), name) == value
    for value in (knob.low - 0.01, knob.high + 0.01):
        with pytest.raises(ValueError, match=name):
            SwapParameters(**{name: value})


def test_schema_agrees_with_the_reader() -> None:
    schema = json.loads(schema_json())
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    checker.validate(LEAST)
    checker.validate(json.loads(SwapJob.make(plate="p", model="m", output="o").to_json()))
    for wrong in ({"mixx": 1}, {"layers": "com"}, {"parameters": {"mix": 2}}, {"shot": "a/b"}, {"schema": "x"}):
        assert not checker.is_valid({**LEAST, **wrong})


@given(
    mix=st.floats(0, 1),
    erode=st.floats(-10, 10),
    frames=st.text(max_size=20),
    names=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63), max_size=3),
)
def test_any_valid_job_survives_its_file(mix: float, erode: float, frames: str, names: list[str]) -> None:
    job = SwapJob.make(
        plate="/p",
        model="/m",
        output="/o",
        frames=frames,
        consents=[f"/keys/{name}" for name in names],
        parameters={"mix": mix, "edge_erode": erode},
    )
    assert SwapJob.model_validate_json(job.to_json()) == job


def test_a_mistyped_key_of_a_further_face_gets_its_nearest() -> None:
    fields = {"plate": "p.####.exr", "output": "o.####.exr", "model": "m.vfxmodel"}
    with pytest.raises(JobError, match="did you mean 'measurements'"):
        SwapJob.make(**fields, also=[{"face": "1", "model": "m.vfxmodel", "measurment": "x"}])
    with pytest.raises(JobError, match="did you mean 'relight'"):
        SwapJob.make(**fields, also=[{"face": "1", "model": "m.vfxmodel", "parameters": {"relit": 1}}])
