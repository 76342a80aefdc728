"""A shot's frames through the pipeline, outside of the network."""

from __future__ import annotations

from dataclasses import replace

from vfxswap import exr, pipeline
from vfxswap.bench.material import FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, interleaved
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.sequence import SequencePath

TARGET = 1.5


def swap(material: Material, rounds: int) -> Result:
    """Render frames with the pipeline, against reading and writing them alone.

    `read and write` reads each frame and writes it as a comp, one after the other, with the same functions, the
    same compression and the same checks of what was written. `swap` is `pipeline.render_frames` over the same
    frames as comps, everything but the network: that is one which paints what it sees and costs nothing.
    `swap without faces` is the pipeline where every frame passes through: what its threads make of reading and
    writing. Wall time is the target; the CPU time that a render farm pays for is shown beside it.
    """
    output = SequencePath.parse(str(material.folder / "out" / "out.####.exr"))
    job = SwapJob.make(plate=material.plate.sequence.pattern, output=output.pattern, model="none", overwrite=True)
    faces = dict.fromkeys(range(1, FRAMES + 1), material.face)
    ready = pipeline.Shot(job, material.plate, output, Mirror(), faces, material.measurements, {})

    def alone() -> None:
        for frame in ready.plate.frames:
            image = ready.plate.read(frame)
            exr.write_comp(image, output.path(frame), rgb=image.rgb)

    def render(shot: pipeline.Shot) -> None:
        pipeline.render_frames(shot, sink=NullSink(), cancel=CancelToken())

    steps = {
        f"read and write, {FRAMES} frames": alone,
        f"swap, {FRAMES} frames": lambda: render(ready),
        f"swap without faces, {FRAMES} frames": lambda: render(replace(ready, faces={})),
    }
    found = interleaved(steps, rounds=rounds)
    base, whole, empty = steps
    ratios = (
        Ratio("swap over read and write", found.ratio(whole, base), at_most=TARGET),
        Ratio("swap over read and write, CPU", found.ratio(whole, base, cpu=True)),
        Ratio("swap over swap without faces", found.ratio(whole, empty)),
    )
    return Result("swap", material.words, found.stages(), ratios)
