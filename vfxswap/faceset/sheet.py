"""The contact sheet: every crop at a glance, as a picture and as a page that sorts and filters.

The page is one file: pictures, style and script are inside, and its content security policy lets it load nothing.
"""

from __future__ import annotations

import base64
import html
import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

import cv2
import numpy as np

from vfxswap import atomic
from vfxswap.errors import FrameError, PlateError, UsageError
from vfxswap.events import CancelToken
from vfxswap.face.landmarks import BLENDSHAPES
from vfxswap.faceset import quarantine
from vfxswap.faceset.crops import Crop
from vfxswap.faceset.identity import expressions
from vfxswap.faceset.index import Faceset
from vfxswap.pixels import F32, AnyArray

PNG: Final = "contact_sheet.png"
HTML: Final = "contact_sheet.html"

SORTS: Final = {
    "yaw": "yaw",
    "pitch": "pitch",
    "sharpness": "sharpness",
    "exposure": "exposure",
    "confidence": "confidence",
    "identity": "identity distance",
    "expression": "strength of expression",
    "jaw": "open mouth",
    "smile": "smile",
    "blink": "closed eyes",
    "name": "name",
}
"""What a sheet can be sorted by -> how people call it."""

_THUMBNAIL = 112
_QUALITY = 80
_TEMPLATE = Path(__file__).with_name("contact_sheet.html")

_COLUMNS = 16
_TALLEST = 16000
"""Rows of the PNG at most: beyond that its thumbnails are smaller."""
_CAPTION = 26
_USED, _OUT, _PAPER, _INK = (86, 86, 86), (196, 64, 52), (34, 34, 34), (214, 214, 214)


@dataclass(frozen=True, eq=False)
class _Tile:
    """A crop as both sheets show it: (T, T, 3) uint8 sRGB codes, and what it is sorted by."""

    crop: Crop
    picture: AnyArray
    values: dict[str, float | None]


def write_sheet(
    source: Faceset,
    *,
    folder: Path | None = None,
    sort: str = "yaw",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancel: CancelToken | None = None,
) -> tuple[Path, Path]:
    """Write `contact_sheet.png` and `contact_sheet.html`.

    Args:
        source: the faceset.
        folder: where to; None: beside the index.
        sort: one of SORTS; the PNG keeps that order, the page begins with it.
        progress: called with (done, total).
        cancel: polled between crops.

    Returns:
        Their paths.

    Raises:
        UsageError: another order. PlateError: a crop cannot be read. OutputError, ResourceError.
    """
    if sort not in SORTS:
        raise UsageError(f"--sort is {sort!r}", hint=f"choose one of {', '.join(SORTS)}")
    target = folder or source.folder
    tiles = _sorted(_tiles(source, progress, cancel), sort)
    png, page = target / PNG, target / HTML
    atomic.write_bytes(png, _png(_picture(source, tiles, sort)))
    atomic.write_text(page, _page(source, tiles, sort))
    return png, page


def _tiles(source: Faceset, progress: Callable[[int, int], None], cancel: CancelToken | None) -> list[_Tile]:
    tiles = []
    found = expressions(source)
    for at, crop in enumerate(source.crops):
        try:
            rgb, _ = source.load(crop)
        except FrameError as error:
            raise PlateError(
                error.message, path=error.path, hint="build the faceset again, or drop this crop"
            ) from error
        small = cv2.resize(rgb, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
        tiles.append(_Tile(crop, np.clip(np.round(small * 255), 0, 255).astype(np.uint8), values(crop, found[at])))
        progress(at + 1, len(source.crops))
        if cancel is not None:
            cancel.check()
    return tiles


def values(crop: Crop, expression: F32) -> dict[str, float | None]:
    """What a crop is sorted by; None where it is not known.

    Exposure is in stops: how much brighter the skin is than middle grey. The strength of an expression is the length
    of the vector of its coefficients, gaze left out.
    """
    named = dict(zip(BLENDSHAPES, expression.astype(float).tolist(), strict=True))
    moving = [value for name, value in named.items() if not name.startswith(("_", "eyeLook"))]
    figures = crop.figures
    return {
        "yaw": round(crop.pose_deg[1], 1) + 0.0,  # no -0
        "pitch": round(crop.pose_deg[0], 1) + 0.0,
        "sharpness": figures.get("sharpness_of_set", figures.get("sharpness")),
        "exposure": round(-math.log2(crop.gain), 2),
        "confidence": round(crop.confidence, 3),
        "identity": figures.get("identity_distance"),
        "expression": round(math.hypot(*moving), 3),
        "jaw": round(named["jawOpen"], 3),
        "smile": round((named["mouthSmileLeft"] + named["mouthSmileRight"]) / 2, 3),
        "blink": round((named["eyeBlinkLeft"] + named["eyeBlinkRight"]) / 2, 3),
    }


def _sorted(tiles: list[_Tile], key: str) -> list[_Tile]:
    """Ascending, those without a value last."""
    if key == "name":
        return sorted(tiles, key=lambda tile: tile.crop.name)

    def rank(tile: _Tile) -> tuple[bool, float, str]:
        value = tile.values[key]
        return value is None, value or 0.0, tile.crop.name

    return sorted(tiles, key=rank)


def _title(source: Faceset) -> str:
    used = len(source.usable())
    return f"{source.performer}: {used} crops, {len(source.crops) - used} quarantined"


# ------------------------------------------------------------------------------------------------ picture


def _picture(source: Faceset, tiles: list[_Tile], sort: str) -> AnyArray:
    """(H, W, 3) uint8: the tiles row by row, quarantined ones framed in red with the kinds of their reasons."""
    rows = max(1, math.ceil(len(tiles) / _COLUMNS))
    side = max(24, min(_THUMBNAIL, (_TALLEST - 40) // rows - _CAPTION - 8))
    step_x, step_y, head = side + 8, side + _CAPTION + 8, 36
    sheet = np.full((head + rows * step_y, _COLUMNS * step_x + 8, 3), _PAPER, np.uint8)
    _write(sheet, f"{_title(source)}, sorted by {SORTS[sort]}", (8, 24), scale=0.5)
    for at, tile in enumerate(tiles):
        x, y = 8 + at % _COLUMNS * step_x, head + at // _COLUMNS * step_y
        color = _USED if tile.crop.quarantined is None else _OUT
        sheet[y - 3 : y + side + 3, x - 3 : x + side + 3] = color
        sheet[y : y + side, x : x + side] = cv2.resize(tile.picture, (side, side), interpolation=cv2.INTER_AREA)
        value = tile.crop.name if sort == "name" else _said(tile.values[sort])
        _write(sheet[:, : x + side + 3], value, (x, y + side + 13), scale=0.36)
        _write(sheet[:, : x + side + 3], _label(tile.crop), (x, y + side + 25), scale=0.36, color=color)
    return sheet


def _label(crop: Crop) -> str:
    """The status of a crop in a few words, empty for one that is simply used."""
    if crop.verdict is not None:
        return f"{crop.verdict} (by hand)"
    return " ".join(sorted(crop.kinds)) if crop.quarantined is not None else ""


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _write(
    sheet: AnyArray, text: str, at: tuple[int, int], *, scale: float, color: tuple[int, int, int] = _INK
) -> None:
    """Put text on the sheet, cut off where it ends."""
    part = np.ascontiguousarray(sheet)
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(part, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
    sheet[:] = part


def _png(rgb: AnyArray) -> bytes:
    return bytes(cv2.imencode(".png", rgb[..., ::-1])[1])


# --------------------------------------------------------------------------------------------------- page


def _page(source: Faceset, tiles: list[_Tile], sort: str) -> str:
    """The page; every text in it is escaped, names of plates are anybody's."""
    counts = quarantine.summary([sorted(tile.crop.kinds) for tile in tiles])
    kinds = "".join(
        f'<label><input type="radio" name="show" value="{kind}">{kind} <b>{count}</b></label>'
        for kind, count in counts.items()
    )
    orders = "".join(
        f'<option value="{key}"{" selected" if key == sort else ""}>{html.escape(words)}</option>'
        for key, words in SORTS.items()
    )
    used = len(source.usable())
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        performer=html.escape(source.performer),
        title=html.escape(_title(source)),
        total=len(tiles),
        used=used,
        out=len(tiles) - used,
        kinds=kinds,
        orders=orders,
        command=html.escape(f"vfxswap faceset edit {shlex.quote(str(source.folder))}", quote=True),
        crops="\n".join(_tile(tile) for tile in tiles),
    )


def _tile(tile: _Tile) -> str:
    crop = tile.crop
    ok, code = cv2.imencode(".jpg", tile.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    picture = base64.b64encode(code.tobytes() if ok else b"").decode()
    data = " ".join(f'data-{key}="{value:g}"' for key, value in tile.values.items() if value is not None)
    where = f"{crop.plate}, frame {crop.frame}" + (f", timecode {crop.timecode}" if crop.timecode else "")
    reasons = "".join(f'<li class="{reason.kind}">{html.escape(reason.text)}</li>' for reason in crop.reasons)
    note = (
        f"<li>by hand: {crop.verdict}{html.escape(': ' + crop.note if crop.note else '')}</li>" if crop.verdict else ""
    )
    badges = "".join(f'<i title="{html.escape(r.text, quote=True)}">{r.kind}</i>' for r in crop.reasons) + (
        f"<i>{crop.verdict}</i>" if crop.verdict else ""
    )
    figures = html.escape(json.dumps(dict(crop.figures), sort_keys=True).strip("{}").replace('"', ""))
    name, status = html.escape(crop.name, quote=True), "used" if crop.quarantined is None else "out"
    return (
        f'<figure class="{status}" data-name="{name}" data-kinds="{" ".join(sorted(crop.kinds))}" {data}>'
        f'<img alt="" width="{_THUMBNAIL}" height="{_THUMBNAIL}" src="data:image/jpeg;base64,{picture}">'
        f"<figcaption><b>{name}</b><span></span><p>{badges}</p>"
        f"<details><summary>why, where</summary><ul>{reasons}{note}</ul>"
        f"<small>{html.escape(where)}<br>{figures}</small></details>"
        f'<button data-word="keep">keep</button><button data-word="drop">drop</button></figcaption></figure>'
    )
