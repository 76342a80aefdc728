"""Line charts as inline SVG, coloured by the page they stand in (`--c0` ..., `--line`, `--quiet`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDE, _TALL = 460.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 14.0, 10.0, 26.0
_MOST_POINTS = 240
_LOG_FROM = 8.0
"""Values whose largest is this many times their smallest are drawn on a logarithmic scale, where that is allowed."""


@dataclass(frozen=True)
class Series:
    """A named curve; `x` rises."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Ahead:
    """A value expected at `x`, with its spread to either side."""

    x: float
    y: float
    spread: float


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """0..1 along the axis."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self) -> list[float]:
        if not self.log:
            return _ticks(self.low, self.high)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        inside = [v for v in values if self.low <= v <= self.high]
        return inside if len(inside) <= 6 else [v for v in inside if f"{v:.0e}".startswith("1")] or inside


def chart(
    title: str,
    series: Sequence[Series],
    *,
    unit: str = "",
    ahead: Ahead | None = None,
    log: bool = False,
    least: tuple[float, ...] = (),
) -> str:
    """A figure with a legend; empty where no series has a point.

    Args:
        title: what is shown.
        series: up to six curves over minutes.
        unit: of the values, for the title.
        ahead: an expected value of the first series.
        log: a logarithmic scale may be used.
        least: values that the scale reaches to at least.
    """
    series = [_fewer(one) for one in series if one.x]
    if not series:
        return ""
    across, up = _axes(series, ahead, log, least)
    parts = [*_grid(across, up), *(_curve(i, one, across, up) for i, one in enumerate(series))]
    if ahead is not None:
        parts.append(_expected(ahead, across, up))
    keys = "".join(f'<span class="key k{i}">{escape(one.name)}</span>' for i, one in enumerate(series))
    named = escape(title + (f", {unit}" if unit else "") + (", logarithmic" if up.log else ""))
    return (
        f"<figure><figcaption>{named}</figcaption>"
        f'<svg role="img" aria-label="{named}" viewBox="0 0 {_WIDE:g} {_TALL:g}">{"".join(parts)}</svg>'
        f"<div class=keys>{keys}</div></figure>"
    )


def _fewer(one: Series) -> Series:
    """Every n-th point, the last always."""
    step = -(-len(one.x) // _MOST_POINTS)
    picked = sorted({*range(0, len(one.x), step), len(one.x) - 1})
    good = [i for i in picked if math.isfinite(one.y[i])]
    return Series(one.name, tuple(one.x[i] for i in good), tuple(one.y[i] for i in good))


def _axes(series: Sequence[Series], ahead: Ahead | None, log: bool, least: tuple[float, ...]) -> tuple[_Axis, _Axis]:
    xs = [x for one in series for x in one.x] + ([ahead.x] if ahead else [])
    ys = (
        [y for one in series for y in one.y]
        + [*least]
        + ([ahead.y - ahead.spread, ahead.y + ahead.spread] if ahead else [])
    )
    across = _Axis(0.0, max(*xs, 1e-3))
    low, high = min(ys), max(ys)
    if log and low > 0 and high > _LOG_FROM * low:
        return across, _Axis(low / 1.15, high * 1.15, log=True)
    room = 0.06 * (high - low) or max(abs(high) * 0.05, 1e-3)
    return across, _Axis(low - room, high + room)


def _grid(across: _Axis, up: _Axis) -> list[str]:
    left, right, base = _LEFT, _WIDE - _RIGHT, _TALL - _BOTTOM
    parts = []
    for value in up.ticks():
        y = _y(up, value)
        parts.append(f'<path class=grid d="M{left:g} {y:.1f}H{right:g}"/>')
        parts.append(f'<text x="{left - 6:g}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in across.ticks():
        x = _x(across, value)
        if x > right - 30:
            continue  # the unit stands there
        parts.append(f'<text x="{x:.1f}" y="{base + 17:g}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<path class=axis d="M{left:g} {base:g}H{right:g}"/>')
    parts.append(f'<text x="{right:g}" y="{base + 17:g}" text-anchor="end">min</text>')
    return parts


def _curve(index: int, one: Series, across: _Axis, up: _Axis) -> str:
    places = [(_x(across, x), _y(up, y)) for x, y in zip(one.x, one.y, strict=True)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.2"><title>{escape(one.name)} {y:.4g} at {x:.1f} min</title></circle>'
        for (px, py), x, y in zip(places, one.x, one.y, strict=True)
    )
    return f'<g class="s{index}"><polyline points="{path}"/>{dots}</g>'


def _expected(ahead: Ahead, across: _Axis, up: _Axis) -> str:
    x, top, bottom = _x(across, ahead.x), _y(up, ahead.y + ahead.spread), _y(up, ahead.y - ahead.spread)
    return (
        f'<g class=ahead><path d="M{x - 4:.1f} {top:.1f}h8M{x:.1f} {top:.1f}V{bottom:.1f}m-4 0h8"/>'
        f'<circle cx="{x:.1f}" cy="{_y(up, ahead.y):.1f}" r="3">'
        f"<title>expected {ahead.y:.1f} ± {ahead.spread:.1f} at {ahead.x:.0f} min</title></circle></g>"
    )


def _x(axis: _Axis, value: float) -> float:
    return _LEFT + axis.at(value) * (_WIDE - _LEFT - _RIGHT)


def _y(axis: _Axis, value: float) -> float:
    return _TALL - _BOTTOM - axis.at(value) * (_TALL - _TOP - _BOTTOM)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, four to eight of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
