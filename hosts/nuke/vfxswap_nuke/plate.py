"""The plate: the files of a Read where that is all there is above the node, else what the node sees, exported."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

import nuke

from vfxswap_bridge import BridgeError
from vfxswap_nuke import color, frames, knobs, upstream

_EXPORTED = "plate.json"

_ERRORS: tuple[type[Exception], ...] = (RuntimeError, getattr(nuke, "CancelledError", RuntimeError))
"""What an execute that fails or is cancelled raises."""


@dataclass(frozen=True)
class Plate:
    """What a job works on.

    Attributes:
        pattern: its files.
        space: the colour space of their pixels.
        upstream: what is above the node, in words, where the files are an export.
    """

    pattern: str
    space: str
    upstream: str = ""

    def files(self, wanted: Iterable[int], views: Iterable[str] = ("main",)) -> list[str]:
        """The names of some frames' files."""
        return [path for view in views for path in (expand(self.pattern, frame, view) for frame in wanted)]


def expand(pattern: str, frame: int, view: str = "main") -> str:
    """One frame's file: `%04d`, `####`, `%V` and `%v` filled in."""
    text = pattern.replace("%V", view).replace("%v", view[:1])
    text = re.sub(r"%0?(\d*)d", lambda found: f"{frame:0{int(found[1] or 1)}d}", text)
    return re.sub(r"#+", lambda found: f"{frame:0{len(found[0])}d}", text)


def direct(node: nuke.Node, script: color.Color) -> Plate | None:
    """The Read above the node, reached through Dots alone, if its files are what the node sees; else None."""
    above = node.input(0)
    while above is not None and above.Class() == "Dot":
        above = above.input(0)
    if above is None or above.Class() != "Read" or not _plain(above):
        return None
    pattern = (nuke.filename(above) or "").replace("\\", "/")
    if not pattern.lower().endswith(".exr") or not color.is_linear_read(above, script):
        return None
    return Plate(pattern, color.of_read(above, script))


def _plain(read: nuke.Node) -> bool:
    """Whether a Read hands on frame N of its files as frame N."""

    def value(name: str, default: object) -> object:
        knob = read.knob(name)
        return default if knob is None else knob.value()

    return not value("disable", False) and not str(value("frame", "")).strip()


def export(
    node: nuke.Node,
    folder: str,
    wanted: list[int],
    views: list[str],
    script: color.Color,
) -> Plate:
    """Write what the node sees as raw half EXR, unless exactly that was written before.

    Args:
        node: the VfxSwap.
        folder: where the files go.
        wanted: the frames.
        views: the views; several make a file each.
        script: the colour settings: raw pixels are in the working space.

    Raises:
        BridgeError: nothing is connected, the export was cancelled, or a file is not there afterwards.
    """
    source = node.input(0)
    if source is None:
        raise BridgeError("nothing is connected to the plate input", "connect the plate")
    pattern = f"{folder}/plate" + (".%V" if len(views) > 1 else "") + ".%04d.exr"
    plate = Plate(pattern, script.working, upstream.describe(source))
    facts = {"upstream": plate.upstream, "frames": frames.text(wanted), "views": views, "space": plate.space}
    paths = plate.files(wanted, views)
    if _read(folder) == facts and all(_there(path) for path in paths):
        return plate
    os.makedirs(folder, exist_ok=True)
    try:
        with knobs.around(node):
            _write(source, pattern, wanted, views)
    except BridgeError:
        shutil.rmtree(folder)  # half a plate helps nobody, and the folder is ours
        raise
    missing = [path for path in paths if not _there(path)]
    if missing:
        raise BridgeError(
            f"Nuke wrote nothing into {len(missing)} of {len(paths)} files, the first: {missing[0]}",
            "look at the plate at that frame, and whether the disk is full",
        )
    with open(f"{folder}/{_EXPORTED}", "w", encoding="utf-8") as file:
        json.dump(facts, file)
    return plate


def _write(source: nuke.Node, pattern: str, wanted: list[int], views: list[str]) -> None:
    """Through a Write that is there no longer afterwards."""
    write = nuke.nodes.Write(
        inputs=[source], file=pattern, file_type="exr", channels="rgb", raw=True, datatype="16 bit half",
        compression="Zip (1 scanline)", create_directories=True, autocrop=False,
    )  # fmt: skip
    try:
        for first, last in frames.runs(wanted):
            _execute(write, first, last, views)
    finally:
        nuke.delete(write)


def _execute(write: nuke.Node, first: int, last: int, views: list[str]) -> None:
    try:
        nuke.execute(write, first, last, 1, views, continueOnError=False)
    except _ERRORS as error:
        said = str(error).strip() or "cancelled"
        if "cancel" in said.lower():
            raise BridgeError("the export of the plate was cancelled") from error
        raise BridgeError(f"the plate could not be exported: {said}", "look at the nodes above") from error


def _read(folder: str) -> object:
    try:
        with open(f"{folder}/{_EXPORTED}", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _there(path: str) -> bool:
    """A file of no bytes is what is left of a write that failed."""
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False
