"""Plain progress for logs: seldom, with rate and time left once they can be told."""

from __future__ import annotations

import io
import itertools

import pytest

from vfxswap.cli import progress
from vfxswap.events import Progress


def lines(times: list[float], steps: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    stream, clock = io.StringIO(), itertools.cycle(times)
    monkeypatch.setattr("vfxswap.cli.progress.time.monotonic", lambda: next(clock))
    sink = progress.LineSink(stream)
    for done, total in steps:
        sink.emit(Progress(stage="swap", done=done, total=total))
    return stream.getvalue().splitlines()


def test_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines([0, 2, 6, 8, 30], [(1, 31), (2, 31), (13, 31), (14, 31), (31, 31)], monkeypatch)
    assert said == ["swap: 1/31", "swap: 13/31 (2.0/s, 0:09 left)", "swap: 31/31 (1.0/s)"]


def test_slow_work_is_told_in_seconds_each_and_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines([0, 40, 60], [(1, 400), (3, 400), (400, 400)], monkeypatch)
    assert said[1] == "swap: 3/400 (20.0 s each, 2:12:20 left)"


def test_work_that_goes_on_counts_only_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines([0, 10], [(90, 100), (95, 100)], monkeypatch)[1] == "swap: 95/100 (2.0 s each, 0:10 left)"


def test_a_second_shot_has_a_pace_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines([0, 300, 400, 402, 410], [(1, 31), (31, 31), (1, 12), (3, 12), (7, 12)], monkeypatch)
    assert said[2:] == ["swap: 1/12", "swap: 7/12 (1.7 s each, 0:08 left)"]
