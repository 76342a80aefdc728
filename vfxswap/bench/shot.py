"""A shot's frames through the pipeline, outside of the network."""

from __future__ import annotations

from collections.abc import Mapping

from vfxswap import exr
from vfxswap.bench.material import FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Step, interleaved
from vfxswap.events import CancelToken, NullSink
from vfxswap.face.track import FaceFrame
from vfxswap.frames import Sheet, Shot, render_frames
from vfxswap.job import Layers, SwapJob, SwapParameters
from vfxswap.output import write
from vfxswap.render import Target, compose, swap_face
from vfxswap.sequence import SequencePath

TARGET, PATCH_TARGET = 1.3, 0.8


def swap(material: Material, rounds: int) -> Result:
    """Render frames with the pipeline, against reading and writing them alone.

    `read and write` reads each frame and writes it as a comp, one after the other, with the same functions, the
    same compression and the same checks of what was written; `read, write and hash` hashes it for the record as well,
    as every rendered frame is. `swap` is `frames.render_frames` over the same
    frames as comps, everything but the network: that is one which paints what it sees and costs nothing.
    `swap without faces` is the pipeline where every frame passes through: what its threads make of reading and
    writing. The stages of one frame are shown by
    themselves, too. Wall time is the target; the CPU time that a render farm pays for is shown beside it. Comps are
    held against what is hashed, so that hashing is no part of the ratio; patches, which bring their hashing along,
    against reading and writing alone.
    """
    plate = material.plate

    def shot(faces: Mapping[int, FaceFrame], layers: Layers = "comp") -> Shot:
        output = SequencePath.parse(str(material.folder / layers / "out.####.exr"))
        job = SwapJob.make(
            plate=plate.sequence.pattern, output=output.pattern, model="none", layers=layers, overwrite=True
        )
        target = Target(plate, Mirror(), faces, material.measurements, SwapParameters())
        return Shot(job, (Sheet(plate, output, {None: (target,)}),), {})

    def alone(record: exr.Record | None = None) -> None:
        for frame in plate.frames:
            material.copy(frame, record=record)

    def render(ready: Shot) -> None:
        render_frames(ready, sink=NullSink(), cancel=CancelToken())

    image = plate.read(1)
    target = Target(plate, Mirror(), {1: material.face}, material.measurements, SwapParameters())
    swapped = swap_face(target, image, frame=1)
    picture = compose(image, {"": swapped}, plate=plate)
    stages = {
        "one frame: read": lambda: plate.read(1),
        "one frame: crop, paint, relight": lambda: swap_face(target, image, frame=1),
        "one frame: put into the plate": lambda: compose(image, {"": swapped}, plate=plate),
        "one frame: write": lambda: write([picture], material.folder / "one.exr", layers="comp", hints={}),
    }
    faces = dict.fromkeys(plate.frames, material.face)
    whole_shot, empty_shot, patches_shot = shot(faces), shot({}), shot(faces, "patch")
    steps: dict[str, Step] = {
        **stages,
        f"read and write, {FRAMES} frames": alone,
        f"read, write and hash, {FRAMES} frames": lambda: alone(lambda _fingerprint: None),
        f"swap, {FRAMES} frames": lambda: render(whole_shot),
        f"swap without faces, {FRAMES} frames": lambda: render(empty_shot),
        f"swap to patches, {FRAMES} frames": lambda: render(patches_shot),
    }
    found = interleaved(steps, rounds=rounds)
    base, hashed, whole, empty, patches = list(steps)[len(stages) :]
    ratios = (
        Ratio("swap over read, write and hash", found.ratio(whole, hashed), at_most=TARGET),
        Ratio("swap over read, write and hash, CPU", found.ratio(whole, hashed, cpu=True)),
        Ratio("swap to patches over read and write", found.ratio(patches, base), at_most=PATCH_TARGET),
        Ratio("swap to patches over read and write, CPU", found.ratio(patches, base, cpu=True)),
        Ratio("swap over swap without faces", found.ratio(whole, empty)),
        Ratio("hashing over read and write, CPU", found.ratio(hashed, base, cpu=True) - 1.0),
    )
    return Result("swap", material.words, found.stages(), ratios)
