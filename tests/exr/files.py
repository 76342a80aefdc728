"""EXR files made with the OpenEXR module, and that module as a witness of what was written."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest

from vfxswap import exr

H, W = 24, 36
RNG = np.random.default_rng(5)


def half_bits() -> Any:
    """Any half there is: NaN payloads, -0.0, denormals, Inf."""
    return RNG.integers(0, 2**16, (H, W), dtype=np.uint16).view(np.float16)


def float_bits() -> Any:
    return RNG.integers(0, 2**32, (H, W), dtype=np.uint32).view(np.float32)


def uint_bits() -> Any:
    return RNG.integers(0, 2**32, (H, W), dtype=np.uint32)


def rgb_bits() -> dict[str, Any]:
    return {name: half_bits() for name in "RGB"}


def header(**more: Any) -> dict[str, Any]:
    return {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **more}


def make(path: Path, channels: Any = None, **more: Any) -> Path:
    OpenEXR.File(header(**more), channels or rgb_bits()).write(str(path))
    return path


def make_parts(path: Path, parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> Path:
    OpenEXR.File([OpenEXR.Part(header(**head), channels, head["name"]) for head, channels in parts]).write(str(path))
    return path


def witness(path: Path) -> list[tuple[dict[str, str], dict[str, tuple[str, bytes]]]]:
    """Headers and pixels of every part as the OpenEXR module sees them, comparable bit for bit."""

    def plain(value: Any) -> str:
        if isinstance(value, np.ndarray):
            return str(value.tolist())
        return str([plain(v) for v in value]) if isinstance(value, (tuple, list)) else repr(value)

    return [
        (
            {key: plain(value) for key, value in part.header.items()},
            {name: (str(c.pixels.dtype), c.pixels.tobytes()) for name, c in part.channels.items()},
        )
        for part in OpenEXR.File(str(path), separate_channels=True).parts
    ]


def header_changes(before: Path, after: Path, part: int = 0) -> set[str]:
    old, new = witness(before)[part][0], witness(after)[part][0]
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


@contextmanager
def disk_limit(size: int):
    """No file may grow beyond `size` bytes, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def all_attributes() -> dict[str, Any]:
    timecode = OpenEXR.TimeCode()
    timecode.hours, timecode.minutes, timecode.seconds, timecode.frame = 12, 34, 56, 17
    return {
        "timeCode": timecode,
        "keyCode": OpenEXR.KeyCode(1, 2, 3, 4, 5, 4, 64),
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "colorInteropID": "lin_ap1_scene",
        "capDate": "2020:01:02 03:04:05",
        "owner": "a studio",
        "anInt": 3,
        "aFloat": 1.5,
        "aVector": np.array([1, 2, 3], np.float32),
        "someNames": ["a", "b"],
        "pixelAspectRatio": 2.0,
        "lineOrder": OpenEXR.DECREASING_Y,
        "nuke/node_hash": "abc",
        "vfxswap:consent": "earlier",
    }


def stereo(path: Path) -> Path:
    heads = [
        {"name": "rgba_right", "view": "right"},
        {"name": "depth_right", "view": "right"},
        {"name": "rgba_left", "view": "left"},
    ]
    return make_parts(path, list(zip(heads, [rgb_bits(), {"Z": float_bits()}, rgb_bits()], strict=True)))


def corpus(shared: Path, *patterns: str) -> list[Path]:
    folder = shared / "corpus" / "exr"
    found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    if not found:
        pytest.skip(f"no files in {folder}")
    return found


def write(frame: exr.Frame, path: Path, rgb: Any, *, layers: Any = None, hints: Any = None) -> exr.WriteReport:
    """One edit of the whole data window."""
    edit = exr.Edit(frame=frame, rgb=rgb, window=frame.origin_window, layers=layers or {})
    return exr.write_frame(frame, path, edits=[edit], hints=hints)
