"""`vfxswap hosts install resolve`: a script in Resolve's folder that leads to the shipped one."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vfxswap_resolve import settings
from vfxswap_resolve.settings import Settings

from vfxswap.cli.hosts_resolve import block, folder

from .conftest import ROOT, copying
from .fake import World
from .test_flow import above


def hosts(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfxswap", "hosts", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"HOME": str(home), "PATH": ""}, check=False)


def test_where_resolve_looks() -> None:
    home = Path("/home/a")
    assert folder({}, home, "linux") == Path("/home/a/.local/share/DaVinciResolve/Fusion/Scripts/Utility")
    assert folder({}, Path("/Users/a"), "darwin") == Path(
        "/Users/a/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts/Utility"
    )
    assert folder({"APPDATA": "C:/Users/a/AppData/Roaming"}, home, "win32") == Path(
        "C:/Users/a/AppData/Roaming/Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts/Utility"
    )


def test_install_and_uninstall(tmp_path: Path) -> None:
    script = folder({}, tmp_path, "linux") / "VfxSwap.py"
    first = hosts("install", "resolve", home=tmp_path)
    assert first.returncode == 0, first.stderr
    assert str(script) in first.stdout
    installed = script.read_bytes()
    ast.parse(installed, feature_version=(3, 7))
    assert str(ROOT / "hosts" / "resolve").encode() in installed
    assert "is up to date" in hosts("install", "resolve", home=tmp_path).stdout
    assert script.read_bytes() == installed
    assert hosts("path", "resolve", home=tmp_path).stdout.strip() == str(ROOT / "hosts" / "resolve")
    removed = hosts("uninstall", "resolve", home=tmp_path)
    assert removed.returncode == 0
    assert list(script.parent.iterdir()) == []
    assert "has no block" in hosts("uninstall", "resolve", home=tmp_path).stdout


def test_a_folder_for_all_users_and_an_old_script(tmp_path: Path) -> None:
    there = tmp_path / "opt" / "Utility"
    hosts("install", "resolve", "--folder", str(there), home=tmp_path)
    script = there / "VfxSwap.py"
    script.write_bytes(script.read_bytes().replace(str(ROOT).encode(), b"/old"))
    assert "up to date now" in hosts("install", "resolve", "--folder", str(there), home=tmp_path).stdout
    assert b"/old/" not in script.read_bytes()
    assert script.read_bytes().count(b">>> vfxswap >>>") == 1


def test_the_installed_script_swaps(
    tmp_path: Path, world: World, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Resolve would run it: without __file__, with its own names."""
    hosts("install", "resolve", home=tmp_path)
    code = (folder({}, tmp_path, "linux") / "VfxSwap.py").read_text()
    monkeypatch.setattr("vfxswap_bridge.start", copying)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.delenv("VFXSWAP_PYTHON")
    world.studio = False
    settings.save(settings.path(), chosen)
    exec(compile(code, "VfxSwap.py", "exec"), {"resolve": world.resolve, "fusion": None, "bmd": None})
    assert os.environ["VFXSWAP_PYTHON"] == sys.executable
    assert len(above(world)) == 1


def test_a_vfxswap_that_is_gone_says_so(capsys: Any) -> None:
    code = block(Path("/gone/hosts/resolve"), "/gone/python")
    exec(compile(code, "VfxSwap.py", "exec"), {})
    assert "run `vfxswap hosts install resolve`" in capsys.readouterr().out
