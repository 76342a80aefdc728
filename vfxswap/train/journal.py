"""What a run leaves for people: a line for each score, previews over time, the page, TensorBoard's events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vfxswap import atomic
from vfxswap.models.autoencoder import Autoencoder
from vfxswap.train import page, preview
from vfxswap.train.bank import Bank
from vfxswap.train.board import Board
from vfxswap.train.checkpoint import State
from vfxswap.train.forecast import Forecast, forecast

METRICS = "metrics.jsonl"
PREVIEW = "preview.png"
PREVIEWS = "previews"
BOARD = "tensorboard"
MOST_PREVIEWS = 40

_PAGE_EVERY = 20.0
"""Seconds between two pages; they cost milliseconds."""


class Journal:
    """Writes into a model folder what people look at. Only the leading process of a training has one."""

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        """Read what an earlier run left; raises ModelError when TensorBoard is wanted and not installed."""
        self.folder = folder
        self.lines = read_lines(folder)
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._due = 0.0
        self._board = Board(folder / BOARD) if tensorboard else None

    def step(self, losses: Mapping[str, float]) -> None:
        """Count a step's losses; a line holds their means since the last one."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def scored(self, state: State, *, rates: Mapping[str, float]) -> None:
        """Append a line for the scores in `state`."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        line = {
            "step": state.step,
            "seconds": round(state.seconds, 1),
            "losses": means,
            "rates": dict(rates),
            "scores": state.scores,
        }
        self._append(line)
        if self._board is not None:
            self._board.scalars(state.step, {"loss": means, "rate": rates, "score": state.scores})

    def warned(self, code: str, message: str, *, step: int, seconds: float) -> None:
        """Append a line for what a person should know."""
        atomic.make_folder(self.folder)
        self._append({"step": step, "seconds": round(seconds, 1), "code": code, "warning": message})

    def sheet(
        self,
        step: int,
        net: Autoencoder,
        *,
        likeness: Bank,
        double: Bank,
        device: torch.device,
        coarse: float = 1.0,
    ) -> None:
        """Write the preview sheet (preview.py), and keep it among those over time."""
        data = preview.sheet(net, likeness=likeness, double=double, device=device, coarse=coarse)
        folder = atomic.make_folder(self.folder / PREVIEWS)
        for path in (self.folder / PREVIEW, folder / f"step-{step:08d}.png"):
            atomic.write_bytes(path, data)
        for path in thinned(sorted(folder.glob("step-*.png")), most=MOST_PREVIEWS):
            path.unlink(missing_ok=True)
        if self._board is not None:
            self._board.picture(step, data)

    def outlook(self, *, end: float) -> Forecast | None:
        """What the scores on the present facesets suggest for the end of the budget, seconds of training."""
        curve = [(line["seconds"], line["scores"]["likeness_psnr"]) for line in self._scored()]
        return forecast([t for t, _ in curve], [y for _, y in curve], end=end)

    def scores(self) -> list[dict[str, float]]:
        """All scores on the present facesets, in order."""
        return [line["scores"] for line in self._scored()]

    def _scored(self) -> list[dict[str, Any]]:
        """The lines with scores on the present facesets."""
        found: list[dict[str, Any]] = []
        for line in self.lines:
            if line.get("code") == "changed":
                found.clear()
            elif "likeness_psnr" in line.get("scores", {}):
                found.append(line)
        return found

    def write_page(self, state: State, *, standing: page.Standing, now: bool = True) -> None:
        """Write the page, at once or when the last one is old."""
        if not now and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _PAGE_EVERY
        names = sorted(path.name for path in (self.folder / PREVIEWS).glob("step-*.png"))
        page.write(self.folder / page.PAGE, state=state, lines=self.lines, previews=names, standing=standing)

    def close(self) -> None:
        """End TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / METRICS
        text = json.dumps(line) + "\n"
        try:
            with path.open("ab+") as handle:
                if handle.tell():
                    handle.seek(-1, 2)
                    # A line that a killed run did not finish must not spoil this one.
                    text = text if handle.read(1) == b"\n" else "\n" + text
                handle.write(text.encode())
        except OSError as error:
            raise atomic.writing_error(error, path) from error
        self.lines = _in_order([*self.lines, line])


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a folder's metrics; those of steps that were taken back, and torn ones, are left out."""
    try:
        text = (folder / METRICS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise atomic.writing_error(error, folder / METRICS) from error
    found = []
    for part in text.splitlines():
        try:
            line = json.loads(part)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int) and "seconds" in line:
            found.append(line)
    return _in_order(found)


def _in_order(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the scores of steps that a later line has again, for the run went back; warnings stay."""
    kept: list[dict[str, Any]] = []
    least: int | None = None
    for line in reversed(lines):
        if "warning" in line:
            kept.append(line)
        elif least is None or line["step"] < least:
            kept.append(line)
            least = line["step"]
    return kept[::-1]


def thinned(paths: list[Path], *, most: int) -> list[Path]:
    """Which of `paths`, named by step and in order, to remove so that `most` stay, evenly spread; never an end."""
    paths, gone = list(paths), []
    while len(paths) > max(2, most):
        steps = [int(path.stem.rpartition("-")[2]) for path in paths]
        gaps = [steps[i + 1] - steps[i - 1] for i in range(1, len(steps) - 1)]
        gone.append(paths.pop(1 + gaps.index(min(gaps))))
    return gone
