"""How exactly colours survive files and model encodings: the tables and the plot of docs/color.md.

    python docs/figures/color.py [--output docs/images]

Writes color_roundtrip.svg and prints the tables as Markdown. Everything is computed: no plate, no network, no clock.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from vfxswap.color import STUDIO_CONFIG, ColorConfig, ModelSpace
from vfxswap.pixels import F32, F64, AnyArray, ModelRgb, WorkingRgb

CONFIG = ColorConfig.load(STUDIO_CONFIG)

PLATES = (
    "ACEScg",
    "ACES2065-1",
    "Linear Rec.709 (sRGB)",
    "Linear P3-D65",
    "Linear Rec.2020",
    "ARRI LogC4",
    "S-Log3 S-Gamut3.Cine",
)
LOW, HIGH = -10, 8
"""The plot's range of scene light, log2."""

BLUE, ORANGE, GREEN, PURPLE, GREY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#666666",
)  # Okabe and Ito: told apart by everyone


def half(rgb: AnyArray) -> F32:
    """The same as a half file holds it."""
    return rgb.astype(np.float16).astype(np.float32)


def stops(found: AnyArray, wanted: AnyArray | float) -> F64:
    """Error of positive light in stops."""
    return np.asarray(np.abs(np.log2(np.maximum(found, 1e-12).astype(np.float64) / wanted)), np.float64)


def greys(low: float, high: float, count: int = 43_200) -> WorkingRgb:
    """(count, 3) greys from 2^low to 2^high."""
    return WorkingRgb(np.repeat(2.0 ** np.linspace(low, high, count)[:, None], 3, axis=1).astype(np.float32))


def picture(count: int = 200_000) -> WorkingRgb:
    """(count, 3) ACEScg colours of surfaces and lights, 2^-10 to 2^6, none purer than paint."""
    rng = np.random.default_rng(1)
    rgb = rng.uniform(0.15, 1.0, (count, 3)) * 2.0 ** rng.uniform(-10, 6, (count, 1))
    return WorkingRgb(rgb.astype(np.float32))


def held(space: str, light: WorkingRgb) -> F32:
    """The light that a half file in `space` holds."""
    return CONFIG.to_working(space).apply(half(CONFIG.from_working(space).apply(light)))


def painted(encoding: str, light: WorkingRgb, strength: float) -> F32:
    """What is left of the plate under a network that paints exactly what it sees, in a half file."""
    space = ModelSpace(CONFIG, 1.0, encoding)
    return half(space.restore(ModelRgb(space.encode(light)), light, strength))


# ------------------------------------------------------------------------------------------------- tables


def plate_table() -> str:
    """A row for each space of a plate."""
    lines = [
        "| plate | float file, there and back | half file, there and back: values that change | what half costs |",
        "|---|---|---|---|",
    ]
    light, steady = picture(), greys(-6, 4)
    for space in PLATES:
        there, back = CONFIG.to_working(space), CONFIG.from_working(space)
        file = back.apply(light)
        error = stops(there.apply(back.apply(there.apply(file))), light).max()
        bits = half(file)
        changed = (half(back.apply(there.apply(bits))) != bits).mean()
        lines.append(
            f"| {space} | {_figure(error)} | {_share(changed)} | {_figure(stops(held(space, steady), steady).max())} |"
        )
    return "\n".join(lines)


def model_table() -> str:
    """Two rows for each model encoding: as painted, and with highlights restored."""
    lines = [
        "| encoding | codes 0 to 1 are | highlights | below 1 | 1 to 64 | 64 to 222 | 0.01 of code at 0.18 |",
        "|---|" + "---|" * 6,
    ]
    for encoding in ("srgb", "acescct"):
        space = ModelSpace(CONFIG, 1.0, encoding)
        low, high = space.decode_linear(ModelRgb(np.array([[0.0] * 3, [1.0] * 3], np.float32)))[:, 0]
        grey = space.encode(WorkingRgb(np.full((1, 3), 0.18, np.float32)))
        near = space.decode_linear(ModelRgb(grey + np.float32(0.01)))
        for strength, how in ((0.0, "as painted"), (1.0, "restored")):
            ranges = [greys(*ends) for ends in ((-6, -0.001), (0, 6), (6, np.log2(222.0)))]
            errors = " | ".join(_figure(stops(painted(encoding, light, strength), light).max()) for light in ranges)
            sensitive = _figure(stops(near, 0.18).max())
            lines.append(f"| `{encoding}` | {low:.2g} to {high:.4g} | {how} | {errors} | {sensitive} |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    if value < 1e-7:
        return "0"
    return f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")


def _share(value: float) -> str:
    return "none" if value == 0 else f"{value * 1e6:.0f} in a million"


# ------------------------------------------------------------------------------------------------- plot


def draw(path: Path) -> None:
    """The plot: error in stops against scene light."""
    mpl.rcParams.update(
        {
            "svg.hashsalt": "vfxswap",
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 3.9), sharex=True, sharey=True, layout="constrained")
    light = greys(LOW, HIGH)
    plot(left, light, held("ARRI LogC4", light), PURPLE, "-", "ARRI LogC4")
    plot(left, light, held("S-Log3 S-Gamut3.Cine", light), GREEN, "-", "S-Log3 S-Gamut3.Cine")
    plot(left, light, held("ACEScg", light), GREY, "-", "any linear space")
    left.set_title("A plate in a half file", loc="left", fontsize=10)
    plot(right, light, painted("srgb", light, 0.0), ORANGE, "--", "sRGB, as painted")
    plot(right, light, painted("srgb", light, 1.0), ORANGE, "-", "sRGB, highlights restored")
    plot(right, light, painted("acescct", light, 0.0), BLUE, "--", "ACEScct, as painted")
    plot(right, light, painted("acescct", light, 1.0), BLUE, "-", "ACEScct, highlights restored")
    right.set_title("A face from a perfect network, in a half file", loc="left", fontsize=10)
    for axes in (left, right):
        finish(axes)
    left.set_ylabel("largest error in stops")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def plot(axes: Axes, light: WorkingRgb, found: F32, color: str, style: str, label: str) -> None:
    """The largest error within each quarter of a stop."""
    bins = (HIGH - LOW) * 4
    error = stops(found[:, 0], light[:, 0]).reshape(bins, -1).max(axis=1)
    middle = LOW + (np.arange(bins) + 0.5) / 4
    axes.plot(middle, error, color=color, linestyle=style, linewidth=1.6, label=label)


def finish(axes: Axes) -> None:
    """Scales, grid and legend, the same for both."""
    axes.set_yscale("log")
    axes.set_ylim(2e-4, 20)
    axes.set_xlim(LOW, HIGH)
    axes.set_xticks(range(LOW, HIGH + 1, 2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"$2^{{{round(x)}}}$"))
    axes.set_yticks([1e-3, 1e-2, 1e-1, 1, 10], ["0.001", "0.01", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.axvline(np.log2(0.18), color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate("grey", (np.log2(0.18), 2.4e-4), xytext=(3, 0), textcoords="offset points", color=GREY, fontsize=8)
    axes.set_xlabel("scene light")
    axes.legend(loc="upper left", facecolor="white", edgecolor="none", framealpha=1.0, fontsize=8)


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "images")
    folder = parser.parse_args().output
    draw(folder / "color_roundtrip.svg")
    sys.stdout.write(f"{plate_table()}\n\n{model_table()}\n")


if __name__ == "__main__":
    main()
