"""The training page: one HTML file in the model folder that loads nothing but the preview sheets beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal

from vfxswap import __version__, atomic, marks
from vfxswap.train.chart import Ahead, Series, chart
from vfxswap.train.checkpoint import State
from vfxswap.train.config import TrainConfig
from vfxswap.train.forecast import Forecast

PAGE = "training.html"

Status = Literal["running", "finished", "stopped", "broken"]

_TEMPLATE = Path(__file__).with_name("training_page.html")
_REFRESH = 15
"""Seconds between two loads of the page while the training runs."""

_HEADS = ("likeness", "repainted", "double", "repainted", "swapped", "mask")
_LINES = 6
_MOST_WARNINGS = 30

_SCORES: dict[str, tuple[str, ...]] = {
    "PSNR, repainted": ("likeness_psnr", "double_psnr"),
    "SSIM and mask": ("likeness_ssim", "mask_iou"),
    "Can anybody tell? 0.5: no": ("probe_accuracy", "judge_accuracy"),
    "How sure a probe is that swaps are real": ("realism", "realism_least"),
}
_UNSEEN = {"probe_error"}
"""Scores that are no curve of their own."""
_SCALES: dict[str, tuple[float, ...]] = {"judge_accuracy": (0.4, 0.6), "realism": (0.0, 1.0)}
"""What a chart's scale reaches to at least, by one of its names."""
_LOSSES: dict[str, tuple[str, ...]] = {
    "Repainting and masks": ("likeness", "double", "mask"),
    "The adversarial pair": ("judge", "persuade", "matching"),
    "Identity in the code": ("codes_told", "confusion"),
}


@dataclass(frozen=True)
class Standing:
    """Where a run stands, for people."""

    status: Status
    spent: float
    """0..1 of the budget."""
    seconds: float
    step: int
    rate: float = 0.0
    """Steps in a second of late; 0: not known."""
    left: float = 0.0
    """Seconds of training to the end of the budget."""
    outlook: Forecast | None = None
    message: str = ""
    """Why it broke."""


def says_finished(folder: Path) -> bool:
    """True when the folder's page is of a training that has ended."""
    try:
        return 'data-status="finished"' in (folder / PAGE).read_text(encoding="utf-8", errors="replace")[:200]
    except OSError:
        return False


def write(
    path: Path, *, state: State, lines: Sequence[Mapping[str, Any]], previews: Sequence[str], standing: Standing
) -> None:
    """Write the page; atomic.

    Args:
        path: the file.
        state: the newest checkpoint's.
        lines: of metrics.jsonl.
        previews: names of the sheets in `previews/`, oldest first.
        standing: where the run stands now.

    Raises:
        OutputError, ResourceError: it cannot be written.
    """
    running, now = standing.status == "running", time.time()
    people = state.performers
    fields = {
        "altered": marks.HTML,
        "altered_meta": marks.HTML_META,
        "status": standing.status,
        "refresh": f'\n<meta http-equiv="refresh" content="{_REFRESH}">' if running else "",
        "title": escape(f"{path.resolve().parent.name}: {people.likeness} over {people.double}"),
        "palette": "\n".join(_palette()),
        "said": standing.status,
        "under": escape(standing.message or _under(state, standing)),
        "spent": f"{100 * min(1.0, standing.spent):.1f}",
        "tiles": _tiles(state, standing),
        "outlook": _outlook(standing),
        "sheet": _sheet(previews),
        "scores": "".join(_charts(lines, "scores", _SCORES, standing)),
        "losses": "".join([*_charts(lines, "losses", _LOSSES, standing), _rates(lines)]),
        "happened": _happened(lines),
        "settings": _settings(state),
        "previews": json.dumps(list(previews)).replace("<", "\\u003c"),
        "written": escape(
            f"Written {time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(now))}. vfxswap {__version__}"
        ),
        "stamp": f"{now:.0f}",
        "patience": "5",
    }
    atomic.write_text(path, Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(fields))


def duration(seconds: float) -> str:
    """A span in words: `35 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _palette() -> Iterator[str]:
    for i in range(_LINES):
        yield f".s{i} polyline {{ stroke: var(--c{i}); }} .s{i} circle {{ fill: var(--c{i}); }}"
        yield f".k{i}::before {{ background: var(--c{i}); }}"


def _under(state: State, standing: Standing) -> str:
    told = {
        "running": f"The page loads itself again every {_REFRESH} seconds.",
        "finished": "The budget is spent.",
        "stopped": "The same command goes on where it stopped.",
        "broken": "",
    }
    return f"Preset {state.config.preset}, {state.precision} on {state.device}. {told[standing.status]}"


def _tiles(state: State, standing: Standing) -> str:
    config = state.config
    budget = f"of {config.steps}" if config.steps is not None else f"of {duration(60 * (config.minutes or 0))}"
    tiles = {
        "step": f"{standing.step} {budget if config.steps is not None else ''}",
        "trained": f"{duration(standing.seconds)} {budget if config.steps is None else ''}",
    }
    if standing.status == "running":
        tiles["left"] = f"about {duration(standing.left)}"
    if standing.rate:
        tiles["steps per second"] = f"{standing.rate:.2f}"
    if "likeness_psnr" in state.scores:
        tiles["held-out PSNR"] = f"{state.scores['likeness_psnr']:.2f} dB"
    if standing.outlook is not None and standing.status != "finished":
        tiles["expected at the end"] = f"{standing.outlook.value:.1f} ± {standing.outlook.spread:.1f} dB"
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v.strip())}</dd></div>" for k, v in tiles.items())
    return f'<dl class="tiles">{cells}</dl>'


def _outlook(standing: Standing) -> str:
    found = standing.outlook
    if found is None or standing.status == "finished":
        return ""
    more = (
        f" At this pace one dB more takes about {duration(found.next_db)} of training."
        if found.next_db is not None
        else " The scores have stopped rising."
    )
    return (
        f'<p class="quiet">The expected score continues the held-out scores along the logarithm of time; '
        f"± is about two standard deviations of such a guess. Rates that fall and a judge that joins bend the curve: "
        f"take it as a hint.{more}</p>"
    )


def _sheet(previews: Sequence[str]) -> str:
    if not previews:
        return '<p class="quiet">The first sheet comes with the first score.</p>'
    heads = "".join(f"<span>{head}</span>" for head in _HEADS)
    return (
        f'<div class="sheet"><div class="heads">{heads}</div>'
        f'<img id="sheet" alt="preview sheet" src="previews/{escape(previews[-1])}">'
        f'<label><input id="when" type="range" min="0" max="{len(previews) - 1}" value="{len(previews) - 1}" '
        f'aria-label="preview"></label><p class="quiet" id="step"></p></div>'
    )


def _charts(
    lines: Sequence[Mapping[str, Any]], group: str, named: Mapping[str, tuple[str, ...]], standing: Standing
) -> Iterator[str]:
    """A chart for each group of names, and one for every name that nobody grouped."""
    known = {name for names in named.values() for name in names} | _UNSEEN
    others = sorted({name for line in lines for name in line.get(group, {})} - known)
    for title, names in (*named.items(), *((name.replace("_", " "), (name,)) for name in others)):
        ahead = None
        if "likeness_psnr" in names and standing.outlook is not None and 0 < standing.spent < 1:
            end = standing.seconds / standing.spent / 60
            ahead = Ahead(end, standing.outlook.value, standing.outlook.spread)
        unit = "dB" if "likeness_psnr" in names else ""
        series = [_series(lines, group, name) for name in names]
        least = next((_SCALES[name] for name in names if name in _SCALES), ())
        yield chart(title, series, unit=unit, ahead=ahead, log=group == "losses", least=least)


def _rates(lines: Sequence[Mapping[str, Any]]) -> str:
    names = sorted({name for line in lines for name in line.get("rates", {})})
    return chart("Learning rates", [_series(lines, "rates", name) for name in names[:_LINES]], log=True)


def _series(lines: Sequence[Mapping[str, Any]], group: str, name: str) -> Series:
    points = [(line["seconds"] / 60, line[group][name]) for line in lines if name in line.get(group, {})]
    points.sort()
    return Series(name.replace("_", " "), tuple(x for x, _ in points), tuple(y for _, y in points))


def _happened(lines: Sequence[Mapping[str, Any]]) -> str:
    warnings = [line for line in lines if "warning" in line][-_MOST_WARNINGS:]
    if not warnings:
        return ""
    rows = "".join(f"<tr><td>step {line['step']}</td><td>{escape(str(line['warning']))}</td></tr>" for line in warnings)
    return f"<h2>What happened</h2><table>{rows}</table>"


def _settings(state: State) -> str:
    left: dict[str, Any] = {
        name: value
        for name, value in state.config.model_dump(exclude_none=True).items()
        if name in ("preset", "encoding", "batch", "seed", "steps", "minutes")
        or value != TrainConfig.model_fields[name].default
    }
    right: dict[str, Any] = {"architecture": state.architecture, "device": state.device, "precision": state.precision}
    if state.processes > 1:
        right["processes"] = state.processes
    if state.micro_batch:
        right["crops at once"] = state.micro_batch
    if state.compiled:
        right["compiled"] = "yes"
    if state.rollbacks:
        right["rollbacks"] = f"{state.rollbacks}: rates are 1/{2**state.rollbacks}"
    if state.warm_start is not None:
        right["begun from"] = (
            f"{state.warm_start.name}, step {state.warm_start.step}: {', '.join(state.warm_start.taken)}"
        )
    right |= {f"faceset, {role}": digest[:16] for role, digest in state.data.items()}
    consents = [entry.get("id", "") for entry in state.consents]
    before = [e.get("id", "") for part in state.earlier for e in part.consents if e.get("id", "") not in consents]
    right |= {
        "consents": ", ".join(consents),
        **({"earlier consents": ", ".join(dict.fromkeys(before))} if before else {}),
    }
    return f'<div class="columns">{_table(left)}{_table(right)}</div>'


def _table(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"
