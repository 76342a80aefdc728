"""Writes the golden files of a version with that version's own code: see README.md.

    git archive COMMIT | tar x -C OLD && cd OLD && python .../tests/golden/make.py WHAT FOLDER

Names that one version has and another has not are looked up while it runs.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

FRAMES = (1001, 1002, 1003)
SHA = "ab" * 32


def module(name: str) -> Any:
    """A module of the version at hand."""
    return importlib.import_module(f"vfxswap.{name}")


def shot(folder: Path) -> None:
    """Measurements of three frames; what a version did not know is left out."""
    measure = module("measure")
    side = module("blend").GRID
    grids = {frame: np.full((side, side, 3), step / 4, np.float16) for step, frame in enumerate(FRAMES)}
    known = measure.Measurements.__dataclass_fields__
    more: dict[str, Any] = {"curve": {1002: 2.5}, "color": {"encoding": "srgb"}}
    if "placement" in known:
        more["placement"] = module("align").Placement(0.01, -0.02, 1.03, 0.4)
    if "grain" in known:
        grain = module("finish.grain")
        spatial = np.zeros((3, 2 * grain.REACH + 1, 2 * grain.REACH + 1))
        spatial[:, grain.REACH, grain.REACH] = 1
        more["grain"] = grain.Grain(np.array([[1e-5, 2e-5, 3e-5]] * 3), np.eye(3), spatial)
        more["detail"] = {1001: np.array([0.5, 0.25], np.float32)}
    if "match" in known:
        blend = module("blend")
        more["match"] = {1001: blend.Match(np.full((3, 3), 0.5), np.full((blend.COARSE, blend.COARSE, 3), 0.25))}
    if "steady" in known:
        cells = module("steady").CELLS
        more["steady"] = {1001: np.full((cells, cells, 3), 0.125, np.float16)}
    fields = {name: value for name, value in more.items() if name in known}
    made = measure.Measurements(gain=1.5, model_sha256=SHA, relight=grids, **fields)
    made.save(folder / f"shot_v{measure.VERSION}.vfxshot")


def track(folder: Path) -> None:
    """One face in two of three frames, a cut and an artist's key."""
    tracks, mesh = module("face.track"), module("face.mesh")
    points = np.zeros((mesh.COUNT, 3))
    points[:, 0], points[:, 1] = 100 + np.arange(mesh.COUNT) % 20, 80 + np.arange(mesh.COUNT) // 20
    similarity = np.array([[0.02, 0.0, -0.5], [0.0, 0.01, -0.3]])
    face = tracks.FaceFrame(
        box=np.array([100.0, 80.0, 120.0, 104.0]), landmarks=points, confidence=0.75, presence=0.5,
        pose_deg=(1.0, 2.0, 3.0), similarity=similarity, source="flow", reasons=("blurred",),
    )  # fmt: skip
    made = tracks.Track(
        plate="plates/sh010.%04d.exr", frames={1001: ((0, face),), 1002: (), 1003: ((0, face),)},
        faces=(tracks.Face(0, "anna", np.arange(4.0)),), gain=1.5, colorspace="ACEScg", config_id="cg",
        pixel_aspect=2.0, metadata={"made by": f"version {tracks.VERSION}"}, cuts=(1003,), size=(1920, 1080),
    )  # fmt: skip
    made = made.with_keys(0, {1003: tracks.Key(landmarks={4: (110.5, 92.25)}, reach=5)})
    made.save(folder / f"track_v{tracks.VERSION}.vfxtrack")


def model(folder: Path, name: str) -> None:
    """A network that gives its crop back, of 16 pixels."""
    from onnx import TensorProto, helper, numpy_helper

    vfxmodel = module("vfxmodel")
    kind, size = TensorProto.FLOAT, 16
    covered = numpy_helper.from_array(np.ones((1, 1, size, size), np.float32), "covered")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["crop"], ["rgb"]), helper.make_node("Identity", ["covered"], ["mask"])],
        "swap",
        [helper.make_tensor_value_info("crop", kind, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("rgb", kind, [1, 3, size, size]),
            helper.make_tensor_value_info("mask", kind, [1, 1, size, size]),
        ],
        [covered],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    card = vfxmodel.ModelCard(
        architecture="test", resolution=size, template=module("align").TEMPLATE, encoding="srgb",
        exposure="shot median skin 0.18", performers=vfxmodel.Performers(likeness="ben", double="anna"),
        consents=({"id": "none", "sha256": SHA},), data={"likeness": SHA}, metrics={"psnr": 31.5},
    )  # fmt: skip
    vfxmodel.write(folder / f"{name}.vfxmodel", card=card, onnx=network.SerializeToString())


def job(folder: Path, name: str) -> None:
    """Every field that this version knows, said."""
    swapjob = module("job").SwapJob
    said: dict[str, Any] = {
        "host": "nuke", "host_version": "15.1v3", "shot": "show/sq010/sh020", "plate": "plate/sh020.%04d.exr",
        "frames": "1001-1048", "view": "left", "part": "beauty", "face": "anna", "color_config": "show.ocio",
        "color_config_hash": "1234", "color_context": {"SHOT": "sh020"}, "color_space": "ACEScg",
        "lens": "lens/undistort.exr", "model": "ben.vfxmodel", "model_sha256": SHA, "consents": ("ben.json",),
        "keyring": "ring", "track": "sh020.vfxtrack", "measurements": "sh020.vfxshot", "matte": "roto/hand.%04d.exr",
        "passes": ("uv",), "output": "out/sh020.%04d.exr", "layers": "ingredients", "device": "cpu", "overwrite": True,
        "also": ({"face": "1", "model": "carl.vfxmodel"},),
    }  # fmt: skip
    knobs = module("job").SwapParameters.model_fields
    dialled = {"mix": 0.75, "relight": 0.5, "grain": 1.5}
    said["parameters"] = {key: value for key, value in dialled.items() if key in knobs}
    fields = {key: value for key, value in said.items() if key in swapjob.model_fields}
    (folder / f"{name}.json").write_text(swapjob.make(**fields).to_json())


def faceset(folder: Path) -> None:
    """One crop without its picture, quarantined."""
    package, color, mesh = module("faceset"), module("color"), module("face.mesh")
    config = color.ColorConfig.load(color.PINNED_CONFIG)
    points = np.zeros((mesh.COUNT, 3))
    points[:, 0] = np.arange(mesh.COUNT) % 64
    fields: dict[str, Any] = {
        "name": "look-00.001001", "plate": "plates/look.%04d.exr", "frame": 1001, "timecode": "01:00:00:00",
        "gain": 1.5, "pose_deg": (1.0, 2.0, 3.0), "confidence": 0.75, "quarantined": "track confidence 0.10",
        "landmarks": points,
    }  # fmt: skip
    if not hasattr(package, "index"):
        target = folder / "faceset_v1"
        target.mkdir()
        reference = type("Reference", (), {"id": "c", "sha256": SHA})
        grant = type("Grant", (), {"consents": (reference,)})
        package._write_index(
            target, performer="ben", size=64, config=config, grant=grant, crops=[package.Crop(**fields)]
        )
        return
    crops = module("faceset.crops")
    reason = crops.Reason("unreadable", "track confidence 0.10")
    row = crops.Row(
        crops.Crop(**fields, reasons=(reason,), figures={"clipped": 0.0}, key="k"), np.arange(128.0),
        np.full(52, 0.5, np.float32), np.full((24, 24, 3), 7, np.uint8),
    )  # fmt: skip
    target = folder / f"faceset_v{package.index.VERSION}"
    target.mkdir()
    package.index.write(
        target, performer="ben", size=64, config=config, consents=[{"id": "c", "sha256": SHA}],
        plates=[crops.PlateRecord(id=0, pattern="plates/look.%04d.exr")], limits={"identity": 0.5}, rows=[row],
    )  # fmt: skip


def training(folder: Path, name: str) -> None:
    """state.json alone: its tensors are some megabytes."""
    checkpoint, config, models = module("train.checkpoint"), module("train.config"), module("models")
    network = models.preset("tiny") if hasattr(models, "preset") else models.PRESETS["tiny"]
    state = checkpoint.State(
        step=1200, tensors="checkpoint-00001200.safetensors", config=config.TrainConfig(preset="tiny", steps=2000),
        architecture=getattr(network, "architecture", "autoencoder"), network=network.to_json(),
        performers=module("vfxmodel").Performers(likeness="ben", double="anna"), seconds=61.5,
        scores={"likeness_psnr": 30.5}, precision="fp32", device="cpu", consents=({"id": "c", "sha256": SHA},),
        data={"likeness": SHA},
    )  # fmt: skip
    (folder / f"{name}.json").write_text(state.model_dump_json(by_alias=True, indent=1) + "\n")


MAKERS: dict[str, Any] = {
    "shot": shot,
    "track": track,
    "model": model,
    "job": job,
    "faceset": faceset,
    "training": training,
}

if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    MAKERS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
