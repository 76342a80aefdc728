"""What people look at while it trains: the page, previews over time, TensorBoard's files."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from vfxswap.errors import Cancelled
from vfxswap.events import CancelToken
from vfxswap.train import journal
from vfxswap.train.chart import Ahead, Series, chart
from vfxswap.train.journal import BOARD, METRICS, PREVIEWS, Journal, thinned
from vfxswap.train.loop import Progress
from vfxswap.train.page import PAGE, duration

from .. import support
from . import synthetic

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Tree(HTMLParser):
    """Tags and texts; elements that are not closed are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def page(folder: Path) -> tuple[str, Tree]:
    text = (folder / PAGE).read_text()
    return text, Tree(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, studio: support.Studio) -> Path:
    folder = tmp_path_factory.mktemp("run") / "a <b> model"
    board = importlib.util.find_spec("tensorboard") is not None
    synthetic.trainer(folder, studio, steps=12, score_every_steps=2, adversary_from=0.5, tensorboard=board).run()
    return folder


def test_the_page_says_how_it_went(trained: Path, studio: support.Studio) -> None:
    text, tree = page(trained)
    assert "a <b> model: ben over anna" in tree.text
    assert "a &lt;b&gt; model" in text
    assert 'data-status="finished"' in text
    assert 'http-equiv="refresh"' not in text
    for title in ("PSNR, repainted, dB", "The adversarial pair", "Identity in the code", "Learning rates"):
        assert title in tree.text
    for consent in synthetic.grant(studio).consent_ids:
        assert consent in tree.text
    lines = [json.loads(line) for line in (trained / METRICS).read_text().splitlines()]
    assert len(lines) == 6
    # Each curve has a point for each line.
    assert len(re.findall("likeness psnr [0-9.]+ at", text)) == 6
    assert len(re.findall("<title>judge [-0-9.e]+ at", text)) == 3 + 6  # losses since it joined, and rates
    assert f"{lines[-1]['scores']['likeness_psnr']:.2f} dB" in tree.text


def test_the_page_loads_nothing_from_elsewhere(trained: Path) -> None:
    text, tree = page(trained)
    sources = [value for _, attributes in tree.tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources == [f"previews/{sorted(path.name for path in (trained / PREVIEWS).iterdir())[-1]}"]
    assert "http:" not in text
    assert "https:" not in text
    assert "default-src 'none'" in text


def test_previews_are_kept_over_time(trained: Path) -> None:
    names = sorted(path.name for path in (trained / PREVIEWS).iterdir())
    assert names == [f"step-{step:08d}.png" for step in (2, 4, 6, 8, 10, 12)]
    sheets = [(trained / PREVIEWS / name).read_bytes() for name in names]
    assert all(data.startswith(b"\x89PNG") for data in sheets)
    assert sheets[0] != sheets[-1]
    assert sheets[-1] == (trained / "preview.png").read_bytes()
    assert json.dumps(names) in (trained / PAGE).read_text()


@pytest.mark.parametrize("total", [41, 60, 200])
def test_old_previews_are_thinned_evenly(total: int) -> None:
    kept: list[Path] = []
    for step in range(1, total + 1):
        kept.append(Path(f"step-{step:08d}.png"))
        for gone in thinned(kept, most=40):
            kept.remove(gone)
    steps = [int(path.stem[5:]) for path in kept]
    assert len(steps) == 40
    assert (steps[0], steps[-1]) == (1, total)
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert max(gaps) <= 2 * -(-total // 40)


def test_while_it_runs_the_page_loads_itself_again(tmp_path: Path, studio: support.Studio) -> None:
    seen: list[str] = []
    token = CancelToken()

    def report(now: Progress) -> None:
        seen.append((tmp_path / PAGE).read_text())
        if now.step == 3:
            token.cancel()

    trainer = synthetic.trainer(tmp_path, studio, steps=8, score_every_steps=1)
    with pytest.raises(Cancelled):
        trainer.run(report=report, cancel=token)
    assert all('http-equiv="refresh"' in text and 'data-status="running"' in text for text in seen)
    text, tree = page(tmp_path)
    assert 'data-status="stopped"' in text
    assert 'http-equiv="refresh"' not in text
    assert "The same command goes on where it stopped." in tree.text
    Tree(seen[0])

    synthetic.trainer(tmp_path, studio, steps=8, score_every_steps=1).run(report=report)
    assert "expected at the end" in seen[-2]
    assert 'data-status="finished"' in page(tmp_path)[0]


def test_what_happened_is_on_the_page(tmp_path: Path, studio: support.Studio) -> None:
    synthetic.trainer(tmp_path, studio, steps=2).run()
    synthetic.trainer(tmp_path, studio, steps=4, double=synthetic.bank(synthetic.ANNA, digest="<new>")).run()
    text, tree = page(tmp_path)
    assert "the faceset of the double is not the one of the first 2 steps" in tree.text
    assert "&lt;new&gt;" in text


def test_torn_and_repeated_lines_are_left_out(tmp_path: Path) -> None:
    def line(step: int, **more: Any) -> str:
        return json.dumps({"step": step, "seconds": float(step), **more}) + "\n"

    lines = [line(2, scores={}), line(4, scores={}), line(4, warning="back"), line(3, scores={}), '{"step": 5, "sec']
    (tmp_path / METRICS).write_text("".join(lines))
    found = Journal(tmp_path, tensorboard=False)
    assert [entry["step"] for entry in found.lines] == [2, 4, 3]  # the score of step 4 was taken back, the warning not
    assert "warning" in found.lines[1]
    found.warned("memory", "less", step=6, seconds=6.0)
    assert [entry["step"] for entry in journal.read_lines(tmp_path)] == [2, 4, 3, 6]


def test_tensorboard_reads_the_events(trained: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / BOARD))
    events.Reload()
    assert {"score/likeness_psnr", "loss/likeness", "loss/judge", "rate/painter"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("score/likeness_psnr")] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in events.Images("preview")][-1] == 12


# ------------------------------------------------------------------------------------------------ charts


def test_a_chart_holds_every_value_it_is_given() -> None:
    figure = chart("x", [Series("a", (1.0, 2.0, 3.0), (0.001, 5.0, 0.5))], log=True, unit="dB")
    assert "x, dB, logarithmic" in figure
    heights = [float(y) for y in re.findall(r'cy="([-0-9.]+)"', figure)]
    assert all(0 <= y <= 210 for y in heights)
    assert heights[0] > heights[2] > heights[1]
    assert chart("x", []) == chart("x", [Series("a", (), ())]) == ""


def test_a_chart_shows_what_is_expected() -> None:
    figure = chart("x", [Series("a", (1.0, 2.0), (20.0, 21.0))], ahead=Ahead(10.0, 24.0, 1.5))
    assert "expected 24.0 ± 1.5 at 10 min" in figure


def test_values_that_are_no_numbers_are_left_out_and_constants_have_a_scale() -> None:
    figure = chart("x", [Series("a", (1.0, 2.0, 3.0), (0.5, float("nan"), 0.5))])
    assert figure.count("<circle") == 2
    assert "nan" not in figure


def test_long_trainings_have_no_more_points_than_pixels() -> None:
    count = 5000
    figure = chart("x", [Series("a", tuple(map(float, range(count))), tuple(map(float, range(count))))])
    assert figure.count("<circle") <= 242
    assert f"{count - 1:.1f} min" in figure


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (7505, "2 h 05 min")]
)
def test_spans_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_newest_sheet(trained: Path) -> None:
    shown = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom",
         (trained / PAGE).resolve().as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "step 12, the newest" in shown.stdout
    assert 'src="previews/step-00000012.png"' in shown.stdout
