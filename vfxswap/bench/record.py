"""What it costs to record, sign and check a shot."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vfxswap import exr, measure, output, provenance
from vfxswap.bench.material import FRAMES, Material, Mirror
from vfxswap.bench.timing import Ratio, Result, Step, interleaved
from vfxswap.errors import UsageError
from vfxswap.events import CancelToken, NullSink
from vfxswap.frames import Sheet, Shot, render_frames
from vfxswap.job import SwapJob, SwapParameters
from vfxswap.measure import Sight
from vfxswap.provenance import Shard, Trust, shards
from vfxswap.render import Target, compose, swap_face
from vfxswap.sequence import SequencePath
from vfxswap.trust.keys import PrivateKey

LENGTH = 1000
"""Frames of the shot that is signed."""

TARGET = 0.02
"""Part of the time that measuring and rendering take that signing and verifying may."""


def provenance_case(material: Material, rounds: int) -> Result:
    """Record, sign and check frames, against making them.

    `measure` and `render` are what a swap does to FRAMES frames, records included, with the demo's network where it is
    shipped; tracking comes on top and is not counted. `sign` merges the shards of LENGTH frames, `read the manifest`
    checks what was merged, whose files are of one byte; `verify` is all of verifying for the rendered frames. Signing
    and verifying LENGTH frames is the sum of the three. `write and record` is `write` with both hashes of the file.
    """
    plate, folder = material.plate, material.folder
    painter = material.model or Mirror()
    faces = dict.fromkeys(plate.frames, material.face)
    target = Target(plate, painter, faces, material.measurements, SwapParameters())
    sequence = SequencePath.parse(str(folder / "record" / "out.####.exr"))
    job = SwapJob.make(plate=plate.sequence.pattern, output=sequence.pattern, model="none", overwrite=True)
    shot = Shot(job, (Sheet(plate, sequence, {None: (target,)}),), {})
    image = plate.read(1)
    picture = compose(image, {"": swap_face(target, image, frame=1)}, plate=plate)
    one = folder / "one.exr"
    files = [sequence.path(frame) for frame in plate.frames]

    def render() -> None:
        render_frames(shot, sink=NullSink(), cancel=CancelToken())

    signer = PrivateKey("bench", "render", Ed25519PrivateKey.generate())
    render()
    provenance.merge(sequence.folder, "out", signer=signer, with_sidecar=False)
    long = _long(sequence.folder, folder / "long_record")

    def sign() -> Path:
        provenance.manifest_path(long, "out").unlink(missing_ok=True)
        return provenance.merge(long, "out", signer=signer, with_sidecar=False).path

    measure_name, render_name = f"measure, {FRAMES} frames", f"render, {FRAMES} frames"
    sign_name, read_name = f"sign, {LENGTH} frames", f"read the manifest, {LENGTH} frames"
    verify_name = f"verify, {FRAMES} frames"
    steps: dict[str, Step] = {
        measure_name: lambda: measure.measure([Sight(plate, faces)], model=painter),
        render_name: render,
        "write": lambda: output.write([picture], one, layers="comp", hints={}),
        "write and record": lambda: output.write([picture], one, layers="comp", hints={}, record=lambda found: None),
        sign_name: sign,
        read_name: lambda: provenance.verify(long, Trust()),
        verify_name: lambda: provenance.verify(sequence.folder, Trust()),
        f"decode and hash pixels, {FRAMES} frames": lambda: [exr.pixel_sha256(path) for path in files],
    }
    found = interleaved(steps, rounds=rounds)
    scale = LENGTH / FRAMES

    def share(times: Mapping[str, list[float]], *work: str) -> float:
        """Signing and verifying LENGTH frames over making them, the median of the rounds."""
        rounds = zip(*(times[name] for name in (sign_name, read_name, verify_name)), strict=True)
        makings = zip(*(times[name] for name in work), strict=True)
        shares = [
            (signing + reading + scale * verifying) / (scale * sum(making))
            for (signing, reading, verifying), making in zip(rounds, makings, strict=True)
        ]
        return float(statistics.median(shares))

    recording = found.ratio("write and record", "write", cpu=True)
    per_frame = statistics.median(found.cpu[render_name]) / FRAMES
    extra = (recording - 1) * statistics.median(found.cpu["write"]) / per_frame
    ratios = (
        Ratio("sign and verify over measure and render", share(found.wall, measure_name, render_name), at_most=TARGET),
        Ratio("sign and verify over measure and render, CPU", share(found.cpu, measure_name, render_name)),
        Ratio("sign and verify over render", share(found.wall, render_name)),
        Ratio("sign and verify over render, CPU", share(found.cpu, render_name)),
        Ratio("write and record over write, CPU", recording),
        Ratio("recording over all of render, CPU", extra),
    )
    words = f"{material.words}; {'the demo network' if material.model else 'no network'}"
    return Result("provenance", words, found.stages(), ratios)


def _long(rendered: Path, folder: Path) -> Path:
    """LENGTH frames that share a small file, with shards."""
    first = next(iter(shards.read_all(rendered, "out").shards.values()), None)
    if first is None:
        raise UsageError("rendering left no record", hint="this is a bug")
    (folder / ".vfxswap" / "out").mkdir(parents=True)
    small = folder / "small"
    small.write_bytes(b"x")
    entry = first.main.model_copy(update={"size": 1, "sha256": exr.file_sha256(small)})
    for frame in range(1, LENGTH + 1):
        name = f"out.{frame:04d}.exr"
        os.link(small, folder / name)
        shard = Shard.of(
            sequence="out",
            frame=frame,
            key=first.key,
            altered=first.altered,
            plate=first.plate,
            files=(entry.model_copy(update={"name": name}),),
            made=first.made,
        )
        shards.path(folder, "out", frame).write_bytes(shards.encoded(shard))
    return folder
