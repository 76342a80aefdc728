"""How the swap gets better by the minute, of networks trained at the same time: the plot of docs/training.md.

    python docs/figures/race.py benchmarks/architectures/race.json [--output docs/images]

Reads what `benchmarks/architectures/race.py score` wrote.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

# Okabe and Ito's colors, which differ for color-blind eyes; shapes say the same again.
_LOOKS = {"tiny": ("#0072B2", "o"), "df-ud-tiny": ("#D55E00", "s")}
_FROM = 2.0


def main() -> None:
    """Draw both curves."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("curves", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    curves = json.loads(given.curves.read_text(encoding="utf-8"))
    mpl.rcParams.update({"svg.hashsalt": "vfxswap", "font.family": "DejaVu Sans", "font.size": 9})
    figure, axis = pyplot.subplots(figsize=(7.2, 3.4))
    for name, rows in curves.items():
        color, marker = _LOOKS.get(name, ("#777777", "^"))
        shown = [row for row in rows if row["minutes"] >= _FROM]
        x = [row["minutes"] for row in shown]
        axis.plot(x, [row["swap"] for row in shown], color=color, marker=marker, markersize=4, label=f"{name}: swap")
        repainted = [row["held_out"] for row in shown]
        axis.plot(x, repainted, color=color, linestyle=":", linewidth=1, label=f"{name}: repainted, held out")
    axis.set_xlabel("minutes of training, one core each, at the same time")
    axis.set_ylabel("PSNR, dB")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(given.output / "race.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
