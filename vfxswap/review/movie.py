"""A swap as a movie: H.264 in .mp4, ProRes 422 HQ in .mov. The only module that imports PyAV, the extra `review`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np

from vfxswap import atomic, marks
from vfxswap.color import Transform
from vfxswap.errors import FrameError, OutputError, UsageError
from vfxswap.events import CancelToken, EventSink, Progress, Started, Warned
from vfxswap.pixels import F32, AnyArray
from vfxswap.plate import Plate
from vfxswap.review.pictures import Shown, shown

Shows = Literal["comp", "plate", "compare"]

_CODECS: Final[dict[str, tuple[str, str, str, dict[str, str]]]] = {
    ".mp4": ("mp4", "libx264", "yuv420p", {"crf": "16", "preset": "medium", "g": "12"}),
    ".mov": ("mov", "prores_ks", "yuv422p10le", {"profile": "3", "vendor": "apl0"}),
}
_BT709 = 1
_LIMITED = 1
_INK, _PAPER = (217, 217, 217), 20


@dataclass(frozen=True, eq=False)
class Order:
    """What a movie shows.

    Attributes:
        plate: over the frames to show.
        output: the swap.
        display: of the OCIO config; empty is its default.
        view: of the display; empty is its default.
        width: of one picture at most.
        fps: frames a second.
        shows: the comp, the plate, or both side by side.
        burn_in: a line with timecode, frame number and the sequence's name below the picture.
    """

    plate: Plate
    output: Plate
    display: str = ""
    view: str = ""
    width: int = 1920
    fps: float = 24.0
    shows: Shows = "comp"
    burn_in: bool = True


def require(path: Path) -> None:
    """Refuse what cannot become a movie, before anything is read.

    Raises:
        UsageError: another suffix, or PyAV is not installed.
    """
    if path.suffix.lower() not in _CODECS:
        raise UsageError(f"the movie is {path.name}", hint="name it .mp4 for H.264, .mov for ProRes")
    try:
        import av  # noqa: F401 - whether it is there
    except ImportError as error:
        raise UsageError("movies need PyAV", hint="pip install 'vfxswap[review]'") from error


def frame_rate(plate: Plate) -> float:
    """Frames a second as the plate's first readable frame says, else 24."""
    for frame in plate.frames:
        try:
            said = plate.read(frame).attributes.get("framesPerSecond")
        except FrameError:
            continue
        if isinstance(said, Sequence) and len(said) == 2 and said[1]:
            return float(said[0]) / float(said[1])
        return float(said) if isinstance(said, int | float) and said > 0 else 24.0
    return 24.0


def write_movie(order: Order, path: Path, *, sink: EventSink, cancel: CancelToken) -> int:
    """Write a movie atomically; returns its number of frames.

    Every frame of the plate's range has its place in time: one without output shows the plate and says so, one that
    cannot be read is black.

    Raises:
        UsageError: as `require`. ColorError: unknown display or view. OutputError, ResourceError, Cancelled.
    """
    require(path)
    view = _view(order)
    total = len(order.plate.frames)
    sink.emit(Started(job=f"movie {order.output.sequence.name}", frames=str(order.plate.frames)))
    with atomic.replacing(path) as temporary:
        writer: _Writer | None = None
        for number, (one, picture) in enumerate(_pictures(order, view, sink), start=1):
            cancel.check()
            if writer is None:
                writer = _Writer(temporary, path.suffix.lower(), picture, fps=order.fps, timecode=one)
            writer.add(picture)
            sink.emit(Progress(stage="movie", done=number, total=total))
        if writer is None:
            raise OutputError("the movie would have no frame", path=path)
        writer.close()
    return total


def _view(order: Order) -> Transform:
    config = order.plate.config
    displays = config.displays()
    display = order.display or next(iter(displays), "")
    return config.to_display(display, order.view or next(iter(displays.get(display, ())), ""))


def _pictures(order: Order, view: Transform, sink: EventSink) -> Iterator[tuple[str, F32]]:
    """Timecode and (h, w, 3) display codes of every frame, lines and mark below it."""
    size: tuple[int, int, int] | None = None
    waiting = 0
    frames = sorted(order.plate.frames)
    for frame, one in zip(frames, shown(order.plate, order.output, None, width=order.width), strict=True):
        if isinstance(one, FrameError):
            sink.emit(Warned(code=one.code, message=str(one), frame=frame))
            if size is None:
                waiting += 1  # how large black is, the first frame that can be read will say
                continue
            yield "", _finished(np.zeros(size, np.float32), f"{frame}  UNREADABLE", order)
            continue
        picture = _picture(one, view, order.shows)
        if size is not None and picture.shape != size:
            picture = np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.float32)
        size = (picture.shape[0], picture.shape[1], 3)
        for early in frames[:waiting]:
            yield one.timecode, _finished(np.zeros(size, np.float32), f"{early}  UNREADABLE", order)
        waiting = 0
        note = "" if one.comp is not None else "  NO OUTPUT"
        yield one.timecode, _finished(picture, f"{one.timecode}  {frame}{note}".strip(), order)


def _picture(one: Shown, view: Transform, shows: Shows) -> F32:
    comp = one.plate if one.comp is None else one.comp
    parts = {"comp": [comp], "plate": [one.plate], "compare": [one.plate, comp]}[shows]
    codes = [np.clip(view.apply(part), 0, 1) for part in parts]
    return np.asarray(np.concatenate(codes, axis=1), np.float32)


def _finished(picture: F32, line: str, order: Order) -> F32:
    """The picture with its line, and with the mark of altered pictures; width and height even."""
    rows = [picture]
    if order.burn_in:
        rows.append(_line(line, order.output.sequence.name, picture.shape[1], max(20, picture.shape[0] // 24)))
    if order.shows != "plate":
        mark = marks.stamped(np.zeros(picture.shape, np.uint8))[picture.shape[0] :]
        rows.append(np.asarray(mark / 255, np.float32))
    whole = np.concatenate(rows, axis=0)
    bottom, right = whole.shape[0] % 2, whole.shape[1] % 2
    return np.asarray(np.pad(whole, ((0, bottom), (0, right), (0, 0)), mode="edge"), np.float32)


def _line(left: str, right: str, width: int, height: int) -> F32:
    row = np.full((height, width, 3), _PAPER, np.uint8)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, round(height * 0.5))
    wide = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] for text in (left, right)]
    fits = sum(wide) + 24 <= width
    base = round(height * 0.7)
    cv2.putText(row, left, (6, base), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    if fits:
        at = (width - wide[1] - 6, base)
        cv2.putText(row, right, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    return np.asarray(row / 255, np.float32)


class _Writer:
    """A movie file that is being written; BT.709 of limited range, and tagged so."""

    def __init__(self, path: Path, suffix: str, first: F32, *, fps: float, timecode: str) -> None:
        import av

        container, codec, self._format, options = _CODECS[suffix]
        try:
            self._file: Any = av.open(
                str(path), "w", format=container, options={"movflags": "+faststart+use_metadata_tags"}
            )
            rate = Fraction(fps).limit_denominator(1001)
            stream: Any = self._file.add_stream(codec, rate=rate, options=options)
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(
                f"PyAV cannot write {codec}: {error}", path=path, hint="choose the other format"
            ) from error
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = self._format
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED
        self._file.metadata["comment"] = f"{marks.ALTERED} ({marks.SOURCE_TYPE})"
        if timecode:
            stream.metadata["timecode"] = timecode
        self._stream = stream

    def add(self, picture: F32) -> None:
        """Encode (h, w, 3) codes in 0..1."""
        import av
        from av.video.reformatter import Colorspace

        levels: AnyArray = np.ascontiguousarray(np.clip(picture * 65535 + 0.5, 0, 65535).astype(np.uint16))
        frame = av.VideoFrame.from_ndarray(levels, format="rgb48le")
        converted = frame.reformat(
            format=self._format, dst_colorspace=Colorspace.ITU709, src_color_range="JPEG", dst_color_range="MPEG"
        )
        self._write(self._stream.encode(converted))

    def close(self) -> None:
        """Write what is left; the file is whole then."""
        self._write(self._stream.encode())
        self._file.close()

    def _write(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            self._file.mux(packet)
