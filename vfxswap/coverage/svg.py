"""Small plots as inline SVG: heat maps, paired histograms, a strip of frames. No library, no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from vfxswap.pixels import F64

LIKENESS, DOUBLE, GAP = "#3b6ea5", "#c8702a", "#a4262c"
_PAPER, _EMPTY = (255, 255, 255), "#f3f3f3"
_CELL = 22.0
_STYLES = {
    "title": 'font-size="12" font-weight="bold" fill="#222"',
    "tick": 'font-size="10.5" fill="#666"',
    "label": 'font-size="11" fill="#666"',
    "middle": 'text-anchor="middle"',
    "end": 'text-anchor="end"',
}


def heat_map(
    values: F64,
    *,
    across: Sequence[float],
    down: Sequence[float],
    color: str,
    title: str,
    labels: tuple[str, str, str, str],
    most: float | None = None,
    unit: str = "",
) -> str:
    """A table of cells, darker where a value is larger; empty cells (NaN or 0) stay blank.

    Args:
        values: (rows, columns) float64, the first row on top.
        across: column edges, one more than columns.
        down: row edges, one more than rows, from the top.
        color: `#rrggbb` of the largest value.
        title: what it shows.
        labels: what left, right, top and bottom mean.
        most: the value that gets the full colour; None is the largest.
        unit: written after each value in its tooltip.
    """
    rows, columns = values.shape
    left, top = 74.0, 40.0
    width, height = left + columns * _CELL + 14, top + rows * _CELL + 52
    full = most or max(float(np.nanmax(values, initial=0.0)), 1e-9)
    parts = [_text(left, 16, title, "title")]
    for y in range(rows):
        for x in range(columns):
            value = float(values[y, x])
            shown = np.isfinite(value) and value > 0
            fill = _mix(color, 0.12 + 0.88 * min(value / full, 1)) if shown else _EMPTY
            tip = f"{across[x]:g} to {across[x + 1]:g}, {down[y]:g} to {down[y + 1]:g}: {value:.3g}{unit}"
            parts.append(
                f'<rect x="{left + x * _CELL:.1f}" y="{top + y * _CELL:.1f}" width="{_CELL - 1:.1f}" '
                f'height="{_CELL - 1:.1f}" fill="{fill}"><title>{escape(tip if shown else "none")}</title></rect>'
            )
    base = top + rows * _CELL
    for x in range(0, columns + 1, 2):
        parts.append(_text(left + x * _CELL, base + 14, f"{across[x]:g}", "tick middle"))
    for y in range(0, rows + 1, 2):
        parts.append(_text(left - 6, top + y * _CELL + 4, f"{down[y]:g}", "tick end"))
    to_left, to_right, above, below = labels
    parts += [
        _text(left, base + 32, f"← {to_left}", "label"),
        _text(left + columns * _CELL, base + 32, f"{to_right} →", "label end"),
        _text(4, top + 12, f"↑ {above}", "label"),
        _text(4, base - 4, f"↓ {below}", "label"),
    ]
    return _svg(width, height, parts, title)


def histograms(
    likeness: Sequence[float],
    double: Sequence[float],
    *,
    low: float,
    high: float,
    bins: int,
    title: str,
    ticks: Sequence[float],
    size: tuple[float, float] = (240.0, 92.0),
) -> str:
    """Two histograms over each other: the likeness filled, the double as an outline, each as a share of its side.

    Args:
        likeness: values; those outside of `low`..`high` count in the outermost bins, NaN not at all.
        double: values.
        low: left end.
        high: right end.
        bins: how many.
        title: what is counted.
        ticks: values written below.
        size: width and height of the plot without its title and ticks.
    """
    wide, tall = size
    left, top = 10.0, 24.0
    here, there = (_shares(values, low, high, bins) for values in (likeness, double))
    full = max(float(here.max()), float(there.max()), 1e-9)
    step = wide / bins
    parts = [_text(left, 14, title, "title")]
    for i, share in enumerate(here.tolist()):
        rise = tall * share / full
        tip = f"{low + (high - low) * i / bins:.3g}: likeness {share:.0%}, double {there[i]:.0%}"
        parts.append(
            f'<rect x="{left + i * step:.1f}" y="{top + tall - rise:.1f}" width="{step - 1:.1f}" height="{rise:.1f}" '
            f'fill="{_mix(LIKENESS, 0.55)}"><title>{escape(tip)}</title></rect>'
        )
    points = [(left, top + tall)]
    for i, share in enumerate(there.tolist()):
        level = top + tall * (1 - share / full)
        points += [(left + i * step, level), (left + (i + 1) * step, level)]
    points.append((left + wide, top + tall))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{DOUBLE}" stroke-width="2"/>')
    parts.append(_line(left, top + tall, left + wide, top + tall))
    for tick in ticks:
        at = left + wide * (tick - low) / (high - low)
        parts.append(_text(at, top + tall + 14, f"{tick:g}", "tick middle"))
    return _svg(wide + 2 * left, top + tall + 22, parts, title)


def strip(frames: Sequence[int], values: Sequence[float], *, near: float, title: str, width: float = 940.0) -> str:
    """A bar for each frame: how far its nearest example is, and the line up to which it is near."""
    left, top, tall = 40.0, 26.0, 90.0
    full = max(*values, near) * 1.08
    first, last = min(frames), max(frames)
    step = (width - left - 8) / (last - first + 1)
    parts = [_text(left, 14, title, "title")]
    for frame, value in zip(frames, values, strict=True):
        rise = tall * value / full
        fill = GAP if value > near else "#b8b8b8"
        parts.append(
            f'<rect x="{left + (frame - first) * step:.2f}" y="{top + tall - rise:.1f}" '
            f'width="{max(step - min(1.0, step / 4), 0.4):.2f}" height="{rise:.1f}" fill="{fill}">'
            f"<title>{frame}: {value:.1f}</title></rect>"
        )
    level = top + tall * (1 - near / full)
    parts += [
        _line(left, level, width - 8, level, dashed=True),
        _line(left, top + tall, width - 8, top + tall),
        _text(left - 6, level + 4, f"{near:g}°", "tick end"),
        _text(left - 6, top + tall + 4, "0", "tick end"),
        _text(left, top + tall + 15, str(first), "tick"),
        _text(width - 8, top + tall + 15, str(last), "tick end"),
    ]
    return _svg(width, top + tall + 22, parts, title)


def _shares(values: Sequence[float], low: float, high: float, bins: int) -> F64:
    kept = np.asarray([value for value in values if np.isfinite(value)], np.float64)
    if len(kept) == 0:
        return np.zeros(bins)
    at = np.clip(((kept - low) / (high - low) * bins).astype(int), 0, bins - 1)
    return np.asarray(np.bincount(at, minlength=bins) / len(kept), np.float64)


def _mix(color: str, amount: float) -> str:
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(paper + (channel - paper) * amount) for paper, channel in zip(_PAPER, channels, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _text(x: float, y: float, text: str, style: str) -> str:
    # Attributes and not classes: many viewers of SVG know no style sheets.
    attributes = " ".join(_STYLES[word] for word in style.split())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" {attributes}>{escape(text)}</text>'


def _line(x0: float, y0: float, x1: float, y1: float, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#555"{dashes}/>'


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'
    )
