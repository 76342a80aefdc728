"""A real, small job without a trained network: a model built by hand, consents signed for it, and a plate of a face."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import skimage

from vfxswap import align, archive, exr, geometry, trust, vfxmodel
from vfxswap.face import mesh
from vfxswap.face.track import FaceFrame
from vfxswap.job import SwapJob
from vfxswap.pixels import F32
from vfxswap.trust import Gate, KeyRing

SIZE = 64
"""Side of the test model's crop."""

PASSPHRASE = "correct horse battery"
LIKENESS, DOUBLE = "ben", "anna"

PASS_THROUGH = np.eye(3, dtype=np.float32)
TINT = np.array([[0.6, 0.3, 0.0], [0.1, 0.7, 0.1], [0.0, 0.2, 0.6]], np.float32)
"""A mix of channels that no exposure or relight can undo."""


def disc(size: int = SIZE, *, radius: float = 0.36, soft: float = 0.04) -> F32:
    """(size, size) coverage of a disc in the middle; lengths are fractions of the side."""
    at = (np.arange(size) + 0.5) / size - 0.5
    distance = np.hypot(at[:, None], at[None, :])
    return np.clip((radius - distance) / soft + 0.5, 0.0, 1.0).astype(np.float32)


def network(
    mix: F32 = TINT,
    *,
    mask: F32 | None = None,
    size: int = SIZE,
    constant: F32 | None = None,
    tells: bool = False,
) -> bytes:
    """ONNX bytes: rgb = `mix` applied to the crop's channels (or `constant`), mask the same on every crop.

    Args:
        mix: (3, 3) float32.
        mask: (size, size) float32; None is `disc(size)`.
        size: side of the crop.
        constant: (3,) float32 colour painted instead.
        tells: it gives outline and front, too: it sees hardly anything before the face (0.02).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    coverage = disc(size) if mask is None else mask
    weight = mix if constant is None else np.zeros((3, 3), np.float32)
    bias = np.zeros(3, np.float32) if constant is None else constant.astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["crop", "weight", "bias"], ["rgb"], kernel_shape=[1, 1]),
        *(helper.make_node("Identity", ["coverage"], [name]) for name in ("mask", "outline")[: 1 + tells]),
        *(helper.make_node("Identity", ["hardly"], [name]) for name in ("front",)[:tells]),
    ]
    graph = helper.make_graph(
        nodes,
        "swap",
        [helper.make_tensor_value_info("crop", TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("rgb", TensorProto.FLOAT, [1, 3, size, size]),
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, size, size])
                for name in ("mask", "outline", "front")[: 3 if tells else 1]
            ),
        ],
        [
            numpy_helper.from_array(weight.reshape(3, 3, 1, 1).astype(np.float32), "weight"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(coverage.reshape(1, 1, size, size).astype(np.float32), "coverage"),
            *([numpy_helper.from_array(np.full((1, 1, size, size), 0.02, np.float32), "hardly")] if tells else []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def card(size: int = SIZE, **changes: Any) -> vfxmodel.ModelCard:
    """What the test model says of itself."""
    fields: dict[str, Any] = {
        "architecture": "test",
        "resolution": size,
        "template": align.TEMPLATE,
        "encoding": "srgb",
        "exposure": "shot median skin 0.18",
        "performers": vfxmodel.Performers(likeness=LIKENESS, double=DOUBLE),
        "consents": ({"id": "none", "sha256": "0" * 64},),
        "data": {},
    }
    return vfxmodel.ModelCard(**{**fields, **changes})


@dataclass(frozen=True)
class Studio:
    """Models, and consents of ben (likeness) and anna (double) that cover every one of them."""

    root: Path
    consents: tuple[Path, ...]

    @staticmethod
    def make(root: Path) -> Studio:
        """Keys, a ring and consents in `root`."""
        ring, private = root / "ring", root / "private"
        ring.mkdir(parents=True)
        private.mkdir()
        now = datetime.now(UTC).replace(microsecond=0)
        start, end = now - timedelta(days=30), now + timedelta(days=300)
        people: dict[str, tuple[trust.KeyRole, tuple[str, ...]]] = {
            "perf-ben": ("performer", ("ben",)),
            "perf-anna": ("performer", ("anna",)),
            "prod": ("production", ("ben", "anna")),
            "revoker": ("revocation", ("*",)),
        }
        for kid, (role, performers) in people.items():
            pair = trust.keygen(
                private,
                kid=kid,
                role=role,
                performers=performers,
                passphrase=PASSPHRASE,
                not_before=start,
                not_after=end,
            )
            shutil.copy(pair.public, ring)
        trust.revoke(
            [], ring=KeyRing.load(ring), key_file=private / "revoker.key.pem", passphrase=PASSPHRASE, clock=lambda: now
        )
        consents = tuple(_consent(root, performer, start, end) for performer in (LIKENESS, DOUBLE))
        return Studio(root, consents)

    @property
    def keyring(self) -> Path:
        """The folder of trusted keys."""
        return self.root / "ring"

    def gate(self) -> Gate:
        """The real gate over the real consents."""
        return Gate(KeyRing.load(self.keyring), self.consents)

    def model(self, name: str = "tint", onnx_bytes: bytes | None = None, **changes: Any) -> Path:
        """A .vfxmodel; the same name is the same file."""
        path = self.root / f"{name}.vfxmodel"
        if not path.exists():
            vfxmodel.write(path, card=card(**changes), onnx=network() if onnx_bytes is None else onnx_bytes)
        return path

    def open(self, path: Path) -> vfxmodel.SwapModel:
        """The model, opened as a job opens it."""
        found = vfxmodel.read_card(path)
        grant = self.gate().authorize(
            shot=trust.ShotId.local("plate"),
            use="swap",
            performers=found.performers.by_role(),
            model_sha256=found.onnx_sha256,
            origin=found.origin(),
        )
        return vfxmodel.SwapModel(path, grant=grant, device="cpu")


def _consent(root: Path, performer: str, start: datetime, end: datetime) -> Path:
    record = trust.new_consent(
        performer=performer,
        roles=["likeness" if performer == LIKENESS else "double"],
        uses=["train", "swap", "publish"],
        purpose="Tests.",
        scope=["*/*/*"],
        not_before=start,
        not_after=end,
        models="any",
    )
    path = root / f"{performer}.consent.json"
    trust.write_record(path, record)
    for kid in (f"perf-{performer}", "prod"):
        trust.sign(path, key_file=root / "private" / f"{kid}.key.pem", passphrase=PASSPHRASE)
    return path


# ------------------------------------------------------------------------------------------------- plates


def astronaut(size: int = 256, *, shift: float = 0.0) -> F32:
    """(size, size, 3) scene-linear picture of a real face (NASA, public domain), moved right by `shift` pixels."""
    import cv2

    photo = (skimage.data.astronaut()[:260, 90:350] / 255.0).astype(np.float32)
    scale = size / 260
    matrix = np.array([[scale, 0.0, shift + scale / 2 - 0.5], [0.0, scale, scale / 2 - 0.5]])
    moved = cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32) ** np.float32(2.2)


def write_frame(path: Path, rgb: Any, *, frame: int = 1001, **layout: Any) -> Path:
    """An EXR of (H, W, 3) pixels as half (or as they are when float32 is asked for by `dtype`)."""
    kind = layout.pop("dtype", np.float16)
    channels = {letter: np.ascontiguousarray(rgb[..., i]).astype(kind) for i, letter in enumerate("RGB")}
    attributes: dict[str, exr.Attribute] = {"vfxtest:frame": frame}
    exr.write_channels(path, channels=channels | layout.pop("extra", {}), attributes=attributes, **layout)
    return path


def write_plate(folder: Path, *, frames: int = 4, size: int = 256, first: int = 1001) -> str:
    """Half EXR frames of a slowly moving face; returns the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        write_frame(folder / f"shot.{first + i}.exr", astronaut(size, shift=1.25 * i), frame=first + i)
    return str(folder / "shot.####.exr")


def job(studio: Studio, plate: str, output: Path, **fields: Any) -> SwapJob:
    """A job on the CPU with the test model."""
    made: dict[str, Any] = {
        "plate": plate,
        "output": str(output / "out.####.exr"),
        "model": studio.model(),
        "consents": studio.consents,
        "keyring": studio.keyring,
        "device": "cpu",
    }
    return SwapJob.make(**{**made, **fields})


def digests(folder: Path) -> dict[str, str]:
    """Name -> sha256 of every visible file in `folder`."""
    return {item.name: archive.sha256(item.read_bytes()) for item in sorted(folder.glob("*.exr"))}


def face(x: float, y: float, size: float, *, squeeze: float = 1.0, confidence: float = 0.9) -> FaceFrame:
    """A face that looks straight ahead: the middle of its frame at (x, y), `size` plate rows high.

    Args:
        x: plate position.
        y: plate position.
        size: height in rows.
        squeeze: the plate's pixel aspect; the face is narrower by this.
        confidence: of the track.
    """
    similarity = np.array([[squeeze / size, 0.0, 0.5 - squeeze * x / size], [0.0, 1 / size, 0.5 - y / size]])
    flat = np.concatenate([mesh.template(), np.full((10, 2), 0.4)])
    points = np.zeros((mesh.COUNT, 3))
    points[:, :2] = geometry.transform(geometry.invert(similarity), flat)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return FaceFrame(
        box=np.concatenate([low, high]),
        landmarks=points,
        confidence=confidence,
        presence=1.0,
        pose_deg=(0.0, 0.0, 0.0),
        similarity=similarity,
    )


def script(path: Path) -> ModuleType:
    """A script that is no part of the package, as a module; dataclasses look theirs up among the loaded ones."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
