"""Files that somebody made to do harm, or that a disk did: a named error, bounded work, and nothing else.

A handful of each kind; benchmarks/hostile/fuzz.py does the same for as long as one likes.
"""

from __future__ import annotations

import ast
import json
import time
import tracemalloc
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vfxswap import archive, documents, faceset, infer, measure, trust
from vfxswap.errors import FacesetError, JobError, ModelError, TimelineError, TrackError, UsageError, VfxSwapError
from vfxswap.face import export
from vfxswap.face import track as tracks
from vfxswap.graph import OPERATORS, check
from vfxswap.job import SwapJob
from vfxswap.sequence import FrameRange, SequencePath

from . import hostile
from .hostile_formats import GOLDEN, NAMES, Format, formats
from .support import Studio, card, network

PACKAGE = Path(tracks.__file__).parents[1]
EXAMPLES = 25


@pytest.fixture(scope="module")
def known(production: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Format]:
    return formats(tmp_path_factory.mktemp("hostile") / "made", production)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_taken_or_refused_by_name(name: str, known: dict[str, Format], tmp_path: Path) -> None:
    if name == "otio":
        pytest.importorskip("opentimelineio", reason="the extra otio is not installed")
    one = known[name]
    for good in one.good:
        one.read(one.lay(tmp_path / "case", good))
    for number in range(EXAMPLES):
        path = one.lay(tmp_path / "case", one.example(Random(f"test {name} {number}")))
        started = time.process_time()
        try:
            one.read(path)
        except one.refused as error:
            assert str(error).isprintable()
        assert time.process_time() - started < one.seconds, f"{name} {number}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["case"]


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    random=st.randoms(use_true_random=False),
    name=st.sampled_from(["job", "vfxtrack", "faceset", "consent", "statement"]),
)
def test_whatever_is_drawn(random: Any, name: str, known: dict[str, Format], tmp_path: Path) -> None:
    one = known[name]
    try:
        one.read(one.lay(tmp_path / "case", one.example(random)))
    except one.refused as error:
        assert len(str(error)) < 10_000


# ------------------------------------------------------------------------------------------------------- archives


def _named(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        head = {"schema": "vfxswap.track/2", "sha256": {name: archive.sha256(b"x")}}
        made.writestr(archive.MANIFEST, json.dumps(head))
        made.writestr(name, b"x")
    return path


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..", "C:evil", "a\\..\\evil", "\u202eevil"])
def test_no_member_is_named_like_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrackError, match="a member is named"):
        tracks.load(_named(tmp_path / "t.vfxtrack", name))
    assert [path.name for path in tmp_path.iterdir()] == ["t.vfxtrack"]


@pytest.mark.parametrize(("claim", "real"), [(1 << 10, 128 << 20), (600 << 20, 1 << 20)])
def test_a_bomb_is_not_unpacked(tmp_path: Path, claim: int, real: int) -> None:
    """One that says what it is, and one that lies: neither costs more than it says, or than an archive may hold."""
    path = tmp_path / "s.vfxshot"
    path.write_bytes(hostile.bomb("relight.npy", claim=claim, real=real))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(TrackError, match=r"not a \.vfxshot file or damaged"):
        measure.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_what_zip_can_do_and_no_archive_of_ours_does(tmp_path: Path) -> None:
    path = tmp_path / "t.vfxtrack"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as made:
        made.writestr(archive.MANIFEST, "{}")
    with pytest.raises(TrackError, match="packed or encrypted"):
        tracks.load(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as made:
        made.writestr(archive.MANIFEST, "{}")
        made.writestr(archive.MANIFEST, "{}")
    with pytest.raises(TrackError, match="twice"):
        tracks.load(path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(archive.MANIFEST, "[" * 100_000)
    with pytest.raises(TrackError, match="damaged"):
        tracks.load(path)
    with pytest.raises(TrackError, match="check the argument"):
        tracks.load(tmp_path)


@pytest.mark.parametrize("kind", ["|O", "<U9", "|V8", "<M8[s]", "<c16", "<f8,<i4"])
def test_arrays_hold_numbers_alone(kind: str) -> None:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(64)
    with pytest.raises(ValueError):
        archive.npy_array(data)


@pytest.mark.parametrize("shape", ["(999999999999,)", "(4294967296, 4294967296)", "(-1,)", "(3,)", "()"])
def test_an_array_has_what_its_header_claims(shape: str) -> None:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(16)
    with pytest.raises(ValueError, match="in 16 bytes"):
        archive.npy_array(data)


def test_arrays_come_back_as_they_were() -> None:
    arrays: list[Any] = [np.arange(6.0).reshape(2, 3), np.ones((1, 1), np.float16), np.zeros((0, 4)), np.array([True])]
    for array in arrays:
        again = archive.npy_array(archive.npy_bytes(array))
        assert np.array_equal(again, array)
        assert (again.dtype, again.shape) == (array.dtype, array.shape)
        assert again.flags.writeable
    turned = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert np.array_equal(archive.npy_array(archive.npy_bytes(turned)), turned)


# ------------------------------------------------------------------------------------------------------- networks


def _model(path: Path, onnx: Any) -> Path:
    from vfxswap import vfxmodel

    vfxmodel.write(path, card=card(), onnx=onnx if isinstance(onnx, bytes) else onnx.SerializeToString())
    return path


def test_a_network_is_arithmetic_and_nothing_else(production: Studio, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    def proto() -> Any:
        return onnx.load_from_string(network())

    foreign, loop, inner, functions, unknown, text = (proto() for _ in range(6))
    foreign.graph.node[0].domain = "com.evil"
    loop.graph.node[0].op_type = "Loop"
    body = helper.make_graph([], "body", [], [])
    inner.graph.node[0].attribute.append(helper.make_attribute("body", body))
    functions.functions.append(helper.make_function("evil", "f", ["x"], ["y"], [], [helper.make_opsetid("", 17)]))
    unknown.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    text.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"x"]))  # type: ignore[list-item]
    cases = {
        "operators of 'com.evil'": foreign, "the operator 'Loop'": loop, "a graph within a graph": inner,
        "functions of its own": functions, "operators of 'ai.onnx.ml'": unknown, "weights of the type 8": text,
    }  # fmt: skip
    for said, model in cases.items():
        path = _model(tmp_path / "m.vfxmodel", model)
        with pytest.raises(ModelError, match=said) as caught:
            production.open(path)
        assert "vfxswap export" in caught.value.hint


def test_a_weight_is_as_large_as_it_says(production: Studio, tmp_path: Path) -> None:
    import onnx

    for dims in ([1 << 40], [1 << 31, 1 << 31], [-1], [4, 3, 1, 1]):
        model = onnx.load_from_string(network())
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        with pytest.raises(ModelError, match="cannot load the network"):
            production.open(_model(tmp_path / "m.vfxmodel", model))


def test_what_a_network_paints_has_the_size_that_it_says(production: Studio, tmp_path: Path) -> None:
    import onnx

    from vfxswap.pixels import ModelRgb

    model = onnx.load_from_string(network())
    model.graph.output.pop()
    opened = production.open(_model(tmp_path / "m.vfxmodel", model))
    with pytest.raises(ModelError, match="the network failed"):
        opened.swap(ModelRgb(np.zeros((64, 64, 3), np.float32)))


def test_the_vendored_networks_are_arithmetic_too() -> None:
    for path in sorted(infer.weights_folder().glob("*.onnx")):
        assert check(path.read_bytes()).operators <= OPERATORS


def test_vendored_weights_are_checked_when_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    copy = shutil.copytree(infer.weights_folder(), tmp_path / "weights")
    monkeypatch.setattr(infer, "weights_folder", lambda: copy)
    for role, entry in infer.read_catalog(copy / "models.toml").items():
        data = bytearray((copy / entry.file).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / entry.file).write_bytes(data)
        infer.weights.cache_clear()
        with pytest.raises(ModelError, match="does not match its sha256"):
            infer.weights(role)
    infer.weights.cache_clear()


# -------------------------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "a/b", "", "x" * 260])
def test_a_crop_is_a_file_of_its_faceset(tmp_path: Path, name: str) -> None:
    """Pictures are read, and by `retrain` copied, by these names."""
    for file in (GOLDEN / "faceset_v2").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    index = json.loads((tmp_path / "faceset.json").read_text())
    index["crops"][0]["name"] = name
    (tmp_path / "faceset.json").write_text(json.dumps(index))
    with pytest.raises(FacesetError, match="is not the name of a file in the faceset"):
        faceset.load(tmp_path)


def test_deep_timelines_do_not_reach_the_library(tmp_path: Path) -> None:
    """OpenTimelineIO ends the process at a hundred thousand brackets."""
    pytest.importorskip("opentimelineio", reason="the extra otio is not installed")
    from vfxswap.conform import Timeline

    path = tmp_path / "t.otio"
    path.write_text('{"OTIO_SCHEMA": "Timeline.1", "metadata": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}")
    with pytest.raises(TimelineError, match="nested too deeply"):
        Timeline(path)
    for suffix in (".otioz", ".otiod"):
        path.with_suffix(suffix).write_bytes(b"PK")
        with pytest.raises(TimelineError, match="is not read"):
            Timeline(path.with_suffix(suffix))


def test_a_packed_record_is_not_unpacked_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import zlib

    monkeypatch.setattr(documents, "LARGE", 1 << 20)
    packed = base64.b64encode(zlib.compress(b" " * (2 << 20))).decode()
    with pytest.raises(ValueError, match="too large"):
        export.nuke.recorded(packed)


def test_a_thousand_nested_groups_are_walked() -> None:
    text = "Group {\n}\n" * 5000 + "end_group\n" * 5000
    assert len(list(export.nk.every(export.nk.parse(text)))) == 5000


NO_PATHS = (
    "a\0b.%04d.exr", "\ud800.####.exr", "x" * 300 + ".exr", "a/" * 3000 + "b.exr", "p.%0999999999d.exr",
    "#" * 40 + ".exr", "~nobody-of-this-name/p.####.exr",
)  # fmt: skip


@pytest.mark.parametrize("text", NO_PATHS)
def test_paths_that_no_system_takes(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        SequencePath.parse(text)
    path = tmp_path / "job.json"
    fields = {"schema": "vfxswap.job/1", "plate": text, "model": "m.vfxmodel", "output": "o.####.exr"}
    path.write_text(json.dumps(fields))
    if "%09" not in text and not text.startswith(("~", "#")):
        with pytest.raises(JobError):
            SwapJob.load(path)


@pytest.mark.parametrize("text", ["1-999999999999", "1-" + "9" * 5000, "1-1000001", "9" * 100_000])
def test_endless_ranges(text: str) -> None:
    with pytest.raises(UsageError):
        FrameRange.parse(text)


def test_endless_files_are_read_so_far_and_no_further(tmp_path: Path) -> None:
    with pytest.raises(documents.TooLargeError, match="larger than 1 MiB"):
        documents.read_bytes(Path("/dev/zero"), most=1 << 20)
    link = tmp_path / "job.json"
    link.symlink_to("/dev/zero")
    with pytest.raises(JobError, match="larger than 4 MiB"):
        SwapJob.load(link)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "NaN", '{"a": Infinity}', "", "\ufeff1"])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        documents.json_value(text)


def test_nesting_is_counted_outside_of_texts() -> None:
    assert documents.nesting('{"a[[[[": [[1], "]]\\"[["], "b": {}}', most=100) == 3
    assert documents.nesting("[" * 1000, most=10) == 11


def test_errors_cannot_steer_a_terminal() -> None:
    text = str(VfxSwapError("bad \x1b[2J\u202e name\nsecond \ud800 line" + "x" * 100_000, path="/a\x07b"))
    assert text.isprintable()
    assert len(text) < 5000
    assert "\\x1b[2J\\u202e" in text


# ----------------------------------------------------------------------------------------------------- no pickle

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "joblib",
    "yaml",
    "xml",
    "ctypes.util",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "torch.save", "os.system", "os.popen"}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _runs_what_it_reads(tree: ast.AST, *, file: str) -> list[str]:
    """What a module does that could run what it reads, a line each."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            continue
        line = f"{file}:{node.lineno}"
        if not isinstance(node, ast.Call):
            names = {alias.name for alias in node.names}
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            found += [f"{line} imports {name}" for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
            continue
        named = {one.arg: ast.unparse(one.value) for one in node.keywords if one.arg in ("allow_pickle", "shell")}
        called = _dotted(node.func)
        if called in ("np.load", "numpy.load") and named.get("allow_pickle") != "False":
            found.append(f"{line} lets numpy unpickle")
        if called in FORBIDDEN_CALLS or named.get("shell", "False") != "False":
            found.append(f"{line} calls {called}")
        if called == "torch.jit.load" and not file.endswith("torchscript.py"):
            found.append(f"{line} calls {called}")
    return found


def test_nothing_runs_what_it_reads() -> None:
    """No pickle in any disguise, no shell, no code made of text."""
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 200
    for path in files:
        assert _runs_what_it_reads(ast.parse(path.read_text(encoding="utf-8")), file=path.name) == []


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from pickle import loads", "np.load(x)", "np.load(x, allow_pickle=True)", "torch.load(x)",
     "eval(x)", "subprocess.run(x, shell=True)", "torch.jit.load(x)", "import xml.etree.ElementTree"],
)  # fmt: skip
def test_what_would_is_seen(code: str) -> None:
    assert len(_runs_what_it_reads(ast.parse(code), file="x.py")) == 1


def test_torchscript_is_read_back_only_as_it_was_just_written() -> None:
    """models/torchscript.py loads bytes that it has made a moment before, from memory: never a file."""
    tree = ast.parse((PACKAGE / "models" / "torchscript.py").read_text(encoding="utf-8"))
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.jit.load"
    ]
    assert [ast.unparse(call.args[0]) for call in calls] == ["io.BytesIO(data)"]


def test_consent_is_asked_for_whatever_the_environment_says(
    production: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VFXSWAP_ROOTS", "VFXSWAP_PATH_RULES", "VFXSWAP_PYTHON"):
        monkeypatch.setenv(name, "/")
    with pytest.raises(VfxSwapError) as caught:
        trust.Gate(trust.KeyRing.load(production.keyring), []).authorize(
            shot=trust.ShotId.local("x"), use="swap", performers={"likeness": "ben", "double": "anna"},
            model_sha256="0" * 64, origin=(),
        )  # fmt: skip
    assert caught.value.exit_code == 77
