"""Makes the speed page: docs/speed.md and its plot, from what `vfxswap bench CASE --json FILE` wrote.

python tools/speed_page.py benchmarks/speed --output docs/speed.md

Files of the same case are runs of it: a ratio is then told as its range. Machines are told apart.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ORDER = ("swap", "io", "color", "blend", "net", "track", "provenance", "memory")

# Okabe and Ito's colors, which differ for color-blind eyes; shapes say the same again.
_MET, _MISSED, _PLAIN, _INK = "#0072B2", "#D55E00", "#777777", "#555555"

# More than this shared the cores with what was measured: wall ratios are then worth less than CPU ratios.
_BUSY = 3.0

_ROW, _LEFT, _RIGHT, _WIDTH = 20, 430, 90, 960

CUDA = ", cuda"

_HEAD = """# Speed

Made by `make bench` from what `vfxswap bench CASE --json FILE` measures. Steps run in turns, round after round, and the figures are
ratios of them: milliseconds belong to a machine and its mood, that one way costs five times less than another belongs to the code.

![Ratios and their targets](FIGURE)

*A filled dot meets its target in every run, a diamond does not, an open dot has none. The line through it is the range over runs; the
bar is the target.*
"""  # noqa: E501 - as wide as the other pages


@dataclass(frozen=True)
class Measured:
    """One ratio in all runs of its case."""

    name: str
    values: tuple[float, ...]
    at_least: float | None
    at_most: float | None

    @property
    def met(self) -> bool | None:
        """Whether every run met the target; None without one."""
        if self.at_least is not None:
            return min(self.values) >= self.at_least
        return None if self.at_most is None else max(self.values) <= self.at_most

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    @property
    def words(self) -> str:
        """The value, or its range."""
        low, high = _number(min(self.values)), _number(max(self.values))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Case:
    """A case on one machine."""

    name: str
    setup: str
    runs: int
    ratios: tuple[Measured, ...]
    stages: tuple[tuple[str, float, float], ...]
    machine: Mapping[str, str]
    loads: tuple[float, ...]


def read(paths: Sequence[Path]) -> list[Case]:
    """Results, runs of the same case on the same kind of machine put together."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for path in sorted(paths):
        found = json.loads(path.read_text(encoding="utf-8"))
        where = json.dumps({key: found["machine"].get(key) for key in ("system", "cores")})
        groups.setdefault((where, found["case"], found["setup"]), []).append(found)
    cases = [_case(runs) for runs in groups.values()]
    return sorted(cases, key=lambda case: (ORDER.index(case.name) if case.name in ORDER else len(ORDER), case.setup))


def _case(runs: Sequence[dict[str, Any]]) -> Case:
    first = runs[0]
    ratios = []
    for one in first["ratios"]:
        values = tuple(r["value"] for run in runs for r in run["ratios"] if r["name"] == one["name"])
        ratios.append(Measured(one["name"], values, one["at_least"], one["at_most"]))
    stages = tuple((stage["name"], stage["wall_ms"], stage["cpu_ms"]) for stage in first["stages"])
    loads = tuple(float(run["machine"]["load"]) for run in runs if "load" in run["machine"])
    return Case(first["case"], first["setup"], len(runs), tuple(ratios), stages, first["machine"], loads)


def page(cases: Sequence[Case], *, figure: str) -> str:
    """The page as Markdown."""
    lines = [_HEAD.replace("FIGURE", figure)]
    for case in cases:
        runs = f", {case.runs} runs" if case.runs > 1 else ""
        lines += [f"## {case.name}", "", f"{case.setup[0].upper()}{case.setup[1:]}; {machine(case)}{runs}.", ""]
        if case.ratios:
            lines += ["| ratio | | target | |", "|---|---|---|---|"]
            for one in case.ratios:
                met = {None: "", True: "met", False: "**missed**"}[one.met]
                lines.append(f"| {_cell(one.name)} | {one.words} | {one.target} | {met} |")
            lines.append("")
        lines += ["| step | wall ms | CPU ms |", "|---|---|---|"]
        lines += [f"| {_cell(name)} | {wall:.1f} | {cpu:.1f} |" for name, wall, cpu in case.stages]
        lines.append("")
    lines += [*gpu(cases), ""]
    return "\n".join(lines)


def machine(case: Case) -> str:
    """Where it was measured, without what changes at every release."""
    where = f"{case.machine.get('system', 'unknown')}, {case.machine.get('cores', '?')} logical cores"
    busy = f" that {max(case.loads):.0f} processes wanted" if case.loads and max(case.loads) >= _BUSY else ""
    return where + busy


def gpu(cases: Sequence[Case]) -> Iterator[str]:
    """What a GPU does: measured, or said not to be."""
    yield from ("## GPU", "")
    measured = [
        (name, wall, cpu) for case in cases if case.name == "net" for name, wall, cpu in case.stages if CUDA in name
    ]
    names = [
        name.removesuffix(", cpu")
        for case in cases
        if case.name == "net"
        for name, _, _ in case.stages
        if ", cpu" in name
    ]
    yield from ("| network on CUDA | wall ms | CPU over GPU |", "|---|---|---|")
    if measured:
        ratios = {one.name: one.words for case in cases if case.name == "net" for one in case.ratios}
        for name, wall, _ in measured:
            over = ratios.get(name.replace(CUDA, ", cpu") + ": CPU over GPU", "")
            yield f"| {_cell(name.removesuffix(CUDA))} | {wall:.1f} | {over} |"
        return
    for name in dict.fromkeys(names):
        yield f"| {_cell(name)} | not run | not run |"
    yield from ("| training step (`hd`, `film`) | not run | not run |", "")
    yield "No GPU took part in these figures. `vfxswap bench net` measures both where there is one."


def plot(cases: Sequence[Case]) -> str:
    """Every ratio on one logarithmic axis, as SVG."""
    rows = [(case, one) for case in cases for one in case.ratios if min(one.values) > 0]
    targets = [goal for _, one in rows if (goal := one.at_least or one.at_most)]
    values = [value for _, one in rows for value in one.values] + targets
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    height = _ROW * (len(rows) + len({case.name + case.setup for case, _ in rows})) + 50

    def x(value: float) -> float:
        return _LEFT + (math.log10(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        weight = 1.5 if power == 0 else 0.5
        parts.append(
            f'<line x1="{at:.1f}" y1="24" x2="{at:.1f}" y2="{height - 10}" stroke="#bbbbbb" stroke-width="{weight}"/>'
        )
        parts.append(f'<text x="{at:.1f}" y="16" text-anchor="middle" fill="{_INK}">{10.0**power:g}</text>')
    y, shown = 24, None
    for case, one in rows:
        if shown != (case.name, case.setup):
            shown = (case.name, case.setup)
            y += _ROW
            parts.append(f'<text x="8" y="{y + 4}" font-weight="bold" fill="#222222">{escape(case.name)}</text>')
        y += _ROW
        parts += _row(one, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(one: Measured, x: Any, y: int) -> Iterator[str]:
    """A ratio's name, its range, its mark, its target and its value."""
    name = one.name if len(one.name) <= 66 else one.name[:65] + "…"
    yield f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end" fill="#222222">{escape(name)}</text>'
    middle = sorted(one.values)[len(one.values) // 2]
    color = {None: _PLAIN, True: _MET, False: _MISSED}[one.met]
    ends = x(min(one.values)), x(max(one.values))
    yield f'<line x1="{ends[0]:.1f}" y1="{y}" x2="{ends[1]:.1f}" y2="{y}" stroke="{color}" stroke-width="2"/>'
    at, goal = x(middle), one.at_least or one.at_most
    if goal:
        yield f'<rect x="{x(goal) - 1.5:.1f}" y="{y - 8}" width="3" height="16" fill="{_INK}"/>'
    if one.met is None:
        yield f'<circle cx="{at:.1f}" cy="{y}" r="4.5" fill="#ffffff" stroke="{color}" stroke-width="2"/>'
    elif one.met:
        yield f'<circle cx="{at:.1f}" cy="{y}" r="5" fill="{color}"/>'
    else:
        yield f'<path d="M{at:.1f} {y - 6}l6 6l-6 6l-6 -6z" fill="{color}"/>'
    yield f'<text x="{_WIDTH - 8}" y="{y + 4}" text-anchor="end" fill="#222222">{one.words}</text>'


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, and the plot into images/ beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of JSON files")
    parser.add_argument("--output", type=Path, required=True, help="the page, .md")
    given = parser.parse_args(arguments)
    cases = read(sorted(given.results.glob("*.json")))
    if not cases:
        parser.error(f"{given.results} holds no results; vfxswap bench swap --json {given.results}/swap.json")
    figure = given.output.parent / "images" / "speed.svg"
    figure.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(page(cases, figure="images/speed.svg"), encoding="utf-8")
    figure.write_text(plot(cases), encoding="utf-8")


if __name__ == "__main__":
    main()
