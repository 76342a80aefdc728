"""A folder appears whole or not at all, and what a killed process left is tidied up by the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vfxswap import atomic
from vfxswap.errors import OutputError


def _kill_while(folder: Path, where: str) -> None:
    """A process that is gone while it replaces `folder`: in the `body`, or `between` the two renames."""
    code = f"""
import os
from pathlib import Path
from vfxswap import atomic
real = os.replace
def replace(a, b):
    real(a, b)
    if {where == "between"}:
        os._exit(9)
os.replace = replace
with atomic.replacing_folder(Path({str(folder)!r})) as there:
    (there / "half").write_text("half")
    if {where == "body"}:
        os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9


@pytest.mark.parametrize("where", ["body", "between"])
def test_a_killed_process_leaves_the_old_folder_to_the_next(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "out"
    with atomic.replacing_folder(folder) as there:
        (there / "deep").mkdir()
        (there / "deep" / "a").write_text("old")
    _kill_while(folder, where)
    assert not (folder / "half").exists()
    with pytest.raises(KeyError), atomic.replacing_folder(folder) as there:
        (there / "b").write_text("new")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (folder / "deep" / "a").read_text() == "old"
    with atomic.replacing_folder(folder) as there:
        (there / "b").write_text("new")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/b"]


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), atomic.replacing_folder(tmp_path / "file" / "out"):
        pass
