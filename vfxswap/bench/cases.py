"""The single stages: files, colour, networks, tracking."""

from __future__ import annotations

import re

import numpy as np

from vfxswap import exr, infer, output, render
from vfxswap.bench.material import COPY, FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Step, interleaved
from vfxswap.color import ModelSpace
from vfxswap.errors import TrackError
from vfxswap.face import shot
from vfxswap.face.solve import Networks
from vfxswap.job import Layers, SwapParameters
from vfxswap.measure import face_window
from vfxswap.pixels import AnyArray, ModelRgb, WorkingRgb

PATCH_TARGET = 3.0
"""How many times cheaper the face alone is to write than the whole comp."""


def io(material: Material, rounds: int) -> Result:
    """Read a frame; write it as comp, as the face alone, and with all its ingredients."""
    plate = material.plate
    image = plate.read(1)
    target = render.Target(plate, Mirror(), {1: material.face}, material.measurements, SwapParameters())
    swapped = render.swap_face(target, image, frame=1, everything=True)
    picture = render.compose(image, {"": swapped}, plate=plate, everything=True)

    def write(layers: Layers) -> exr.WriteReport:
        return output.write([picture], material.folder / f"{layers}.exr", layers=layers, hints={})

    steps: dict[str, Step] = {
        "read": lambda: plate.read(1),
        "write comp": lambda: write("comp"),
        "write patch": lambda: write("patch"),
        "write ingredients": lambda: write("ingredients"),
        COPY: material.copy,
    }
    found = interleaved(steps, rounds=rounds)
    ratios = (
        Ratio("comp over patch", found.ratio("write comp", "write patch"), at_least=PATCH_TARGET),
        Ratio("ingredients over comp", found.ratio("write ingredients", "write comp")),
        Ratio("write comp over read", found.ratio("write comp", "read")),
        *(Ratio(f"{name} over reading and writing", found.ratio(name, COPY)) for name in list(steps)[:-1]),
    )
    return Result("io", material.words, found.stages(), ratios)


def color(material: Material, rounds: int) -> Result:
    """Convert the face's window and the whole frame: to model space and back with highlights restored."""
    plate = material.plate
    image = plate.read(1)
    space = ModelSpace(plate.config, 1.0)
    frame, _ = plate.working(image)
    window, _ = plate.working(image, face_window(material.face, size=Mirror().resolution))

    def there_and_back(rgb: WorkingRgb) -> WorkingRgb:
        return space.restore(space.encode(rgb), rgb)

    steps: dict[str, Step] = {
        "face's window": lambda: there_and_back(window),
        "whole frame": lambda: there_and_back(frame),
        "ACES2065-1 to working, frame": lambda: plate.config.to_working("ACES2065-1").apply(frame),
        "encode, frame": lambda: space.encode(frame),
        COPY: material.copy,
    }
    found = interleaved(steps, rounds=rounds)
    ratios = (
        Ratio("whole frame over face's window", found.ratio("whole frame", "face's window")),
        *(Ratio(f"{name} over reading and writing", found.ratio(name, COPY)) for name in list(steps)[:-1]),
    )
    return Result("color", material.words, found.stages(), ratios)


def net(material: Material, rounds: int) -> Result:
    """Run each shipped network once on noise, on the CPU and (where there is one) the GPU; and a model, if given."""
    rng = np.random.default_rng(0)
    steps: dict[str, Step] = {}
    devices: tuple[infer.Device, ...] = ("cpu",) if infer.cuda_problem() else ("cpu", "cuda")
    for role, entry in sorted(infer.catalog().items()):
        shape = input_shape(entry.input)
        if shape is None:
            continue  # no network: the canonical mesh
        for device in devices:
            session = infer.session(infer.weights(role), device=device)
            feed = {session.inputs[0]: rng.random(shape, np.float32)}
            steps[f"{role}, {device}"] = lambda session=session, feed=feed: session.run(feed)  # type: ignore[misc]
    model = material.model
    if model is not None:
        crop = ModelRgb(rng.random((model.resolution, model.resolution, 3), np.float32))
        steps[f"model {model.card.architecture}, {model.resolution} pixels"] = lambda: model.swap(crop)
    found = interleaved(steps, rounds=rounds)
    ratios = [
        Ratio(f"{name}: CPU over GPU", found.ratio(name, name.replace(", cpu", ", cuda")))
        for name in steps
        if name.replace(", cpu", ", cuda") in steps and name.endswith(", cpu")
    ]
    return Result("net", "one run each, noise", found.stages(), tuple(ratios))


def input_shape(text: str) -> tuple[int, ...] | None:
    """The shape in a catalog entry's `input`, its letters filled in (a batch of one, 640x384); None without one."""
    match = re.search(r"\(([^)]*)\)", text)
    if match is None:
        return None
    letters = {"n": 1, "H": 384, "W": 640}
    parts = [part.strip() for part in match[1].split(",") if part.strip()]
    try:
        return tuple(letters[part] if part in letters else int(part) for part in parts)
    except ValueError:
        return None


def track(material: Material, rounds: int) -> Result:
    """Track the plate: reading, encoding, detecting, 478 landmarks from four crops, identity, smoothing.

    The ratio is to reading the same frames alone.
    """
    plate = material.plate
    networks = Networks.load()

    def follow() -> int:
        try:
            return len(shot.track_plate(plate, networks=networks).faces)
        except TrackError:
            return 0  # noise: the detector has looked all the same

    def read() -> list[AnyArray]:
        return [plate.read(frame).rgb for frame in plate.frames]

    steps: dict[str, Step] = {f"read, {FRAMES} frames": read, f"track, {FRAMES} frames": follow}
    found = interleaved(steps, rounds=rounds)
    base, whole = steps
    setup = f"{material.words}; {follow()} faces found"
    return Result("track", setup, found.stages(), (Ratio("track over read", found.ratio(whole, base)),))
