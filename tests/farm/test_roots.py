"""A worker touches nothing outside of the folders it was given, whatever a job names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vfxswap.cli.farm_roots import VARIABLE, Roots
from vfxswap.errors import JobError, UsageError
from vfxswap.job import SwapJob

from ..color import configs
from .conftest import Farm, execute


@pytest.fixture
def show(tmp_path: Path) -> Path:
    """A root with a plate in it; beside it a folder of somebody else's."""
    for folder in ("show/plate", "show/out", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    for frame in (1, 2):
        (tmp_path / f"show/plate/p.{frame:04d}.exr").write_bytes(b"")
    (tmp_path / "secret/s.0001.exr").write_bytes(b"")
    (tmp_path / "secret/file").write_bytes(b"")
    return tmp_path / "show"


def job(show: Path, **changes: Any) -> SwapJob:
    fields: dict[str, Any] = {
        "plate": f"{show}/plate/p.%04d.exr", "output": f"{show}/out/o.%04d.exr", "model": show / "m.vfxmodel",
        "consents": (show / "a.json",), "keyring": show / "ring", "track": show / "t.vfxtrack",
        "measurements": show / "s.vfxshot", "lens": f"{show}/lens.%04d.exr", "color_config": f"{show}/c.ocio",
        "matte": (f"{show}/hand.####.exr:A,holdout",),
        "also": ({"face": "1", "model": show / "n.vfxmodel", "matte": (f"{show}/n.exr",)},),
    }  # fmt: skip
    return SwapJob.make(**{**fields, **changes})


def roots(*given: Path, environ: dict[str, str] | None = None) -> Roots:
    return Roots.of(given, environ or {})


def test_a_job_inside_passes_and_without_roots_any_does(show: Path) -> None:
    roots(show).check_job(job(show))
    roots(show).check_job(job(show, color_config="ocio://default", plate=f"{show}/plate", keyring=None))
    roots().check_job(job(show, plate="/etc/p.%04d.exr"))


OUT = "SHOW/../secret"


@pytest.mark.parametrize(
    "changes",
    [
        {"plate": f"{OUT}/s.%04d.exr"},
        {"plate": f"{OUT}"},
        {"plate": f"{OUT}/%V/s.%04d.exr"},
        {"plate": "/etc/hostname"},
        {"output": f"{OUT}/o.%04d.exr"},
        {"output": "SHOW/../../new/o.%04d.exr"},
        {"model": f"{OUT}/file"},
        {"consents": ["SHOW/a.json", f"{OUT}/file"]},
        {"keyring": OUT},
        {"track": f"{OUT}/t.vfxtrack"},
        {"measurements": f"{OUT}/s.vfxshot"},
        {"lens": f"{OUT}/s.%04d.exr"},
        {"color_config": f"{OUT}/file"},
        {"matte": [f"{OUT}/s.####.exr:A"]},
        {"also": [{"face": "1", "model": f"{OUT}/file"}]},
        {"also": [{"face": "1", "model": "SHOW/n.vfxmodel", "measurements": f"{OUT}/file"}]},
        {"also": [{"face": "1", "model": "SHOW/n.vfxmodel", "matte": [f"{OUT}/s.####.exr"]}]},
    ],
)
def test_nothing_outside_passes(show: Path, changes: dict[str, Any]) -> None:
    text = json.dumps(changes).replace("SHOW", str(show))
    with pytest.raises(JobError, match="lies outside of what this worker may touch") as caught:
        roots(show).check_job(job(show, **json.loads(text)))
    assert VARIABLE in caught.value.hint


@pytest.mark.parametrize(
    "link", ["plate", "plate/p.0002.exr", "out", "out/.vfxswap", "m.vfxmodel", "ring", "t.vfxtrack"]
)
def test_links_are_followed(show: Path, link: str) -> None:
    place = show / link
    if place.is_dir():
        place.rename(show.parent / "moved")
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(show.parent / "secret", target_is_directory=True)
    with pytest.raises(JobError, match="outside"):
        roots(show).check_job(job(show))
    place.unlink()
    place.symlink_to(place)
    with pytest.raises(JobError, match=r"leads nowhere|outside"):
        roots(show).check_job(job(show))


def test_the_command_line_only_narrows(show: Path) -> None:
    secret = show.parent / "secret"
    environ = {VARIABLE: f"{show}{os.pathsep}{show.parent / 'secret'}"}
    both = roots(environ=environ)
    both.check([show / "x", secret / "x"])
    with pytest.raises(JobError):
        roots(show, environ=environ).check([secret / "x"])
    with pytest.raises(JobError):
        roots(show.parent, environ={VARIABLE: str(show)}).check([secret / "x"])
    with pytest.raises(JobError):
        roots(show).check([show.with_name("showstopper") / "x"])  # a name that begins alike is another folder


WANDERING = configs.SHOW.replace("search_path: luts", 'search_path: "luts:${PLACE}"').replace(
    "environment: {SHOT: s010}", "environment: {SHOT: s010, PLACE: luts}"
)
NAMED = """named_transforms:
  - !<NamedTransform> {name: look, transform: !<FileTransform> {src: SECRET}}
"""


def test_what_an_ocio_config_names_has_to_lie_inside(show: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = show.parent / "secret"
    config = configs.write_show(show / "ocio", grades={"s010": 1.0, "s020": 2.0}, text=WANDERING)
    configs.write_lut(secret / "grade_s030.spi1d", 1.0)
    ours = {"color_config": str(config)}
    roots(show).check_color(job(show, **ours))
    roots(show).check_color(job(show, **ours, color_context={"SHOT": "s020"}))
    roots(show).check_color(job(show, **ours, color_context={"SHOT": "s040", "PLACE": str(secret)}))  # there is none
    away = {"color_context": {"SHOT": "s030", "PLACE": str(secret)}}
    with pytest.raises(JobError, match=r"a file of the OCIO config .*grade_s030.* lies outside") as caught:
        roots(show).check_color(job(show, **ours, **away))
    assert VARIABLE in caught.value.hint
    roots().check_color(job(show, **ours, **away))
    (show / "ocio/luts/grade_s010.spi1d").unlink()
    (show / "ocio/luts/grade_s010.spi1d").symlink_to(secret / "file")
    with pytest.raises(JobError, match="which leads to"):
        roots(show).check_color(job(show, **ours))
    roots(show).check_color(job(show, **ours, color_context={"SHOT": "s020"}))

    config.write_text(configs.SHOW + NAMED.replace("SECRET", str(secret / "grade_s030.spi1d")))
    with pytest.raises(JobError, match="grade_s030"):
        roots(show).check_color(job(show, **ours, color_context={"SHOT": "s020"}))

    # A worker's own config is its own affair, until a job's context leads it elsewhere.
    own = configs.write_show(show.parent / "studio", grades={"s010": 1.0}, text=WANDERING)
    monkeypatch.setenv("OCIO", str(own))
    roots(show).check_color(job(show, color_config=""))
    with pytest.raises(JobError, match="grade_s030"):
        roots(show).check_color(job(show, color_config="", **away))
    roots(show).check_color(job(show, color_config="ocio://default"))


@pytest.mark.parametrize("text", ["relative", "/nowhere/at/all"])
def test_roots_have_to_be_there(text: str) -> None:
    for given, environ in (((Path(text),), {}), ((), {VARIABLE: text})):
        with pytest.raises(UsageError, match=text):
            Roots.of(given, environ)


def test_a_worker_refuses_and_writes_nothing(shot: Farm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert shot.submit("--to", "openjd") == 0
    before = sorted(shot.root.rglob("*"))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert shot.work("track") == 4
    assert shot.work("track", "--root", "/") == 4
    monkeypatch.delenv(VARIABLE)
    assert execute("farm", "work", "track", shot.worked, "--root", "elsewhere") == 2
    assert sorted(shot.root.rglob("*")) == before


def test_a_worker_opens_no_lut_from_outside(
    shot: Farm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    config = configs.write_show(shot.root / "ocio", grades={"s010": 1.0})
    (shot.root / "ocio/luts/grade_s010.spi1d").rename(elsewhere / "their.spi1d")
    (shot.root / "ocio/luts/grade_s010.spi1d").symlink_to(elsewhere / "their.spi1d")
    monkeypatch.setenv("OCIO", str(config))
    assert shot.submit("--to", "openjd") == 0
    monkeypatch.delenv("OCIO")
    ours = f"{shot.root}{os.pathsep}{shot.studio.root}"
    monkeypatch.setenv(VARIABLE, ours)
    capfd.readouterr()
    assert shot.work("track") == 4
    said = capfd.readouterr().err
    assert "a file of the OCIO config" in said and "their.spi1d" in said
    monkeypatch.setenv(VARIABLE, f"{ours}{os.pathsep}{elsewhere}")
    assert shot.work("track") == 0
