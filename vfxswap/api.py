"""vfxswap from Python: `import vfxswap; vfxswap.swap_shot(...)`.

The same work as the command line does, through the same gate: without signed consents nothing is opened or written.
Errors are those of `vfxswap.errors`, each with a message, a hint and, where there is one, a path and a frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vfxswap import pipeline, provenance
from vfxswap.events import CancelToken, Event, EventSink, NullSink
from vfxswap.face.track import Track
from vfxswap.frames import Report
from vfxswap.job import Device, Layers, Pass, SwapJob, SwapParameters
from vfxswap.plate import open_plate
from vfxswap.sequence import FrameRange
from vfxswap.trust import Gate, KeyRing

PathLike = str | os.PathLike[str]
OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class _Sink:
    """Events to a function."""

    call: OnEvent

    def emit(self, event: Event) -> None:
        """Hand it on."""
        self.call(event)


def swap_shot(
    plate: PathLike,
    *,
    model: PathLike,
    output: PathLike,
    consents: Sequence[PathLike],
    keyring: PathLike | None = None,
    shot: str = "",
    frames: str = "",
    only: str = "",
    on_event: OnEvent | None = None,
    cancel: CancelToken | None = None,
    sign: bool = True,
    layers: Layers = "comp",
    passes: Sequence[Pass] = (),
    face: str = "0",
    view: str = "",
    color_space: str = "",
    color_config: str = "",
    matte: Sequence[str] = (),
    track: PathLike | None = None,
    measurements: PathLike | None = None,
    device: Device = "auto",
    overwrite: bool = False,
    parameters: SwapParameters | None = None,
) -> Report:
    """Swap the face in a plate: track, measure, render, record; what is there and up to date is kept.

    Args:
        plate: pattern, folder or file of the plate, such as `plates/sh010.####.exr`.
        model: the .vfxmodel.
        output: where the frames go, such as `out/sh010.####.exr`.
        consents: signed consents of the likeness and of the double.
        keyring: folder of trusted keys and revocation lists; the user's own place without.
        shot: PROJECT/SEQUENCE/SHOT that the consents must cover; `local/local/<the plate's folder>` without.
        frames: the shot's range, which is tracked and measured, such as `1001-1048`; all there are without.
        only: which of them to render; all without. Any split gives the same pixels.
        on_event: called with every event (`vfxswap.events`), from whatever thread has one.
        cancel: its `cancel()` stops the work after the frame at hand; whole files are kept.
        sign: merge the records of all frames into a manifest, signed with this user's render key.
        layers: what is written: the comp, all ingredients, or the face alone as a patch.
        passes: further files beside the output.
        face: which face: INDEX by prominence, NAME in the track, or X,Y in the plate (pixels, y down).
        view: of a stereo plate, or `all`; the first without.
        color_space: the plate's; by its file and the OCIO config without.
        color_config: OCIO config, a path or ocio:// URI; $OCIO or the built-in one without.
        matte: artists' mattes in the notation of docs/mattes.md.
        track: a .vfxtrack, with an artist's keys in it or without; made where there is none.
        measurements: a .vfxshot; made where there is none.
        device: where networks run.
        overwrite: render again what is there and up to date.
        parameters: the artist's knobs.

    What a job can say besides (several faces, lens, parts, context variables) is said by `SwapJob` and `run_job`.

    Returns:
        How many files were rendered, skipped and passed through, and the frames that failed.

    Raises:
        ConsentError: a consent is missing or does not cover this; nothing was written.
        JobError, PlateError, ColorError, TrackError, ModelError, OutputError, ResourceError, Cancelled.
    """
    job = SwapJob.make(
        plate=os.fspath(plate),
        model=Path(model),
        output=os.fspath(output),
        consents=tuple(Path(path) for path in consents),
        keyring=None if keyring is None else Path(keyring),
        shot=shot,
        frames=frames,
        layers=layers,
        passes=tuple(passes),
        face=face,
        view=view,
        color_space=color_space,
        color_config=color_config,
        matte=tuple(matte),
        track=None if track is None else Path(track),
        measurements=None if measurements is None else Path(measurements),
        device=device,
        overwrite=overwrite,
        parameters=parameters or SwapParameters(),
    )
    return run_job(job, only=only, on_event=on_event, cancel=cancel, sign=sign)


def run_job(
    job: SwapJob | PathLike,
    *,
    only: str = "",
    on_event: OnEvent | None = None,
    cancel: CancelToken | None = None,
    sign: bool = True,
) -> Report:
    """Do a job, given as an object or as the path of its file; arguments, result and errors as `swap_shot`."""
    asked = job if isinstance(job, SwapJob) else SwapJob.load(Path(job))
    gate = Gate(KeyRing.load(asked.keyring), list(asked.consents))
    return pipeline.swap(
        asked,
        gate=gate,
        sink=_sink(on_event),
        cancel=cancel or CancelToken(),
        frames=FrameRange.parse(only) if only else None,
        sign=provenance.own_key if sign else None,
    )


def track_shot(
    plate: PathLike,
    *,
    output: PathLike | None = None,
    frames: str = "",
    color_space: str = "",
    on_event: OnEvent | None = None,
    cancel: CancelToken | None = None,
) -> Track:
    """Track every face of a plate.

    Args:
        plate: pattern, folder or file.
        output: where to save the .vfxtrack; nowhere without.
        frames: range; all there are without.
        color_space: the plate's; by its file and the OCIO config without.
        on_event: called with every event.
        cancel: stops the work between frames.

    Returns:
        The track: per frame and face the box, 478 landmarks, pose and confidence (`vfxswap.face.track`).

    Raises:
        PlateError, ColorError, TrackError, OutputError, Cancelled.
    """
    opened = open_plate(
        os.fspath(plate), frames=FrameRange.parse(frames) if frames else None, color_space=color_space or None
    )
    track = pipeline.track_plate(opened, sink=_sink(on_event), cancel=cancel or CancelToken())
    if output is not None:
        track.save(Path(output))
    return track


def _sink(on_event: OnEvent | None) -> EventSink:
    return NullSink() if on_event is None else _Sink(on_event)
