"""The review page: one HTML file with the pictures in it, written frame by frame."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from vfxswap import __version__, atomic, marks
from vfxswap.errors import FrameError, PlateError
from vfxswap.events import CancelToken, EventSink, Progress, Started, Warned
from vfxswap.geometry import Window
from vfxswap.pixels import F32
from vfxswap.plate import Plate
from vfxswap.qc.records import QcReport
from vfxswap.review.panel import Panel
from vfxswap.review.pictures import Curve, Shown, around, packed, shown, table

WIDTH: Final = 960
TABLE: Final = 40
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Page:
    """What a page shows.

    Attributes:
        title: in its head.
        plate: over the frames to show.
        output: the swap.
        report: of QC.
        panel: provenance and consent.
        truth: the perfect swap, where one is known.
        display: of the OCIO config; empty is its default.
        width: of the pictures at most.
        fps: frames a second, of the player.
    """

    title: str
    plate: Plate
    output: Plate
    report: QcReport
    panel: Panel
    truth: Plate | None = None
    display: str = ""
    width: int = WIDTH
    fps: float = 24.0


@dataclass(frozen=True)
class Written:
    """What was written. `parts`: bytes of the pictures by layer, before they became text."""

    path: Path
    frames: int
    size: int
    parts: dict[str, int] = field(default_factory=dict)


def write_page(page: Page, path: Path, *, sink: EventSink, cancel: CancelToken) -> Written:
    """Write a page atomically; one frame is in memory at a time.

    Raises:
        PlateError: no frame can be read. ColorError: unknown display. OutputError, ResourceError, Cancelled.
    """
    curve = Curve.of(page.plate.first_gain())
    views = _views(page)
    sink.emit(Started(job=f"review {page.output.sequence.name}", frames=str(page.plate.frames)))
    entries: list[dict[str, Any]] = []
    parts: dict[str, int] = {}
    with atomic.replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            _head(file, page)
            total = len(page.plate.frames)
            pictures = shown(page.plate, page.output, page.truth, width=page.width)
            for number, one in enumerate(pictures, start=1):
                cancel.check()
                if isinstance(one, FrameError):
                    sink.emit(Warned(code=one.code, message=str(one), frame=one.frame))
                else:
                    entries.append(_frame(file, one, curve, parts))
                sink.emit(Progress(stage="review", done=number, total=total))
            if not entries:
                raise PlateError("no frame can be shown", path=page.plate.sequence.pattern, hint="check the frames")
            _tail(file, page, curve, views, entries)
        size = temporary.stat().st_size
    return Written(path, len(entries), size, parts)


def _views(page: Page) -> dict[str, Any]:
    """Name -> the view's transform, of the display chosen."""
    config = page.plate.config
    displays = config.displays()
    display = page.display or next(iter(displays), "")
    if display not in displays:
        config.to_display(display, "")  # raises with what there is
    return {f"{view} ({display})": config.to_display(display, view) for view in displays[display]}


def _frame(file: TextIO, one: Shown, curve: Curve, parts: dict[str, int]) -> dict[str, Any]:
    """Write a frame's pictures; what the page's script has to know of them."""
    height, width = one.plate.shape[:2]
    entry: dict[str, Any] = {"n": one.frame, "tc": one.timecode, "w": width, "h": height}
    pictures: dict[str, bytes] = {"p": packed(curve.encode(one.plate))}
    if one.comp is not None and one.matte is not None:
        rect = around(one.matte > 0)
        entry["c"] = _rect(rect)
        if not rect.empty:
            where = rect.slices(Window(0, 0, width, height))
            pictures["c"] = packed(curve.encode(one.comp[where]))
            pictures["m"] = packed(one.matte[where], quality=85)
    if one.truth is not None:
        rect = around(_differs(one.truth, one.plate))
        entry["t"] = _rect(rect)
        if not rect.empty:
            pictures["t"] = packed(curve.encode(one.truth[rect.slices(Window(0, 0, width, height))]))
    for layer, data in pictures.items():
        parts[layer] = parts.get(layer, 0) + len(data)
        text = base64.b64encode(data).decode("ascii")
        file.write(f'<script type="text/plain" id="{layer}{one.frame}">{text}</script>\n')
    return entry


def _differs(a: F32, b: F32) -> Any:
    return np.any(np.abs(a - b) > _SAME, axis=-1)


def _rect(window: Window) -> list[int]:
    return [window.x, window.y, window.width, window.height]


# ------------------------------------------------------------------------------------------------ the text


def _resource(name: str) -> str:
    return resources.files("vfxswap.review").joinpath(name).read_text(encoding="utf-8")


def _head(file: TextIO, page: Page) -> None:
    text = _resource("page.html")
    for mark, value in (
        ("@META@", marks.HTML_META),
        ("@ALTERED@", marks.HTML),
        ("@STYLE@", _resource("page.css")),
        ("@TITLE@", html.escape(page.title)),
        ("@VERSION@", html.escape(__version__)),
    ):
        text = text.replace(mark, value)
    file.write(text)


def _tail(file: TextIO, page: Page, curve: Curve, views: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    facts = {
        "title": page.title,
        "fps": page.fps,
        "frames": entries,
        "curve": {"toe": curve.toe, "octaves": curve.octaves},
        "table": {"size": TABLE, "octaves": curve.table.octaves},
        "views": list(views),
        "truth": page.truth is not None,
        "report": page.report.model_dump(mode="json", by_alias=True),
        "panel": asdict(page.panel),
        "config": page.plate.config.record(),
    }
    file.write(f'<script type="application/json" id="data">{_json(facts)}</script>\n')
    for number, view in enumerate(views.values()):
        codes = table(curve.table, view, size=TABLE)
        text = base64.b64encode(codes.tobytes()).decode("ascii")
        file.write(f'<script type="text/plain" id="view{number}">{text}</script>\n')
    file.write(f"<script>\n{_resource('page.js')}</script>\n</body>\n</html>\n")


def _json(value: Any) -> str:
    """JSON that can stand inside a page: nothing in it ends the element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
