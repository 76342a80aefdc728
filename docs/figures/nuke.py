"""Draws the inside of gizmos, from their own text: docs/images/nuke_graph.svg and nuke_live.svg.

python docs/figures/nuke.py
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
from matplotlib import pyplot

ROOT = Path(__file__).parents[2]

_COLORS = {
    "Input": "#d9d9d9", "Output": "#d9d9d9", "Read": "#e8d9a8", "Expression": "#b9d3ea", "Multiply": "#b9d3ea",
    "Merge2": "#b7dcb4", "Copy": "#d7bfe3", "Switch": "#f2c6a8", "FilterErode": "#e6b8c4", "Blur": "#e6b8c4",
    "OCIOColorSpace": "#b9d3ea", "CornerPin2D": "#c9c3e6", "Transform": "#c9c3e6", "Crop": "#c9c3e6",
    "Premult": "#b9d3ea", "Inference": "#e8d9a8",
    "Dot": "#eeeeee",
}  # fmt: skip
_SAYS = {
    "Light": "(face - grain) × 2^((relight-1)·gain)",
    "TrimSwitch": "trim is on?",
    "Trimmed": "face's color × new alpha",
    "ToWorking": "if it is in another space",
    "MatteLimit": "× matte, if connected",
    "Mix": "× mix",
    "Grain": "+ grain, as the alpha wants",
    "WithLayers": "plate's RGBA, our layers",
    "Base": "pass all layers?",
    "Over": "face over plate",
    "FaceAlpha": "alpha: face?",
    "Show": "output",
    "Cached": "is anything cached?",
    "ShowDiff": "comp - plate",
    "ShowMatte": "alpha as RGB",
    "ShowMap": "stmap.u, .v as RG",
    "Ingredients": "the cached frames",
    "TrimErode": "alpha",
    "TrimBlur": "alpha",
    "MatteCopy": "into mask.a",
    "ToModel": "to the network's linear space",
    "TakeCrop": "plate -> crop",
    "CropFormat": "to the network's size",
    "Encode": "exposure gain, curve",
    "Inference1": "the .cat",
    "Decode": "curve and gain undone",
    "FromModel": "to the working space",
    "Place": "where the shot wants it",
    "PutBack": "crop -> plate",
    "OnPlate": "in the plate's format",
}


def reader() -> ModuleType:
    """The reader of gizmos that the tests use."""
    spec = importlib.util.spec_from_file_location("graph", ROOT / "tests" / "hosts" / "graph.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("tests/hosts/graph.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def draw(gizmo: str, target: Path) -> None:
    """Boxes where a gizmo puts its nodes, and its wires."""
    group, _ = reader().gizmo(ROOT / "gizmos" / f"{gizmo}.gizmo")
    at = {node.name: (float(node.value("xpos")), -float(node.value("ypos"))) for node in group.children}
    deep = max(-y for _, y in at.values())
    figure, axes = pyplot.subplots(figsize=(11, max(10, deep / 100)))
    for node in group.children:
        for number, above in enumerate(node.inputs):
            (x0, y0), (x1, y1) = at[above.name], at[node.name]
            begin = 2 if above.kind == "Dot" else 12
            style = {
                "arrowstyle": "-|>",
                "color": "#777777",
                "lw": 1.1,
                "shrinkA": begin,
                "shrinkB": 2 if node.kind == "Dot" else 12,
            }
            axes.annotate("", (x1, y1), (x0, y0), arrowprops=style, zorder=1)
            if node.kind in ("Merge2", "Copy"):
                label, share = ("B", "A")[number], 0.72
                axes.text(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share, label, fontsize=7, color="#444444", zorder=2)
    for node in group.children:
        x, y = at[node.name]
        said = _SAYS.get(node.name)
        text = "" if node.kind == "Dot" else f"{node.name}\n{said}" if said else node.name
        box = {"boxstyle": "round,pad=0.35", "facecolor": _COLORS[node.kind], "edgecolor": "#555555", "lw": 0.8}
        axes.text(x, y, text, ha="center", va="center", fontsize=7.5, bbox=box, zorder=3, linespacing=1.25)
    xs, ys = zip(*at.values(), strict=True)
    axes.set_xlim(min(xs) - 90, max(xs) + 90)
    axes.set_ylim(min(ys) - 40, max(ys) + 40)
    axes.axis("off")
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    pyplot.switch_backend("svg")
    mpl.rcParams["svg.hashsalt"] = "vfxswap"  # the same drawing, the same bytes
    for name, file_name in (("VfxSwap", "nuke_graph.svg"), ("VfxSwapLive", "nuke_live.svg")):
        draw(name, ROOT / "docs" / "images" / file_name)
