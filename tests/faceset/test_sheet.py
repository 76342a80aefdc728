"""The contact sheet: every crop, in order, with its reasons; one page that loads nothing."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vfxswap import exr, faceset
from vfxswap.errors import PlateError, UsageError
from vfxswap.faceset import sheet
from vfxswap.faceset.crops import Row

from . import made

NASTY = 'x"><script>alert(1)</script>&-02.000001'


class Page(HTMLParser):
    """The elements of a page, and the figures with everything inside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[dict[str, Any]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)
        if tag == "figure":
            self.figures.append({**dict(attrs), "text": ""})
        if tag == "img":
            self.figures[-1]["img"] = dict(attrs)["src"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "figure" in self.open:
            self.figures[-1]["text"] += data + " "


def with_pictures(folder: Path, rows: list[Row]) -> faceset.Faceset:
    """The rows as a faceset whose crops are as grey as their number."""
    for at, row in enumerate(rows):
        level = np.full((made.SIZE, made.SIZE), 0.02 * (at + 1), np.float16)
        channels = {"R": level, "G": level, "B": level, "mask": level}
        (folder / faceset.CROPS).mkdir(parents=True, exist_ok=True)
        exr.write_channels(folder / faceset.CROPS / f"{row.crop.name}.exr", channels=channels)
    made.write(folder, rows)
    return faceset.edit(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> faceset.Faceset:
    rows = made.rows(20)
    rows += [
        made.row("wide-01.000001", seed=50, pose_deg=(0.0, 40.0, 0.0), figures={"inside": 0.5}, person=1),
        made.row("wide-01.000002", seed=51, pose_deg=(10.0, -40.0, 0.0), gain=0.25, verdict="keep", note="<b>yes</b>"),
    ]
    return with_pictures(tmp_path_factory.mktemp("sheet") / "it's", rows)


@pytest.fixture(scope="module")
def page(source: faceset.Faceset) -> Page:
    _, path = faceset.write_sheet(source)
    return Page(path.read_text(encoding="utf-8"))


def test_every_crop_is_there_in_order_with_its_picture(source: faceset.Faceset, page: Page) -> None:
    assert {figure["data-name"] for figure in page.figures} == {crop.name for crop in source.crops}
    yaw = [float(figure["data-yaw"]) for figure in page.figures]
    assert yaw == sorted(yaw)
    for figure in page.figures:
        kind, _, code = str(figure["img"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_COLOR)
        crop = next(crop for crop in source.crops if crop.name == figure["data-name"])
        wanted = source.load(crop)[0].mean() * 255
        assert float(np.asarray(picture).mean()) == pytest.approx(wanted, abs=2)


def test_quarantined_crops_are_marked_with_their_reasons(source: faceset.Faceset, page: Page) -> None:
    figures = {figure["data-name"]: figure for figure in page.figures}
    wide = figures["wide-01.000001"]
    assert wide["class"] == "out"
    assert wide["data-kinds"] == "extreme identity"
    assert "50.0% of the face within the picture, at least 95.0%" in wide["text"]
    assert "not consistent with ben" in wide["text"]
    kept = figures["wide-01.000002"]
    assert (kept["class"], kept["data-exposure"]) == ("used", "2")
    assert "by hand: keep: <b>yes</b>" in kept["text"]
    assert "timecode 01:00:00:00" in kept["text"]
    assert [figure["class"] for figure in page.figures].count("used") == len(source.usable()) == 21


def test_the_page_sorts_and_filters_by_everything(page: Page) -> None:
    options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert options == list(faceset.SORTS)
    for key in faceset.SORTS:
        assert key == "name" or all(f"data-{key}" in figure for figure in page.figures), key
    shows = {a["value"] for tag, a in page.elements if tag == "input" and a.get("name") == "show"}
    assert shows == {"all", "used", "out", "extreme", "identity"}


def test_the_page_loads_nothing(source: faceset.Faceset, page: Page) -> None:
    text = (source.folder / sheet.HTML).read_text(encoding="utf-8")
    assert re.search(r"https?:|//\w|@import|url\(|fetch\(|XMLHttp", re.sub(r"base64,[^\"]*", "", text)) is None
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        assert "href" not in attributes
        assert tag != "script" or not attributes
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; img-src data:;")


def test_the_command_that_the_page_gives_is_quoted(source: faceset.Faceset, page: Page) -> None:
    (box,) = [attributes for tag, attributes in page.elements if tag == "textarea"]
    assert str(box["data-command"]).startswith("vfxswap faceset edit '/")
    assert str(box["data-command"]).endswith("""it'"'"'s'""")


def test_names_are_anybody_s(tmp_path: Path) -> None:
    rows = [made.row(f"{i}-00.000001", seed=i + 1, plate=NASTY, note=NASTY, verdict="keep") for i in range(2)]
    _, path = faceset.write_sheet(with_pictures(tmp_path, rows), sort="name")
    found = Page(path.read_text(encoding="utf-8"))
    assert [tag for tag, _ in found.elements].count("script") == 1
    assert all(NASTY in figure["text"] for figure in found.figures)


def test_the_picture_holds_every_crop_framed_by_its_status(source: faceset.Faceset) -> None:
    png, _ = faceset.write_sheet(source)
    rgb = np.asarray(cv2.imread(str(png)))[..., ::-1]
    step_x, step_y = sheet._THUMBNAIL + 8, sheet._THUMBNAIL + 8 + sheet._CAPTION
    assert rgb.shape == (36 + 2 * step_y, 16 * step_x + 8, 3)
    order = sorted(source.crops, key=lambda crop: (crop.pose_deg[1], crop.name))
    for at, crop in enumerate(order):
        x, y = 8 + at % 16 * step_x, 36 + at // 16 * step_y
        frame = sheet._USED if crop.quarantined is None else sheet._OUT
        assert tuple(rgb[y - 2, x + 10]) == frame
        assert float(rgb[y : y + 112, x : x + 112].mean()) == pytest.approx(source.load(crop)[0].mean() * 255, abs=2)


@pytest.mark.parametrize("key", faceset.SORTS)
def test_every_order_can_be_asked_for(source: faceset.Faceset, tmp_path: Path, key: str) -> None:
    png, path = faceset.write_sheet(source, folder=tmp_path, sort=key)
    figures = Page(path.read_text(encoding="utf-8")).figures
    values = [f["data-name"] if key == "name" else float(f[f"data-{key}"]) for f in figures]
    assert values == sorted(values)
    assert png.parent == path.parent == tmp_path
    assert f'value="{key}" selected' in path.read_text(encoding="utf-8")


def test_large_sets_have_smaller_pictures(monkeypatch: pytest.MonkeyPatch, source: faceset.Faceset) -> None:
    monkeypatch.setattr(sheet, "_TALLEST", 200)
    png, _ = faceset.write_sheet(source)
    assert np.asarray(cv2.imread(str(png))).shape[0] <= 260
    monkeypatch.undo()
    faceset.write_sheet(source)


def test_the_same_faceset_gives_the_same_bytes(source: faceset.Faceset, tmp_path: Path) -> None:
    for name in ("a", "b"):
        faceset.write_sheet(source, folder=tmp_path / name)
    for file in (sheet.PNG, sheet.HTML):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_is_refused(source: faceset.Faceset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--sort is 'beauty'; choose one of yaw, pitch"):
        faceset.write_sheet(source, sort="beauty")
    with pytest.raises(PlateError, match=r"look-00\.000001"):
        faceset.write_sheet(made.write(tmp_path, made.rows(1)))


def test_unknown_figures_come_last(tmp_path: Path) -> None:
    bare = made.row("old-00.000001", seed=3)
    bare = replace(bare, crop=replace(bare.crop, figures={}), embedding=np.zeros_like(bare.embedding))
    _, path = faceset.write_sheet(with_pictures(tmp_path, [bare, *made.rows(6)]), sort="identity")
    figures = Page(path.read_text(encoding="utf-8")).figures
    assert figures[-1]["data-name"] == "old-00.000001"
    assert "data-identity" not in figures[-1]
