"""Faces in the plate: finding, following and describing them.

The registries below are the plug-in point: name -> factory taking `device` and `threads`. A new network is one file
and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

from vfxswap.face.detect import YuNet
from vfxswap.face.flow import DisFlow
from vfxswap.face.hands import MediaPipeHands
from vfxswap.face.identity import Embedder as DlibEmbedder
from vfxswap.face.landmarks import Mesh478
from vfxswap.face.person import PersonMatte
from vfxswap.face.protocols import Detector, Embedder, Flow, HandFinder, Landmarker, Parser

__all__ = [
    "DETECTORS",
    "EMBEDDERS",
    "FLOWS",
    "HANDS",
    "LANDMARKERS",
    "PARSERS",
    "DisFlow",
    "DlibEmbedder",
    "MediaPipeHands",
    "Mesh478",
    "PersonMatte",
    "YuNet",
]

DETECTORS: dict[str, Callable[..., Detector]] = {"yunet": YuNet}
LANDMARKERS: dict[str, Callable[..., Landmarker]] = {"mesh478": Mesh478}
EMBEDDERS: dict[str, Callable[..., Embedder]] = {"dlib": DlibEmbedder}
FLOWS: dict[str, Callable[..., Flow]] = {"dis": DisFlow}
PARSERS: dict[str, Callable[..., Parser]] = {"selfie": PersonMatte}
HANDS: dict[str, Callable[..., HandFinder]] = {"mediapipe": MediaPipeHands}
