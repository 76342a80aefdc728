"""A dozen of the kills of benchmarks/faults/kill.py, and as many full disks: nothing lost, nothing half."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).resolve().parents[2] / "benchmarks" / "faults" / "kill.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness forks, and looks into /proc")


def harness(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The kills of one run; each found nothing, or the harness says what."""
    file = folder / "found.json"
    command = [sys.executable, str(HARNESS), str(folder / "work"), "--json", str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())["kills"]
    return found


@pytest.mark.slow
def test_killed_or_starved_a_command_loses_nothing_and_leaves_nothing_half(tmp_path: Path) -> None:
    commands = [part for name in ("swap", "track fix") for part in ("--only", name)]
    kinds = [part for name in ("points", "writes", "full", "denied") for part in ("--kind", name)]
    found = harness(tmp_path, *commands, *kinds, "--kills", "12")
    met = Counter(kill["kind"] for kill in found if kill["code"])
    assert all(met[kind] >= 2 for kind in ("points", "writes", "full", "denied")), met
    assert {kill["code"] for kill in found if kill["kind"] == "full"} <= {0, 3}
    assert {kill["code"] for kill in found if kill["kind"] == "denied"} <= {0, 4}
