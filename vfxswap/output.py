"""What is written of a frame: the comp, all its ingredients, or the face alone; and passes beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vfxswap import align, exr
from vfxswap.face import uv
from vfxswap.geometry import Window
from vfxswap.job import Layers, Pass
from vfxswap.pixels import F32, AnyArray
from vfxswap.render import Picture, Swapped, Target

_RGB = ("R", "G", "B")
_COLORS = tuple(f"{name}.{letter}" for name in ("face", "raw", "gain", "grain") for letter in _RGB)
_MATTES = tuple(f"matte.{cause}" for cause in ("face", "model", "occlusion", "person", "artist", "eyes", "mouth"))
_OF_A_FACE = (*_COLORS[:3], "face.A", *_COLORS[3:], *_MATTES, "quality.confidence")
_POSITIONS = ("stmap.u", "stmap.v")


def write(
    pictures: Sequence[Picture],
    path: Path,
    *,
    layers: Layers,
    hints: Mapping[str, str],
    record: exr.Record | None = None,
) -> exr.WriteReport:
    """Write a frame atomically.

    Args:
        pictures: its views, at least one, all of one file.
        path: the output.
        layers: what is written.
        hints: header hints, see `header`.
        record: told the file's fingerprint right before it appears.

    Raises:
        OutputError, ResourceError, FrameError: as `exr.write_frame`.
    """
    if layers == "patch":
        return exr.write_patch(path, patches=[_patch(picture) for picture in pictures], hints=hints, record=record)
    edits = [
        exr.Edit(
            frame=picture.image,
            rgb=picture.rgb,
            window=picture.window,
            layers=ingredients(picture) if layers == "ingredients" else {},
        )
        for picture in pictures
    ]
    return exr.write_frame(pictures[0].image, path, edits=edits, hints=hints, record=record)


def ingredients(picture: Picture) -> dict[str, AnyArray]:
    """Every layer over the picture's window; all are there on every frame, without a face they are empty.

    A second face has layers of its own: `face2.R`, `matte2.face`, `stmap2.u` ...
    """
    window = picture.window
    shape = (window.height, window.width)
    out: dict[str, AnyArray] = {}
    for suffix in picture.suffixes:
        for name in _OF_A_FACE:
            out[_suffixed(name, suffix)] = np.zeros(shape, np.float16)
        for name in _POSITIONS:
            out[_suffixed(name, suffix)] = np.zeros(shape, np.float32)
    for i, letter in enumerate(_RGB):
        out[f"delta.{letter}"] = exr.to_half(picture.delta[..., i])[0] if shape[0] else np.zeros(shape, np.float16)
    for suffix, swap in picture.swaps.items():
        where = swap.window.slices(window)
        for name, value in _layers(swap).items():
            out[_suffixed(name, suffix)][where] = value
    return out


def _suffixed(name: str, suffix: str) -> str:
    layer, _, channel = name.partition(".")
    return f"{layer}{suffix}.{channel}"


def _layers(swap: Swapped) -> dict[str, AnyArray]:
    """The layers of one face over its window, in the types they are written in."""
    out: dict[str, AnyArray] = {f"face.{letter}": exr.to_half(swap.color[..., i])[0] for i, letter in enumerate(_RGB)}
    out |= {"face.A": swap.alpha, "matte.face": swap.alpha}
    out |= {name: exr.to_half(value)[0] for name, value in swap.layers.items()}
    if "matte.artist" not in out:
        out["matte.artist"] = np.ones(swap.alpha.shape, np.float16)
    certain = np.abs(swap.layers["matte.model"] * 2 - 1) * swap.face.confidence
    out["quality.confidence"] = certain.astype(np.float16)
    stmap = align.stmap(matrix=swap.matrix, window=swap.window, size=swap.size, lens=swap.lens)
    out["stmap.u"], out["stmap.v"] = stmap[..., 0], stmap[..., 1]
    return out


def _patch(picture: Picture) -> exr.Patch:
    """R, G, B, A of the premultiplied faces over their window, half."""
    window = _some(picture.window)
    color = np.zeros((window.height, window.width, 3), np.float32)
    through = np.ones((window.height, window.width), np.float32)
    for swap in picture.swaps.values():
        where = swap.window.slices(window)
        behind = 1.0 - swap.alpha.astype(np.float32)
        color[where] = color[where] * behind[..., None] + swap.color
        through[where] *= behind
    channels = {letter: exr.to_half(color[..., i])[0] for i, letter in enumerate(_RGB)}
    alpha = (1.0 - through).astype(np.float16)
    if len(picture.swaps) == 1:
        (alpha,) = (swap.alpha for swap in picture.swaps.values())
    return exr.Patch(picture.image, window, channels | {"A": alpha}, same_space=picture.linear)


# ------------------------------------------------------------------------------------------------- passes


def passes_of(kind: Pass, targets: Sequence[Target]) -> tuple[str, ...]:
    """What a pass's files are called beside the output's: one, or one for each face."""
    if kind is Pass.UV:
        return (kind,)
    views = {target.plate.view or "" for target in targets}
    return tuple(f"{kind}{target.suffix}" + (f"_{target.plate.view}" if len(views) > 1 else "") for target in targets)


def write_passes(
    paths: Sequence[Path],
    pictures: Sequence[Picture],
    passes: Sequence[Pass],
    *,
    targets: Sequence[Target],
    hints: Mapping[str, str],
    record: exr.Record | None = None,
) -> tuple[str, ...]:
    """Write the files that `passes_of` names, in its order; returns what could not be kept, in words.

    `record` is told the fingerprint of each.
    """
    left = list(paths)
    notes: list[str] = []
    for kind in passes:
        if kind is Pass.UV:
            notes += _write_uv(pictures, left.pop(0), hints=hints, record=record).notes
            continue
        for target in targets:
            picture = next(p for p in pictures if target.plate.view in (None, p.image.view))
            notes += _write_inverse(picture, target, left.pop(0), hints=hints, record=record).notes
    return tuple(notes)


def _write_uv(
    pictures: Sequence[Picture], path: Path, *, hints: Mapping[str, str], record: exr.Record | None
) -> exr.WriteReport:
    """The texture coordinates of the faces: R u, G v (0..1, y up), A where a face is; float, the plate's size."""
    patches = []
    for picture in pictures:
        window = _some(picture.window)
        out: F32 = np.zeros((window.height, window.width, 3), np.float32)
        for swap in picture.swaps.values():
            found = uv.uv_pass(swap.face.landmarks, window=window)
            out = np.where(found[..., 2:] > 0, found, out)
        planes = {"R": out[..., 0], "G": out[..., 1], "B": np.zeros_like(out[..., 0]), "A": out[..., 2]}
        channels = {name: np.ascontiguousarray(plane) for name, plane in planes.items()}
        patches.append(exr.Patch(picture.image, window, channels, same_space=False))
    return exr.write_patch(path, patches=patches, hints=hints, record=record)


def _write_inverse(
    picture: Picture, target: Target, path: Path, *, hints: Mapping[str, str], record: exr.Record | None
) -> exr.WriteReport:
    """Crop raster -> plate position: R u, G v, Nuke's convention over the display window; float."""
    swap = picture.swaps.get(target.suffix)
    size = target.model.resolution
    display = picture.image.display_window
    out: F32 = np.zeros((size, size, 2), np.float32)
    if swap is not None:
        out = align.inverse_stmap(
            matrix=swap.matrix, size=size, display=(display.width, display.height), lens=swap.lens
        )
    channels = {name: np.ascontiguousarray(out[..., i]) for i, name in enumerate("RG")}
    return exr.write_channels(path, channels=channels, attributes=dict(hints), record=record)


def _some(window: Window) -> Window:
    """`window`, or one pixel where it is empty: a frame without a face still is a file."""
    return Window(window.x, window.y, 1, 1) if window.empty else window


# ------------------------------------------------------------------------------------------------- header


def header(
    *, key: str, targets: Sequence[Target], pictures: Sequence[Picture], consents: Mapping[str, str], frame: int
) -> dict[str, str]:
    """EXR header hints. They hold no time, path, host or range, so bytes do not depend on them."""
    models = dict.fromkeys(target.model.card.onnx_sha256 for target in targets)
    first = targets[0]
    record = first.plate.config.record()
    space = first.measurements.space(frame, config=first.plate.config, encoding=first.model.card.encoding)
    altered = any((swap.alpha > 0).any() for picture in pictures for swap in picture.swaps.values())
    return {
        "vfxswap:altered": "1" if altered else "0",
        "vfxswap:job": key,
        "vfxswap:model": " ".join(models),
        "vfxswap:consent": " ".join(sorted(consents)),
        "vfxswap:confidence": f"{min(picture.confidence for picture in pictures):.3f}",
        "vfxswap:exposure": f"{np.log2(space.gain):.4f}",
        "vfxswap:encoding": " ".join(dict.fromkeys(target.model.card.encoding for target in targets)),
        "vfxswap:ocio": f"{record['id']} {record['hash']}",
        "vfxswap:space": first.plate.layer_space,
    }
