"""`vfxswap hosts`: a block in a start-up file that comes and goes without a trace."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfxswap.cli.hosts import nuke_block, with_block, without_block

from . import fake_nuke
from .fake_nuke import FakeNuke

ROOT = Path(__file__).parents[2]
CODE = nuke_block(Path("/opt/ünï cödé/hosts/nuke"), "/opt/py 3/bin/python")


def hosts(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfxswap", "hosts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"HOME": str(home), "PATH": ""}, check=False)


@given(st.one_of(st.none(), st.binary(max_size=40), st.text("ab #\r\n", max_size=30).map(str.encode)))
def test_a_block_that_was_taken_out_was_never_there(before: bytes | None) -> None:
    there = with_block(before, CODE)
    assert without_block(there) == before
    # Again is the same.
    assert with_block(without_block(there), CODE) == there


@pytest.mark.parametrize("before", [b"# >>> vfxswap >>>", b"# >>> vfxswap >>>\n# <<< vfxswap\n", b"\r", b"a\r\nb"])
def test_what_looks_like_a_block_is_left_alone(before: bytes) -> None:
    assert without_block(before) == before
    assert without_block(with_block(before, CODE)) == before


@pytest.mark.parametrize("before", [None, b"", b"import a\n", b"import a", b"import a\r\nb = 1\r\n"])
def test_the_block_is_python_of_any_age(before: bytes | None) -> None:
    text = with_block(before, CODE).decode("ascii")
    ast.parse(text, feature_version=(3, 7))
    assert ("\r\n" in text) == (before is not None and b"\r" in before)
    assert text.startswith((before or b"").decode())


def test_what_was_written_below_since_stays() -> None:
    text = with_block(b"import a", CODE) + b"import b\n"
    assert without_block(text) == b"import a\nimport b\n"


def test_install_and_uninstall(tmp_path: Path) -> None:
    start = tmp_path / ".nuke" / "init.py"
    start.parent.mkdir()
    start.write_bytes(b"import mine  # \xe9 in latin-1, no line end")
    start.chmod(0o640)
    before = start.read_bytes()
    first = hosts("install", "nuke", home=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "NUKE_PATH=" + str(ROOT / "hosts" / "nuke") in first.stdout
    installed = start.read_bytes()
    assert str(ROOT / "hosts" / "nuke").encode() in installed
    assert sys.executable.encode() in installed
    again = hosts("install", "nuke", home=tmp_path)
    assert "is up to date" in again.stdout
    assert start.read_bytes() == installed
    assert start.stat().st_mode & 0o777 == 0o640
    assert hosts("uninstall", "nuke", home=tmp_path).returncode == 0
    assert start.read_bytes() == before
    assert "has no block" in hosts("uninstall", "nuke", home=tmp_path).stdout


def test_a_file_that_was_made_is_removed(tmp_path: Path) -> None:
    hosts("install", "nuke", home=tmp_path)
    assert (tmp_path / ".nuke" / "init.py").exists()
    hosts("uninstall", "nuke", home=tmp_path)
    assert list((tmp_path / ".nuke").iterdir()) == []


def test_an_old_block_is_brought_up_to_date(tmp_path: Path) -> None:
    start = tmp_path / ".nuke" / "init.py"
    start.parent.mkdir()
    start.write_bytes(with_block(b"import a\n", nuke_block(Path("/old/hosts/nuke"), "/old/python")))
    assert "up to date now" in hosts("install", "nuke", home=tmp_path).stdout
    assert b"/old/" not in start.read_bytes()
    assert start.read_bytes().count(b">>> vfxswap >>>") == 1


def test_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.py"
    real.write_text("import a\n")
    (tmp_path / ".nuke").mkdir()
    (tmp_path / ".nuke" / "init.py").symlink_to(real)
    hosts("install", "nuke", home=tmp_path)
    assert (tmp_path / ".nuke" / "init.py").is_symlink()
    assert b">>> vfxswap >>>" in real.read_bytes()


def test_hosts_that_are_none(tmp_path: Path) -> None:
    done = hosts("install", "maya", home=tmp_path)
    assert done.returncode == 2
    assert "no host is named 'maya'; there is nuke" in done.stderr


def test_the_installed_block_starts_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As several versions of Nuke would: each runs the same file."""
    hosts("install", "nuke", home=tmp_path)
    code = (tmp_path / ".nuke" / "init.py").read_text()
    monkeypatch.delenv("VFXSWAP_PYTHON")
    for _ in range(2):
        fake = FakeNuke(gizmos=ROOT / "gizmos")
        fake_nuke.install(fake)
        try:
            exec(compile(code, "init.py", "exec"), {})
        finally:
            fake_nuke.uninstall()
        assert fake.paths == [str(ROOT / "hosts" / "nuke")]
    import os

    assert os.environ["VFXSWAP_PYTHON"] == sys.executable
    assert hosts("path", "nuke", home=tmp_path).stdout.strip() == fake.paths[0]


@pytest.mark.slow
def test_the_wheel_carries_what_hosts_need(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
        pytest.skip("the build needs hatchling from an index")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [*(ROOT / "hosts").rglob("*.py"), *(ROOT / "gizmos").glob("*.gizmo")]
    for path in shipped:
        assert f"vfxswap/shipped/{path.relative_to(ROOT).as_posix()}" in names
