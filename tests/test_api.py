"""The package from Python, and the examples as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import vfxswap
from vfxswap import api, exr
from vfxswap.errors import ConsentError
from vfxswap.events import Event, FrameDone
from vfxswap.frames import Report

from .support import Studio, digests, write_plate

EXAMPLES = Path(__file__).parents[1] / "examples"
DEMO = EXAMPLES / "demo"


def test_what_the_package_offers_is_there_and_typed() -> None:
    assert {name for name in vfxswap.__all__ if getattr(vfxswap, name) is None} == set()
    assert set(dir(vfxswap)) == set(vfxswap.__all__)
    for function in (vfxswap.swap_shot, vfxswap.run_job, vfxswap.track_shot):
        assert "return" in get_type_hints(function)
    assert (Path(api.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'swap_shots'"):
        vfxswap.swap_shots  # noqa: B018


def test_it_goes_through_the_gate(production: Studio, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate", frames=1)
    given = {"model": production.model(), "output": tmp_path / "out" / "o.####.exr", "keyring": production.keyring}
    few: list[tuple[Path, ...]] = [(), production.consents[:1]]
    for consents in few:
        with pytest.raises(ConsentError) as caught:
            vfxswap.swap_shot(plate, consents=consents, **given)  # type: ignore[arg-type]
        assert caught.value.exit_code == 77
    assert not (tmp_path / "out").exists()


def test_a_shot_is_swapped_and_a_chunk_has_the_same_pixels(production: Studio, face_plate: str, tmp_path: Path) -> None:
    told: list[Event] = []

    def swap(folder: str, only: str = "", on_event: api.OnEvent | None = None) -> Report:
        return vfxswap.swap_shot(
            face_plate,
            model=production.model(),
            output=tmp_path / folder / "o.####.exr",
            consents=production.consents,
            keyring=production.keyring,
            only=only,
            on_event=on_event,
            sign=False,
            device="cpu",
        )

    report = swap("whole", on_event=told.append)
    frames = [event.frame for event in told if isinstance(event, FrameDone)]
    assert (report.rendered, report.failed, len(frames)) == (len(frames), (), report.rendered)
    assert swap("whole").skipped == report.rendered
    assert swap("chunk", only=str(frames[0])).rendered == 1
    whole, chunk = digests(tmp_path / "whole"), digests(tmp_path / "chunk")
    (name,) = [name for name in chunk if name.endswith(".exr")]
    assert chunk[name] == whole[name]


def run(*words: str | Path) -> str:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    said = run(EXAMPLES / "swap_a_shot.py", tmp_path, "1008")
    assert "1 rendered, 0 there already, 0 failed" in said
    plate, made, rebuilt = DEMO / "plate" / "plate.1008.exr", tmp_path / "talk.1008.exr", tmp_path / "half.exr"
    said = run(EXAMPLES / "rebuild_the_comp.py", plate, made, rebuilt)
    off = float(said.split()[2])
    assert off < 0.005
    assert exr.read(rebuilt).rgb.shape == exr.read(plate).rgb.shape
    said = run(EXAMPLES / "look_at_a_track.py", DEMO / "plate", "1008-1009")
    assert [line.split(":")[0] for line in said.splitlines()] == ["1008", "1009"]


def test_every_example_is_run_by_a_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in here] == []
