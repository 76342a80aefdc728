"""The astronaut: a photograph of a real face (NASA, public domain) and clips made of it with known motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage

from vfxswap.face import DlibEmbedder, Mesh478, YuNet
from vfxswap.face.landmarks import roi_from_detection, roi_from_landmarks
from vfxswap.face.protocols import Landmarks
from vfxswap.face.solve import Networks
from vfxswap.geometry import to_opencv
from vfxswap.pixels import F64, ModelRgb


@pytest.fixture(scope="session")
def networks() -> Networks:
    return Networks.load(device="cpu", threads=1)


@pytest.fixture(scope="session")
def detector(networks: Networks) -> YuNet:
    assert isinstance(networks.detector, YuNet)
    return networks.detector


@pytest.fixture(scope="session")
def landmarker(networks: Networks) -> Mesh478:
    assert isinstance(networks.landmarker, Mesh478)
    return networks.landmarker


@pytest.fixture(scope="session")
def embedder(networks: Networks) -> DlibEmbedder:
    assert isinstance(networks.embedder, DlibEmbedder)
    return networks.embedder


@pytest.fixture(scope="session")
def astronaut() -> ModelRgb:
    return ModelRgb((skimage.data.astronaut() / 255.0).astype(np.float32))


@pytest.fixture(scope="session")
def astronaut_landmarks(astronaut: ModelRgb, detector: YuNet, landmarker: Mesh478) -> Landmarks:
    first = landmarker(astronaut, roi_from_detection(detector(astronaut)[0]))
    return landmarker(astronaut, roi_from_landmarks(first.points))


def moved(image: ModelRgb, matrix: F64, size: tuple[int, int], *, grain: float = 0.0, seed: int = 0) -> ModelRgb:
    """`image` through `matrix` into (width, height), with grain."""
    warped = cv2.warpAffine(image, to_opencv(matrix), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(seed).normal(0.0, grain, warped.shape) if grain else 0.0
    return ModelRgb(np.clip(warped + noise, 0, 1).astype(np.float32))


def placement(scale: float, degrees: float, x: float, y: float) -> F64:
    """A similarity that turns and scales about the astronaut's face and puts it at (x, y)."""
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, (np.array([x, y]) - linear @ [223.0, 120.0])[:, None]], axis=1)
