"""The page: what is in the file, and in a real browser what people see and do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from vfxswap import cli, marks, review
from vfxswap.cli.common import Run
from vfxswap.color import ColorConfig
from vfxswap.events import CancelToken, NdjsonSink
from vfxswap.geometry import Window
from vfxswap.plate import open_plate
from vfxswap.review.panel import Panel
from vfxswap.review.pictures import Curve, around, table

from . import material
from .browser import CHROMIUM, Browser, browsing

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")


@dataclass(frozen=True)
class Made:
    shot: material.Material
    page: Path
    text: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("review")
    shot = material.make(folder)
    (folder / "qc.json").write_text(shot.report.text())
    page = folder / "page.html"
    asked = ("review", shot.output, "--plate", shot.plate, "--qc", str(folder / "qc.json"), "--truth", shot.truth)
    assert cli.execute(Run((*asked, "--output", str(page)))) == 0
    return Made(shot, page, page.read_text())


# ---------------------------------------------------------------------------------------------- without one


def test_the_page_holds_everything_it_needs_and_no_address(made: Made) -> None:
    assert made.text.count('<script type="text/plain" id="p') == len(made.shot.frames)
    assert marks.HTML in made.text and marks.HTML_META in made.text
    assert not re.findall(r"https?://", made.text)
    assert not re.findall(r'(?:src|href)="', made.text)
    assert "@" not in re.sub(r"@media", "", made.text.split("<script")[0])
    data = re.search(r'id="data">(.*?)</script>', made.text, re.S)
    assert data is not None
    facts = json.loads(data[1])
    assert facts["report"]["unmeasured"]["gaze"] == "</script> is not the end"
    assert facts["frames"][0]["tc"] == "01:00:41:00" and facts["fps"] == 24


def test_codes_keep_light_to_a_twentieth_of_a_stop() -> None:
    curve = Curve.of(0.5)
    light = np.geomspace(curve.toe, curve.top, 1000, dtype=np.float32)
    again = curve.decode(np.asarray(np.round(curve.encode(light) * 255) / 255, np.float32))
    assert np.abs(np.log2(again / light)).max() < 0.06
    assert curve.encode(np.array([-1.0, 0.0, curve.top, 1e9], np.float32)).tolist() == pytest.approx([0, 0, 1, 1])
    assert curve.decode(curve.encode(light)) == pytest.approx(light, rel=1e-4)


def test_the_table_is_the_view_with_red_fastest() -> None:
    config = ColorConfig.load()
    display, views = next(iter(config.displays().items()))
    view, curve = config.to_display(display, views[0]), Curve.of(1.0)
    found = table(curve, view, size=5)
    steps = curve.decode(np.linspace(0, 1, 5, dtype=np.float32))
    expected = view.apply(np.array([[steps[4], steps[2], steps[1]]], np.float32))
    assert found[1, 2, 4] == pytest.approx(np.clip(expected[0] * 255, 0, 255), abs=0.51)


def test_the_window_around_what_changed() -> None:
    mask = np.zeros((20, 30), bool)
    assert around(mask).empty
    mask[7:9, 11] = True
    assert around(mask) == Window(8, 4, 6, 7)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "nothing to write"),
        (("--output", "page.pdf"), 2, "ends with .html"),
        (("--movie", "a.avi"), 2, "name it .mp4"),
        (("--output", "p.html", "--qc", "none.json"), 4, "no such file"),
        (("--output", "p.html", "--display", "Cinema 9"), 4, "no view"),
    ],
)
def test_what_is_refused(made: Made, tmp_path: Path, monkeypatch, capsys, arguments, code: int, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    if "--display" in arguments:
        (tmp_path / "qc.json").write_text(made.shot.report.text())
        arguments = (*arguments, "--qc", "qc.json")
    assert cli.execute(Run(("review", made.shot.output, "--plate", made.shot.plate, *arguments))) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert said in error and error.startswith("vfxswap: error: ")
    assert {path.name for path in tmp_path.iterdir()} <= {"qc.json"}


def test_a_report_of_other_frames_is_noticed(tmp_path: Path, capsys) -> None:
    shot = material.make(tmp_path, frames=3)
    others = [one.model_copy(update={"sha256": "0" * 64}) for one in shot.report.frames]
    (tmp_path / "qc.json").write_text(shot.report.model_copy(update={"frames": tuple(others)}).text())
    asked = ("review", shot.output, "--plate", shot.plate, "--output", str(tmp_path / "p.html"))
    assert cli.execute(Run((*asked, "--qc", str(tmp_path / "qc.json")))) == 0
    assert "3 frames are others than in the report" in capsys.readouterr().err


def test_a_cancelled_page_leaves_nothing(made: Made, tmp_path: Path) -> None:
    shot = made.shot
    plate = open_plate(shot.plate)
    page = review.Page("t", plate, open_plate(shot.output), shot.report, Panel("none", "", {}))
    token = CancelToken()
    token.cancel()
    with open(tmp_path / "events", "w") as events, pytest.raises(Exception, match="cancelled"):
        review.write_page(page, tmp_path / "page.html", sink=NdjsonSink(events), cancel=token)
    assert [path.name for path in tmp_path.iterdir()] == ["events"]
    with open(tmp_path / "events", "w") as events:
        small = review.write_page(
            replace(page, width=160), tmp_path / "page.html", sink=NdjsonSink(events), cancel=CancelToken()
        )
    assert small.size == (tmp_path / "page.html").stat().st_size and set(small.parts) == {"p", "c", "m"}


# ---------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(browser: Browser, made: Made) -> Iterator[Browser]:
    browser.open(made.page)
    browser.settle()
    yield browser
    assert browser.complaints == []


def reference(picture: np.ndarray, *, stops: float = 0.0, view: int = 0) -> np.ndarray:
    config = ColorConfig.load()
    display, views = next(iter(config.displays().items()))
    shown = config.to_display(display, views[view]).apply(picture.astype(np.float32) * 2**stops)
    return np.asarray(np.clip(shown, 0, 1) * 255)


def off(seen: np.ndarray, expected: np.ndarray) -> float:
    """Mean error in codes."""
    return float(np.abs(seen.astype(np.float64) - expected).mean())


@needs_browser
def test_the_browser_shows_what_ocio_shows(opened: Browser, made: Made) -> None:
    """In each layer, exposure and view; and so it does without a graphics card."""
    plate, comp = material.plate(1001), material.comp(1001)
    assert off(opened.canvas(), reference(comp)) < 2.2
    opened.key("Digit1")
    assert off(opened.canvas(), reference(plate)) < 2.2 < 4 < off(opened.canvas(), reference(comp))
    opened.key("ArrowUp")
    opened.key("ArrowUp")
    assert opened.said("stops") == "1" and off(opened.canvas(), reference(plate, stops=1)) < 2.2
    opened.key("KeyV")
    seen = opened.canvas()
    assert off(seen, reference(plate, stops=1, view=1)) < 2.2
    opened.key("Digit5")
    assert off(opened.canvas(), reference(comp.astype(np.float32) * 1.1, stops=1, view=1)) < 2.5
    opened.open(made.page, hash_="#processor")
    assert opened.said("drawing") == "processor"
    for code in ("Digit1", "ArrowUp", "ArrowUp", "KeyV"):
        opened.key(code)
    assert off(opened.canvas(), seen) < 0.6


@needs_browser
def test_matte_and_difference_are_nothing_where_nothing_changed(opened: Browser) -> None:
    opened.key("Digit3")
    matte = opened.canvas()[..., 0]
    inside, outside = material.disc(), ~material.disc()
    outside[20:88, 60:132] = False
    assert matte[54, 96] > 245 and matte[outside].max() == 0
    opened.key("Digit4")
    difference = opened.canvas()
    assert difference[outside].max() == 0
    expected = 4 * np.abs(reference(material.comp(1001)) - reference(material.plate(1001)))
    assert off(difference[inside], np.clip(expected, 0, 255)[inside]) < 12


@needs_browser
def test_the_wipe_is_dragged(opened: Browser) -> None:
    plate, comp = (reference(one) for one in (material.plate(1001), material.comp(1001)))
    opened.key("KeyW")
    x, _, width, _ = opened.box("#stage")
    opened.drag("#stage", [(0.5, 0.5), (0.6, 0.5), (0.4, 0.5)])
    seen = opened.canvas()
    edge = round(0.4 * material.WIDTH)
    assert off(seen[:, : edge - 2], comp[:, : edge - 2]) < 2.2
    assert off(seen[:, edge + 2 :], plate[:, edge + 2 :]) < 2.2
    handle = opened.box("#handle")
    assert handle[0] + handle[2] / 2 == pytest.approx(x + 0.4 * width, abs=1.5)
    opened.key("Digit3", shift=True)
    assert opened.canvas()[54, 110, 0] > 245
    opened.key("KeyW")
    assert off(opened.canvas(), comp) < 2.2


@needs_browser
def test_frames_by_keys_clicks_and_drags(opened: Browser) -> None:
    def frame() -> int:
        return int(opened.said("frame"))

    start = opened.screenshot()
    for code, wanted in (("ArrowRight", 1002), ("End", 1012), ("ArrowLeft", 1011), ("Home", 1001), ("ArrowLeft", 1001)):
        opened.key(code)
        assert frame() == wanted
    opened.key("ArrowRight", shift=True)
    assert frame() == 1011
    assert off(opened.canvas(), reference(material.comp(1011))) < 2.2
    opened.click("[data-measure=lids] canvas", across=9.5 / 12)  # the dip
    assert frame() == 1010 and "blinks" in opened.run("document.getElementById('now').textContent")
    opened.drag("#timeline", [(0.05, 0.5), (0.5, 0.5), (6.4 / 12, 0.5)])
    assert frame() == 1007
    opened.click("#worst button:nth-child(1)")
    assert frame() == 1010  # three times the limit: worse than any seam here
    opened.key("KeyN")
    assert frame() == 1005 and "1005" in opened.run(
        "document.querySelector('#worst [aria-current=true] b').textContent"
    )
    opened.key("KeyP")
    assert frame() == 1010
    opened.key("Home")
    opened.run("document.activeElement.blur(); document.getElementById('worst').scrollLeft = 0; scrollTo(0, 0)")
    opened.settle()
    assert np.array_equal(opened.screenshot(), start)


@needs_browser
def test_it_plays_and_stops(opened: Browser) -> None:
    opened.ask("Input.dispatchKeyEvent", type="keyDown", code="Space", key=" ")
    opened.wait("Number(document.body.dataset.shown) > 1003")
    assert opened.said("playing") == "true"
    opened.ask("Input.dispatchKeyEvent", type="keyDown", code="Space", key=" ")
    opened.wait("document.body.dataset.playing == 'false'")
    opened.settle()
    frame = int(opened.said("frame"))
    assert off(opened.canvas(), reference(material.comp(frame))) < 2.2


@needs_browser
def test_controls_say_what_keys_do(opened: Browser) -> None:
    opened.click("#layers button:nth-child(1)")
    assert opened.said("layer") == "Plate"
    opened.click("#wipe")
    assert opened.said("wipe") == "true"
    opened.click("#stops", across=0.75)
    assert float(opened.said("stops")) == pytest.approx(3, abs=0.6)
    opened.key("Digit0")
    assert opened.run("document.getElementById('stops').value") == "0"
    opened.click("#zoom")
    assert opened.run("document.getElementById('zoom').checked")
    seen = opened.canvas()
    opened.key("KeyZ")
    assert off(opened.canvas(), seen) > 3
    assert "No manifest" in opened.run("document.getElementById('provenance').textContent")
    assert "ALTERED" in opened.run("document.querySelector('[role=note]').textContent")
    assert {url.split(":")[0] for url in opened.requests} == {"file", "data"}
