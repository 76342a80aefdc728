from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vfxswap import infer
from vfxswap.errors import ModelError

NETWORKS = sorted(role for role, entry in infer.catalog().items() if entry.file.endswith(".onnx"))


@pytest.mark.parametrize("role", sorted(infer.catalog()))
def test_every_vendored_file_is_what_models_toml_says(role):
    entry = infer.catalog()[role]
    assert infer.weights(role).name == entry.file
    assert entry.license in {"MIT", "Apache-2.0", "CC0-1.0"}
    assert "==" in entry.source
    text = (infer.weights_folder() / entry.license_file).read_text(encoding="utf-8")
    assert {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License", "CC0-1.0": "CC0 1.0"}[
        entry.license
    ] in text


def test_no_weight_file_is_missing_from_the_list():
    listed = {entry.file for entry in infer.catalog().values()} | {"models.toml"}
    assert {path.name for path in infer.weights_folder().iterdir() if path.is_file()} == listed


@pytest.mark.parametrize("role", NETWORKS)
def test_declared_inputs_are_the_networks_own(role):
    session = infer.session(infer.weights(role), device="cpu", threads=1)
    assert [infer.catalog()[role].input.split(":")[0]] == list(session.inputs)
    assert session.provider == infer.CPU


def test_an_altered_file_is_refused_by_name(tmp_path: Path):
    copy = tmp_path / "face.onnx"
    data = bytearray(infer.weights("person").read_bytes())
    data[1000] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ModelError, match=r"face\.onnx does not match its sha256") as caught:
        infer.verify(copy, sha256=infer.catalog()["person"].sha256)
    assert caught.value.path == copy
    with pytest.raises(ModelError, match="missing"):
        infer.verify(tmp_path / "absent.onnx", sha256="0")


def test_unknown_role_names_those_there_are():
    with pytest.raises(ModelError, match="there are blendshapes, detector, hand, identity"):
        infer.weights("hair")


@pytest.mark.parametrize("text", ["[broken", "[role]\nfile = 'x'", "role = 3"])
def test_a_broken_list_of_models_is_an_error_with_its_path(tmp_path: Path, text: str):
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"models\.toml"):
        infer.read_catalog(path)


def test_a_session_takes_bytes_and_refuses_rubbish(tmp_path: Path):
    session = infer.session(infer.weights("person").read_bytes(), device="cpu", threads=1)
    (matte,) = session.run(input_1=np.zeros((1, 256, 256, 3), np.float32))
    assert matte.shape == (1, 256, 256, 1)
    with pytest.raises(ModelError, match="cannot load"):
        infer.session(b"not a model", device="cpu")
    with pytest.raises(ModelError, match="no such model"):
        infer.session(tmp_path / "absent.onnx")


def test_wrong_inputs_are_named():
    session = infer.session(infer.weights("person"), device="cpu", threads=1)
    with pytest.raises(ModelError, match="wants inputs input_1, got picture"):
        session.run(picture=np.zeros((1, 256, 256, 3), np.float32))
    with pytest.raises(ModelError, match="the network failed"):
        session.run(input_1=np.zeros((1, 3), np.float32))


def test_the_same_input_gives_the_same_bits_on_any_number_of_threads():
    image = np.random.default_rng(0).random((1, 256, 256, 3)).astype(np.float32)
    one, two = (infer.session(infer.weights("landmarks"), device="cpu", threads=n) for n in (1, 2))
    first = one.run({one.inputs[0]: image})
    for session in (one, two):
        again = session.run({session.inputs[0]: image})
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_asking_for_cuda_where_there_is_none_says_what_to_install():
    problem = infer.cuda_problem()
    if not problem:
        assert infer.session(infer.weights("person"), device="cuda").provider == infer.CUDA
        return
    with pytest.raises(ModelError, match=r"CUDA cannot be used: .*(install|cpu)"):
        infer.session(infer.weights("person"), device="cuda")
    assert infer.session(infer.weights("person"), device="auto").provider == infer.CPU
    assert infer.providers() == {infer.CPU: "", infer.CUDA: problem}


def test_loading_every_network_prints_nothing():
    script = "\n".join(
        [
            "from vfxswap import infer",
            *(f"infer.session(infer.weights({role!r}), device='auto', threads=1)" for role in NETWORKS),
        ]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == ""


def test_the_runtime_reports_to_nobody_and_leaves_nothing(tmp_path: Path):
    """Its reporter keeps a device id and a queue of what it will send below $HOME: switched off there is neither."""
    switches = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "XDG_CACHE_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in switches}
    program = "from vfxswap import infer; infer.session(infer.weights('person'), device='cpu')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "HOME": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.rglob("*")) == []


def test_every_file_of_the_package_is_loaded_with_the_reporter_off():
    """Loading any module runs the package's first: whoever imports the runtime comes later."""
    program = "import vfxswap, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
