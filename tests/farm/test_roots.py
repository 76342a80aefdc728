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
