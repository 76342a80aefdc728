"""Files of every version that there ever was are read, and those of later ones refused in one line (tests/golden)."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfxswap import archive, blend, cli, faceset, measure, vfxmodel
from vfxswap.align import Placement
from vfxswap.cli.common import Run
from vfxswap.errors import VfxSwapError
from vfxswap.face import mesh
from vfxswap.face import track as tracks
from vfxswap.finish.grain import REACH
from vfxswap.job import SCHEMA, FaceSwap, Pass, SwapJob
from vfxswap.models import config_from_json, preset
from vfxswap.provenance import Trust, manifest, shards, verify
from vfxswap.trust import KeyRing
from vfxswap.trust.records import SignedConsent

from .support import Studio

GOLDEN = Path(__file__).parent / "golden"
DEMO = Path(__file__).parents[1] / "examples" / "demo" / "trust"
SHA = "ab" * 32


# ---------------------------------------------------------------------------------------------------- older is read


@pytest.mark.parametrize("version", range(1, measure.VERSION + 1))
def test_measurements(version: int) -> None:
    found = measure.load(GOLDEN / f"shot_v{version}.vfxshot")
    assert (found.gain, found.model_sha256, sorted(found.relight)) == (1.5, SHA, [1001, 1002, 1003])
    for step, frame in enumerate(sorted(found.relight)):
        grid = found.relight[frame]
        assert grid.dtype == np.float16
        assert np.array_equal(grid, np.full((blend.GRID, blend.GRID, 3), step / 4, np.float16))
    assert found.curve == ({1002: 2.5} if version >= 2 else {})
    assert found.color == ({"encoding": "srgb"} if version >= 2 else {})
    assert found.placement == (Placement(0.01, -0.02, 1.03, 0.4) if version >= 3 else None)
    if version < 5:
        assert found.match == {}
    else:
        assert {frame: (one.tones.max(), one.coarse.max()) for frame, one in found.match.items()} == {1001: (0.5, 0.25)}
    if version < 6:
        assert found.steady == {}
    else:
        assert {frame: (one.dtype.name, float(one.min()), float(one.max())) for frame, one in found.steady.items()} == {
            1001: ("float16", 0.125, 0.125)
        }
    if version < 4:
        assert found.grain is None
        assert found.detail == {}
    else:
        assert found.grain is not None
        assert found.grain.variance.tolist() == [[1e-5, 2e-5, 3e-5]] * 3
        assert found.grain.spatial[:, REACH, REACH].tolist() == [1, 1, 1]
        assert {frame: row.tolist() for frame, row in found.detail.items()} == {1001: [0.5, 0.25]}


def test_a_track_of_this_version() -> None:
    """That of version 1 is in tests/face/test_track.py."""
    assert tracks.VERSION == 2
    found = tracks.load(GOLDEN / "track_v2.vfxtrack")
    assert (found.plate, found.gain, found.colorspace, found.config_id) == (
        "plates/sh010.%04d.exr",
        1.5,
        "ACEScg",
        "cg",
    )
    assert (found.pixel_aspect, found.cuts, found.size, found.still) == (2.0, (1003,), (1920, 1080), False)
    assert found.metadata == {"made by": "version 2"}
    assert {frame: [key for key, _ in pairs] for frame, pairs in found.frames.items()} == {
        1001: [0],
        1002: [],
        1003: [0],
    }
    face = found.frames[1001][0][1]
    assert (face.confidence, face.presence, face.pose_deg, face.source) == (0.75, 0.5, (1.0, 2.0, 3.0), "flow")
    assert (face.reasons, face.landmarks.shape) == (("blurred",), (mesh.COUNT, 3))
    assert face.similarity.tolist() == [[0.02, 0.0, -0.5], [0.0, 0.01, -0.3]]
    assert [(one.id, one.name, one.embedding.tolist()) for one in found.faces] == [(0, "anna", [0.0, 1.0, 2.0, 3.0])]
    key = found.keys[0][1003]
    assert (key.landmarks, key.similarity, key.reach) == ({4: (110.5, 92.25)}, None, 5)


@pytest.mark.parametrize("name", ["model_v1_oldest", "model_v1"])
def test_models(name: str) -> None:
    card = vfxmodel.read_card(GOLDEN / f"{name}.vfxmodel")
    assert vfxmodel.VERSION == 1
    assert (card.architecture, card.resolution, card.encoding) == ("test", 16, "srgb")
    assert (card.performers.by_role(), card.consents) == (
        {"likeness": "ben", "double": "anna"},
        ({"id": "none", "sha256": SHA},),
    )
    assert (card.data, card.metrics) == ({"likeness": SHA}, {"psnr": 31.5})
    # What the first one did not know is what it did all the same.
    assert (card.placement, card.condition, card.precision) == ((0.0, 0.0), None, "fp32")


def test_a_model_of_the_first_day_paints(production: Studio) -> None:
    from vfxswap.pixels import ModelRgb

    crop = ModelRgb(np.random.default_rng(0).random((16, 16, 3)).astype(np.float32))
    rgb, mask, *_ = production.open(GOLDEN / "model_v1_oldest.vfxmodel").swap(crop)
    assert np.array_equal(rgb, crop)
    assert mask.min() == 1


def test_jobs(tmp_path: Path) -> None:
    for name in ("job_v1_oldest", "job_v1"):
        shutil.copy(GOLDEN / f"{name}.json", tmp_path)
        found = SwapJob.load(tmp_path / f"{name}.json")
        assert (found.host, found.shot, found.frames, found.part) == ("nuke", "show/sq010/sh020", "1001-1048", "beauty")
        assert (found.plate, found.model) == (str(tmp_path / "plate/sh020.%04d.exr"), tmp_path / "ben.vfxmodel")
        assert found.matte == (str(tmp_path / "roto/hand.%04d.exr"),)
        assert (found.consents, found.keyring) == ((tmp_path / "ben.json",), tmp_path / "ring")
        assert (found.layers, found.device, found.overwrite, found.model_sha256) == ("ingredients", "cpu", True, SHA)
        assert (found.parameters.mix, found.parameters.relight) == (0.75, 0.5)
        new = name == "job_v1"
        assert found.parameters.grain == (1.5 if new else 1.0)
        assert found.passes == ((Pass.UV,) if new else ())
        assert found.also == ((FaceSwap(face="1", model=tmp_path / "carl.vfxmodel"),) if new else ())
        assert found.color_context == ({"SHOT": "sh020"} if new else {})
        assert found.lens == (str(tmp_path / "lens/undistort.exr") if new else "")


@pytest.mark.parametrize("version", [1, 2])
def test_facesets(version: int) -> None:
    found = faceset.load(GOLDEN / f"faceset_v{version}")
    assert (found.performer, found.size, found.consents) == ("ben", 64, ({"id": "c", "sha256": SHA},))
    (crop,) = found.crops
    assert (crop.name, crop.plate, crop.frame) == ("look-00.001001", "plates/look.%04d.exr", 1001)
    assert (crop.gain, crop.pose_deg, crop.confidence) == (1.5, (1.0, 2.0, 3.0), 0.75)
    assert (crop.quarantined, sorted(crop.kinds)) == ("track confidence 0.10", ["unreadable"])
    assert crop.landmarks[:, 0].tolist() == [index % 64 for index in range(mesh.COUNT)]
    assert [(plate.id, plate.pattern) for plate in found.plates] == [(0, "plates/look.%04d.exr")]
    assert found.limits == ({"identity": 0.5} if version == 2 else {})
    assert found.embeddings[0].tolist() == (list(range(128)) if version == 2 else [0.0] * 128)
    assert np.isnan(found.expressions).all() == (version == 1)
    assert found.thumbnails.max() == (7 if version == 2 else 0)


@pytest.mark.parametrize("name", ["training_v1_oldest", "training_v1"])
def test_training_states(tmp_path: Path, name: str) -> None:
    from vfxswap.train import checkpoint

    shutil.copy(GOLDEN / f"{name}.json", tmp_path / checkpoint.STATE)
    state = checkpoint.load_state(tmp_path)
    assert state is not None
    assert (state.step, state.tensors, state.seconds) == (1200, "checkpoint-00001200.safetensors", 61.5)
    assert (state.config.preset, state.config.steps, state.config.encoding) == ("tiny", 2000, "srgb")
    assert (state.scores, state.consents, state.data) == (
        {"likeness_psnr": 30.5},
        ({"id": "c", "sha256": SHA},),
        {"likeness": SHA},
    )
    network = config_from_json(state.architecture, state.network)
    assert network.resolution == preset("tiny").resolution


def test_provenance() -> None:
    folder = GOLDEN / "provenance_v1"
    ring = KeyRing.load(folder / "ring")
    found = manifest.read(folder / "out.provenance.json")
    assert [check.problem for check in found.check(ring)] == [""]
    assert (found.sequence, [entry.frame for entry in found.statement.predicate.frames]) == ("out", [1001])
    shard = shards.read(folder / "1001.json")
    assert shard is not None
    assert shard.files == found.statement.predicate.frames[0].files
    report = verify(folder, Trust(ring)).sequences[0]
    assert not any(one.kind in ("signature", "unknown_key", "no_manifest") for one in report.findings)


# ------------------------------------------------------------------------------------------------ newer is refused


def raised(path: Path) -> str:
    """Say in a file that it is of the next version, and know more; returns the schema it names."""
    if path.suffix.startswith(".vfx"):
        with zipfile.ZipFile(path) as old:
            members = {name: old.read(name) for name in old.namelist()}
        head = json.loads(members.pop(archive.MANIFEST))
        kind, _, number = head["schema"].partition("/")
        head = {"schema": f"{kind}/{int(number) + 1}", "something": ["new"], "sha256": {"other.bin": "0"}}
        with zipfile.ZipFile(path, "w") as new:
            new.writestr(archive.MANIFEST, json.dumps(head))
            new.writestr("other.bin", b"of another kind")
        return str(head["schema"])
    text = path.read_text(encoding="utf-8")
    found = re.search(r'"schema":\s*"(vfxswap\.[a-z-]+)/(\d+)"', text)
    assert found is not None
    later = f"{found[1]}/{int(found[2]) + 1}"
    path.write_text(text.replace(found[0], f'"schema": "{later}", "something": ["new"]', 1), encoding="utf-8")
    return later


def _consent(path: Path) -> object:
    return SignedConsent.read(path)


def _worst(path: Path) -> object:
    from vfxswap.train.worst import read_worst

    return read_worst(path.read_bytes(), path=path)


def _rounds(path: Path) -> object:
    from vfxswap.train.retrain import read_rounds

    return read_rounds(path.parents[1])


def _state(path: Path) -> object:
    from vfxswap.train.checkpoint import load_state

    return load_state(path.parent)


def _evidence(path: Path) -> object:
    from vfxswap.publish import evidence

    return evidence.read(path, {})


def _reference(path: Path) -> object:
    from vfxswap.trust.references import read_reference

    return read_reference(path)


def _fixes(path: Path) -> object:
    from vfxswap.face import export

    return export.from_json(path.read_text(), tracks.load(GOLDEN / "track_v2.vfxtrack"))


def _text(schema: str) -> bytes:
    return json.dumps({"schema": schema}).encode()


READERS: dict[str, tuple[str, bytes | Path, Callable[[Path], Any], int]] = {
    "job": ("job.json", GOLDEN / "job_v1.json", SwapJob.load, 4),
    "track": ("t.vfxtrack", GOLDEN / "track_v2.vfxtrack", tracks.load, 4),
    "shot": ("s.vfxshot", GOLDEN / f"shot_v{measure.VERSION}.vfxshot", measure.load, 4),
    "model": ("m.vfxmodel", GOLDEN / "model_v1.vfxmodel", vfxmodel.read_card, 4),
    "faceset": ("faceset.json", GOLDEN / "faceset_v2/faceset.json", lambda path: faceset.load(path.parent), 4),
    "training": ("state.json", GOLDEN / "training_v1.json", _state, 4),
    "consent": ("c.json", DEMO / "demo-ben.consent.json", _consent, 77),
    "key": ("farm.pub.json", GOLDEN / "provenance_v1/ring/farm.pub.json", lambda path: KeyRing.load(path.parent), 77),
    "reference": ("r.json", _text("vfxswap.reference/1"), _reference, 77),
    "qc": ("q.json", _text("vfxswap.qc/1"), _evidence, 4),
    "worst": ("w.json", _text("vfxswap.worst/1"), _worst, 2),
    "rounds": ("retrain/rounds.json", _text("vfxswap.retrain/1"), _rounds, 4),
    "fixes": ("f.json", _text("vfxswap.fixes/1"), _fixes, 4),
}


@pytest.mark.parametrize("name", READERS)
def test_a_later_version_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """One line: which version the file is of, which one is known, and to update."""
    file, good, read, code = READERS[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(good if isinstance(good, bytes) else good.read_bytes())
    later = raised(path)
    kind, _, number = later.partition("/")
    with pytest.raises(VfxSwapError) as caught:
        read(path)
    text = str(caught.value)
    assert later in text
    assert f"{kind}/{int(number) - 1}" in text
    assert text.endswith("update vfxswap")
    assert caught.value.exit_code == code
    assert "\n" not in text


def test_a_later_statement_is_refused_by_name(tmp_path: Path) -> None:
    import base64

    path = tmp_path / "out.provenance.json"
    outer = json.loads((GOLDEN / "provenance_v1/out.provenance.json").read_bytes())
    inner = base64.b64decode(outer["payload"]).replace(b"vfxswap.provenance/1", b"vfxswap.provenance/2")
    path.write_text(json.dumps({**outer, "payload": base64.b64encode(inner).decode()}))
    with pytest.raises(VfxSwapError, match=r"provenance/2 is newer than this vfxswap reads \(vfxswap.provenance/1\)"):
        manifest.read(path)


@pytest.mark.parametrize("number", ["0", "01", "1.5", "x", "-1", "²", "9" * 5000])
def test_what_is_no_version_is_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "t.vfxtrack"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(archive.MANIFEST, json.dumps({"schema": f"vfxswap.track/{number}"}))
    with pytest.raises(VfxSwapError, match=r"is not a \.vfxtrack file"):
        tracks.load(path)


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("job", ("run", "FILE"), 4),
        ("job", ("farm", "work", "swap", "FILE"), 4),
        ("track", ("track", "fix", "FILE", "--list"), 4),
        ("consent", ("consent", "verify", "FILE", "--keyring", str(DEMO / "keyring")), 77),
    ],
)
def test_the_command_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, arguments: tuple[str, ...], code: int
) -> None:
    file, good, _, _ = READERS[name]
    path = tmp_path / file
    path.write_bytes(good if isinstance(good, bytes) else good.read_bytes())
    later = raised(path)
    assert cli.execute(Run(tuple(str(path) if word == "FILE" else word for word in arguments))) == code
    said = capsys.readouterr()
    (line,) = [line for line in (said.out + said.err).splitlines() if later in line]
    assert "update vfxswap" in line


def test_a_later_model_and_later_measurements_stop_a_job(production: Studio, tmp_path: Path) -> None:
    from .support import job, write_plate

    plate = write_plate(tmp_path / "plate", frames=1, size=128)
    for name, field in (("model", "model"), ("shot", "measurements"), ("track", "track")):
        file, good, _, code = READERS[name]
        path = tmp_path / file
        shutil.copy(str(good), path)
        raised(path)
        given = {"track": GOLDEN / "track_v2.vfxtrack", field: path}
        job(production, plate, tmp_path / "out", **given).save(tmp_path / "job.json")
        assert cli.execute(Run(("run", str(tmp_path / "job.json")))) == code
        assert not (tmp_path / "out").exists()


def test_the_schema_of_a_job_is_the_one_that_is_golden() -> None:
    """Whoever raises a version adds a golden file of the one before."""
    assert json.loads((GOLDEN / "job_v1.json").read_text())["schema"] == SCHEMA
