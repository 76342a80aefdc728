from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .fake_nuke import FakeNuke
from .shot import Shot, pick, started

if TYPE_CHECKING:
    import vfxswap_bridge as bridge

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"

# As a host has them on its path: they are no part of the package.
for folder in (ROOT / "hosts" / "bridge", ROOT / "hosts" / "nuke"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True)
def _our_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is this interpreter's vfxswap."""
    monkeypatch.setenv("VFXSWAP_PYTHON", sys.executable)
    monkeypatch.delenv("OCIO", raising=False)


@pytest.fixture(scope="session")
def demo_track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped shot, tracked once: three frames of it."""
    import subprocess

    path = tmp_path_factory.mktemp("track") / "demo.vfxtrack"
    command = [sys.executable, "-m", "vfxswap", "track", str(DEMO / "plate" / "plate.%04d.exr")]
    subprocess.run([*command, "--frames", "1003-1005", "--output", str(path)], check=True, capture_output=True)
    return path


def fields(track: Path, output: Path) -> dict[str, Any]:
    """The shipped job's fields with three frames, as a host would write them."""
    return {
        "host": "test",
        "shot": "demo/rendered/talk",
        "plate": str(DEMO / "plate" / "plate.%04d.exr"),
        "frames": "1003-1005",
        "model": str(DEMO / "ben_over_anna.vfxmodel"),
        "consents": [str(DEMO / "trust" / f"demo-{who}.consent.json") for who in ("anna", "ben")],
        "keyring": str(DEMO / "trust" / "keyring"),
        "track": str(track),
        "output": str(output / "swapped.%04d.exr"),
        "layers": "ingredients",
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def demo_measurements(demo_track: Path) -> Path:
    """The shipped shot, measured once."""
    import subprocess

    given = fields(demo_track, demo_track.parent)
    path = demo_track.with_name("demo.vfxshot")
    command = [sys.executable, "-m", "vfxswap", "measure", given["plate"], "--frames", given["frames"]]
    for option in ("track", "model", "keyring", "shot", "device"):
        command += [f"--{option}", given[option]]
    for consent in given["consents"]:
        command += ["--consent", consent]
    subprocess.run([*command, "--output", str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def demo_fields(tmp_path: Path, demo_track: Path) -> dict[str, Any]:
    """A job that writes into `out` of the test's folder."""
    return fields(demo_track, tmp_path / "out")


@pytest.fixture(scope="session")
def demo_render(tmp_path_factory: pytest.TempPathFactory, demo_track: Path) -> Any:
    """Renders frame 1004 of the shipped shot with all ingredients; the same changes once."""
    import json
    import subprocess

    done: dict[str, Path] = {}

    def render(**changes: Any) -> Path:
        key = json.dumps(changes, sort_keys=True)
        if key not in done:
            folder = tmp_path_factory.mktemp("render")
            job = {"schema": "vfxswap.job/1", **fields(demo_track, folder), **changes}
            (folder / "job.json").write_text(json.dumps(job))
            command = [sys.executable, "-m", "vfxswap", "run", str(folder / "job.json"), "--frames", "1004"]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
            done[key] = folder / "swapped.1004.exr"
        return done[key]

    return render


@pytest.fixture
def gui(tmp_path: Path) -> Iterator[FakeNuke]:
    yield from started(gui=True)


@pytest.fixture(scope="session")
def worker() -> Iterator[bridge.WarmWorker]:
    """One warm worker for most of the tests: starting one takes longer than what they look at."""
    import vfxswap_bridge

    made = vfxswap_bridge.WarmWorker()
    yield made
    made.close()


@pytest.fixture
def shot(
    gui: FakeNuke,
    tmp_path: Path,
    demo_fields: dict[str, Any],
    demo_measurements: Path,
    worker: bridge.WarmWorker,
) -> Shot:
    folder = tmp_path / "Shöt one"
    folder.mkdir()
    session = pick("session")
    session._sessions.append(session.Session(worker))
    return Shot(gui, folder, {**demo_fields, "measured": demo_measurements})


@pytest.fixture
def own_worker(shot: Shot) -> Shot:
    """A Nuke that has not started a worker yet."""
    pick("session")._sessions.clear()
    return shot


@pytest.fixture
def terminal(tmp_path: Path, demo_fields: dict[str, Any]) -> Iterator[Shot]:
    for fake in started(gui=False):
        (tmp_path / "shot.nk").write_text("")
        yield Shot(fake, tmp_path, demo_fields)
