"""The single stages: files, colour, networks, tracking."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from vfxswap import exr, infer, output, render
from vfxswap.bench import known_motion
from vfxswap.bench.material import COPY, FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Stage, Step, interleaved, opencv_threads
from vfxswap.color import ModelSpace
from vfxswap.errors import TrackError
from vfxswap.face import shot
from vfxswap.face.exposed import Source
from vfxswap.face.solve import Networks, Quality
from vfxswap.job import Layers, SwapParameters
from vfxswap.measure import face_window
from vfxswap.pixels import F64, AnyArray, ModelRgb, WorkingRgb
from vfxswap.plate import Plate

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
        condition = model.card.condition
        told = None if condition is None else np.zeros(len(condition.rest), np.float32)
        steps[f"model {model.card.architecture}, {model.resolution} pixels"] = lambda: model.swap(crop, told)
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


TRACK_STD, TRACK_STEP, TRACK_LAG, TRACK_DRAG = 0.15, 0.09, 0.05, 0.5
"""Pixels that a track of a face 300 pixels high may wobble on one axis, may change its mind from frame to frame; frames
that it may come late; pixels that it may be dragged by what covers a part of the face."""

TRACK_CPU: Final[Mapping[Quality, float]] = MappingProxyType({"default": 110.0, "fast": 40.0})
"""CPU milliseconds that a 1080p frame may cost apart from reading it."""


def track(material: Material, rounds: int) -> Result:
    """Track the plate, beside reading it; and where the plate shows a face, track that face in known motion.

    The moved face says how steady the tracks are and what each stage costs: `vfxswap track`, its `--fast`, and
    landmarks taken frame by frame with one crop as MediaPipe does (and its One-Euro filter on top); then with a bar
    that crosses the face, and rolled and zoomed three times as much.
    """
    plate = material.plate
    networks = Networks.load(device="cpu", threads=1)

    def follow() -> int:
        try:
            return len(shot.track_plate(plate, networks=networks).faces)
        except TrackError:
            return 0  # noise: the detector has looked all the same

    def read() -> list[AnyArray]:
        return [plate.read(frame).rgb for frame in plate.frames]

    image = plate.read(1)
    steps: dict[str, Step] = {
        f"read, {FRAMES} frames": read,
        f"track, {FRAMES} frames": follow,
    }
    with opencv_threads(1):
        found = interleaved(steps, rounds=rounds)
        base, whole = steps
        stages, ratios = found.stages(), (Ratio("track over read", found.ratio(whole, base)),)
        setup = f"{material.words}; {follow()} faces found"
        if material.source is None:
            return Result("track", setup, stages, ratios)
        clip = known_motion.Clip.of(plate.encoded(image, gain=plate.first_gain()), networks, size=material.size)
        spent, moved = _known_motion(clip, networks, read=_reader(plate, image))
    setup += f"; the same face {known_motion.HEIGHT * material.size[1] // 1080} pixels high in {clip.length} frames"
    return Result("track", f"{setup} of known motion, grain {known_motion.GRAIN}", (*stages, *spent), (*ratios, *moved))


def _reader(plate: Plate, image: exr.Frame) -> known_motion.Read:
    """Makes frames of the plate of pictures, all with the header of `image`."""
    gain = plate.first_gain()
    space = ModelSpace(plate.config, gain)

    def read(picture: ModelRgb) -> Callable[[], Source]:
        pixels = image.selected_pixels().copy()
        pixels[..., list(image.rgb_index)] = plate.to_file(space.decode(picture))
        frame = replace(image, pixels=tuple(pixels if i == image.selected else p for i, p in enumerate(image.pixels)))
        return lambda: shot.seen(plate, 1, frame, plate.steady_gain(frame, gain))

    return read


def _known_motion(
    clip: known_motion.Clip, networks: Networks, *, read: known_motion.Read
) -> tuple[tuple[Stage, ...], tuple[Ratio, ...]]:
    """CPU time by stage, and how steady the ways to track are; `read` makes frames of pictures.

    All of it runs on one thread, so the stages' wall time is given as their CPU time.
    """
    stages: list[Stage] = []
    ratios: list[Ratio] = []
    tracks: dict[str, F64] = {}
    for quality, allowed in TRACK_CPU.items():
        tracks[quality], spent = known_motion.tracked(clip, networks, quality=quality, read=read)
        stages += [Stage(f"{quality}, a frame: {name}", spent[name], spent[name]) for name in known_motion.STAGES]
        share = sum(spent.values()) / allowed
        ratios.append(Ratio(f"{quality}: CPU of the {allowed:g} ms allowed", share, at_most=1.0))
    tracks["frame by frame"] = known_motion.frame_by_frame(clip, networks)
    tracks["frame by frame, One-Euro"] = known_motion.one_euro(tracks["frame by frame"])
    steady = {name: known_motion.steadiness(clip, points) for name, points in tracks.items()}
    for name, found in steady.items():
        gated = name == "default"
        ratios += [
            Ratio(f"{name}: std, pixels", found.std, at_most=TRACK_STD if gated else None),
            Ratio(f"{name}: frame to frame, pixels", found.step, at_most=TRACK_STEP if gated else None),
            Ratio(f"{name}: lag, frames", abs(found.lag), at_most=TRACK_LAG if gated else None),
        ]
    ours, theirs = steady["default"], steady["frame by frame"]
    ratios.append(Ratio("frame by frame over default, std", theirs.std / ours.std))
    ratios.append(Ratio("frame by frame over default, frame to frame", theirs.step / ours.step))
    rolled = replace(clip, kind="rolled")
    found = known_motion.steadiness(rolled, known_motion.tracked(rolled, networks)[0])
    ratios.append(Ratio("rolled and zoomed: std, pixels", found.std, at_most=TRACK_STD))
    ratios.append(Ratio("rolled and zoomed: frame to frame, pixels", found.step, at_most=TRACK_STEP))
    crossed = replace(clip, kind="bar")
    dragged = known_motion.drag(crossed, tracks["default"], known_motion.tracked(crossed, networks)[0])
    theirs_dragged = known_motion.drag(
        crossed, tracks["frame by frame"], known_motion.frame_by_frame(crossed, networks)
    )
    ratios.append(Ratio("a bar crosses: usual drag, pixels", dragged["median"], at_most=TRACK_DRAG))
    ratios.append(Ratio("a bar crosses: root mean square drag, pixels", dragged["rms"]))
    ratios.append(Ratio("frame by frame over default, drag", theirs_dragged["median"] / dragged["median"]))
    return tuple(stages), tuple(ratios)
