"""Every frame of a sequence, looked at once: its header, and its pixels beside the plate's."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vfxswap import exr
from vfxswap.errors import VfxSwapError
from vfxswap.events import CancelToken, EventSink, Progress
from vfxswap.geometry import Window
from vfxswap.measure import face_window
from vfxswap.publish import header
from vfxswap.publish.pair import Compared, Mask, compare, compare_patch
from vfxswap.publish.request import Item
from vfxswap.publish.rules import Finding
from vfxswap.sequence import FrameRange

WORKERS: Final = 4
"""Frames are decoded side by side; each holds its pixels and the plate's."""

_FACE_SIZE = 256
_LEAST: Final = 64
_BRIGHT: Final = 16.0
"""A few pixels say nothing of a face's light; neither does a lamp among them."""


@dataclass(frozen=True)
class Fault:
    """Something wrong with one frame. `text` is the same for every frame that has it, `detail` is this one's own."""

    code: str
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Look:
    """What one frame is.

    Attributes:
        faults: what is wrong with it.
        pixels: whether they were looked at.
        covered: whether its mattes cover anything; None where it has none, or they were not looked at.
        gain: log2 of the picture's light over the plate's where they differ; None where they do not.
    """

    frame: int
    faults: tuple[Fault, ...]
    pixels: bool = False
    covered: bool | None = None
    gain: float | None = None


def looks(
    item: Item,
    frames: Sequence[int],
    *,
    pixels: frozenset[int],
    altered: Mapping[int, bool],
    sink: EventSink,
    cancel: CancelToken,
) -> list[Look]:
    """Look at frames that are on disk.

    Args:
        item: the sequence.
        frames: which.
        pixels: those whose pixels are read, too.
        altered: by the signed record: whether a face was replaced. Of others it is not known.
        sink: told of progress.
        cancel: polled between frames.
    """
    found: list[Look] = []
    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1), "look") as pool:
        waiting = [
            pool.submit(look, item, frame, pixels=frame in pixels, altered=altered.get(frame, True)) for frame in frames
        ]
        try:
            for done, future in enumerate(waiting, start=1):
                cancel.check()
                found.append(future.result())
                sink.emit(Progress(stage="look", done=done, total=len(frames), frame=frames[done - 1]))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return found


def look(item: Item, frame: int, *, pixels: bool, altered: bool) -> Look:
    """Look at one frame; see `looks`."""
    layers = item.layers
    try:
        result = exr.probe(item.output.path(frame), frame=frame)
    except VfxSwapError as error:
        return Look(frame, (Fault("VS-SEQ-003", "cannot be read", error.message),))
    try:
        plate = exr.probe(item.plate.sequence.path(frame), frame=frame)
    except VfxSwapError as error:
        return Look(frame, (Fault("VS-SEQ-006", "the plate cannot be read", error.message),))
    faults = [Fault(code, text) for code, text in header.faults(plate, result, layers)]
    if not pixels:
        return Look(frame, tuple(faults))
    alike = layers == "patch" or not {"VS-IMG-001", "VS-IMG-002", "VS-IMG-004"} & {fault.code for fault in faults}
    try:
        after = _patch(item, frame) if layers == "patch" else finished(item, frame)
    except VfxSwapError as error:
        return Look(frame, (*faults, Fault("VS-SEQ-003", "cannot be read", error.message)))
    if not alike:  # pixels of another raster cannot be compared, and the frame is refused for that
        return Look(frame, tuple(faults))
    try:
        before = item.plate.read(frame)
    except VfxSwapError as error:
        return Look(frame, (*faults, Fault("VS-SEQ-006", "the plate cannot be read", error.message)))
    if layers == "patch":
        found, gain = compare_patch(after), None
    else:
        found = compare(before, after, allowed=windows(item, frame), altered=altered)
        gain = None if found.differ is None else _gain(item, before, after, found.differ)
    return Look(frame, (*faults, *_pixel_faults(found)), True, found.covered, gain)


def finished(item: Item, frame: int) -> exr.Frame:
    """A finished frame with the plate's picture selected; a patch is laid over the plate.

    Raises:
        FrameError, PlateError: it, or the plate under a patch, cannot be read.
    """
    if item.layers != "patch":
        return exr.read(item.output.path(frame), part=item.plate.part, view=item.plate.view, frame=frame)
    below = item.plate.read(frame)
    pixels = below.selected_pixels().copy()
    patch = _patch(item, frame)
    where = patch.origin_window.intersect(below.origin_window)
    over = patch.rgb[where.slices(patch.origin_window)].astype(np.float32)
    alpha = (
        np.ones(over.shape[:2], np.float32) if patch.alpha is None else patch.alpha[where.slices(patch.origin_window)]
    )
    area = pixels[where.slices(below.origin_window)]
    for position, channel in enumerate(below.rgb_index):
        area[..., channel] = area[..., channel] * (1 - alpha.astype(np.float32)) + over[..., position]
    return replace(below, pixels=tuple(pixels if at == below.selected else old for at, old in enumerate(below.pixels)))


def _patch(item: Item, frame: int) -> exr.Frame:
    """The patch of the plate's view, where it has one for each."""
    path = item.output.path(frame)
    view = item.plate.view if len(exr.probe(path, frame=frame).views) > 1 else None
    return exr.read(path, view=view, frame=frame)


def windows(item: Item, frame: int) -> list[Window] | None:
    """Where the swap of a frame may change the plate; None where no track says it."""
    if item.faces is None:
        return None
    lens = item.plate.lens(frame)
    there = [faces[frame] for faces in item.faces if frame in faces]
    return [face_window(face, size=_FACE_SIZE, lens=lens) for face in there]


def _pixel_faults(found: Compared) -> Iterator[Fault]:
    if found.bad.count:
        yield Fault(
            "VS-IMG-007",
            "values are NaN or Inf where the plate's are not",
            f"{found.bad.count}, the first {found.bad.where}",
        )
    if found.range is not None:
        yield Fault("VS-IMG-008", "coverage is outside 0..1", f"{found.range[0]:.4g}..{found.range[1]:.4g}")
    if found.negative:
        yield Fault("VS-IMG-009", "values are negative where the plate has none", f"{found.negative} values")
    count, most = found.stray
    if count:
        yield Fault("VS-MAT-003", "pixels outside the matte are not the plate's", f"{count}, by {most:.4g} at most")


def _gain(item: Item, before: exr.Frame, after: exr.Frame, differ: Mask) -> float | None:
    """log2 of the mean light of the finished picture over the plate's, where they differ."""
    if int(differ.sum()) < _LEAST:
        return None
    rows, columns = np.flatnonzero(differ.any(axis=1)), np.flatnonzero(differ.any(axis=0))
    held = before.origin_window
    window = Window(
        held.x + int(columns[0]),
        held.y + int(rows[0]),
        int(columns[-1] - columns[0]) + 1,
        int(rows[-1] - rows[0]) + 1,
    )
    where = differ[window.slices(held)]
    means = []
    for image in (before, after):
        light, _ = item.plate.working(image, window)
        values = np.clip(light[where], 0, _BRIGHT)
        means.append(float(np.nanmean(values)))
    return float(np.log2(means[1] / means[0])) if min(means) > 0 else None


def gathered(name: str, found: Iterable[Look]) -> list[Finding]:
    """The faults of all frames, those that are the same in one finding."""
    grouped: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for one in found:
        for fault in one.faults:
            grouped[fault.code, fault.text].append((one.frame, fault.detail))
    findings = []
    for (code, text), where in sorted(grouped.items()):
        frames = tuple(frame for frame, _ in where)
        first = next((f" (frame {frame}: {detail})" for frame, detail in where if detail), "")
        findings.append(Finding(code, f"frames {FrameRange.of(frames)}: {text}{first}", name, frames))
    return findings
