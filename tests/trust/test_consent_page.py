"""Every command of docs/consent.md's walk, run in a shell in its order; passphrases are typed at a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ..cli.facesets import COMMAND, ENVIRONMENT, write_plate

if sys.platform == "win32":
    pytest.skip("needs a terminal", allow_module_level=True)

import pty

PAGE = Path(__file__).resolve().parents[2] / "docs" / "consent.md"
SECRET = "a passphrase for the walk"
MODEL = "ab" * 32


def walk() -> list[str]:
    """The blocks of the walk, their years moved so that they are ahead of us."""
    section = PAGE.read_text(encoding="utf-8").split("## The way of a consent")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    ahead = datetime.now(UTC).year + 1
    return [re.sub(r"\b2027-", f"{ahead}-", block) for block in blocks]


def shell(script: str, folder: Path) -> tuple[int, str]:
    """Run a block at a terminal of its own and type the passphrase whenever it is asked for."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        path = f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**ENVIRONMENT, "PATH": path, "MODEL_SHA256": MODEL, "TERM": "dumb"}
        os.execvpe("bash", ["bash", "-e", "-u", "-c", script], environment)
    said, answered, until = "", 0, time.monotonic() + 100
    while time.monotonic() < until:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the shell has ended
            break
        if not data:
            break
        said += data.decode(errors="replace")
        asked = len(re.findall(r"Passphrase: |Repeat for confirmation: ", said))
        for _ in range(asked - answered):
            os.write(terminal, f"{SECRET}\n".encode())
        answered = asked
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str]]]:
    folder = tmp_path_factory.mktemp("walk")
    write_plate(folder / "casting", frames=6)
    write_plate(folder / "plates", frames=6)
    (folder / "contract.pdf").write_bytes(b"a contract")
    (folder / "name.txt").write_text("Ben Example\n")
    blocks = walk()
    assert len(blocks) == 9
    return folder, [shell(block, folder) for block in blocks]


def test_every_step_works(walked: tuple[Path, list[tuple[int, str]]]):
    for number, (code, said) in enumerate(walked[1]):
        assert code == 0, f"{walk()[number]}\n{said}"


def test_the_walk_gives_what_the_page_says(walked: tuple[Path, list[tuple[int, str]]]):
    folder, said = walked
    assert "P-0042.consent.json: valid" in said[3][1]
    assert "signature perf-0042 (performer): valid" in said[3][1]
    assert "signature show1-production (production): valid" in said[3][1]
    assert "smoking" in said[3][1] and "territories EU, US" in said[3][1]
    assert "tied to this legal name" in said[4][1]
    index = json.loads((folder / "facesets" / "P-0042" / "faceset.json").read_text())
    record = json.loads((folder / "P-0042.consent.json").read_text())["payload"]
    assert index["consents"][0]["id"] == record["id"]
    assert index["consents"][0]["delete_model_by"] == record["retention"]["delete_model_by"]
    assert json.loads((folder / "P-0042.swap.consent.json").read_text())["payload"]["models"] == [MODEL]
    assert "2 consents are withdrawn" in said[-1][1]
    code, refused = shell("vfxswap consent verify P-0042.consent.json --keyring ring", folder)
    assert code == 77 and "VS-CON-004" in refused


def test_nothing_that_travels_holds_a_secret(walked: tuple[Path, list[tuple[int, str]]]):
    folder, said = walked
    for path in [*folder.glob("*.json"), *folder.glob("ring/*"), *folder.glob("*/*.key.pem")]:
        text = path.read_text()
        assert SECRET not in text and "Ben Example" not in text
    assert all(SECRET not in shown and "Ben Example" not in shown for _, shown in said)


def test_the_table_has_every_rule():
    from vfxswap.trust import Rule

    assert re.findall(r"^\| (VS-CON-\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == sorted(Rule)
