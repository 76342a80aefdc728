"""Files from the wild, good and damaged: each is handled or refused, in a process that may not die, hang or grow."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from vfxswap import exr

from .files import corpus, witness
from .kinds import raw_changes

LIMIT_S = 20.0
LIMIT_BYTES = 6 << 30
"""Of address space, for one file."""

WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """A process that works on file after file; a new one takes over from one that died."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), str(LIMIT_BYTES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, source: Path, target: Path) -> tuple[str, str]:
        """The worker's answer, or "crash" or "hang"."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(source), str(target)]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], LIMIT_S)
        line = self._process.stdout.readline() if ready else ""
        if line:
            outcome, word = json.loads(line)
            return outcome, word
        self._process.kill()
        code = self._process.wait()
        self._start()
        return ("crash", f"exit {code}") if ready else ("hang", f"more than {LIMIT_S} s")

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@dataclass(frozen=True)
class Seen:
    """What came of a file."""

    source: Path
    target: Path
    outcome: str
    word: str

    @property
    def damaged(self) -> bool:
        return self.source.parent.name == "Damaged"


@pytest.fixture(scope="module")
def seen(shared, tmp_path_factory) -> list[Seen]:
    """Every file of the corpus, worked on once."""
    out = tmp_path_factory.mktemp("corpus")
    sources = corpus(shared, "**/*")
    assert len(sources) >= 100
    worker = Worker()
    found = []
    for index, source in enumerate(sources):
        target = out / f"{index:03d}.exr"
        found.append(Seen(source, target, *worker.do(source, target)))
    worker.close()
    return found


def test_handled_or_refused(seen):
    bad = [(item.source.name, item.outcome, item.word) for item in seen if item.outcome not in ("kept", "refused")]
    assert bad == []


def test_refusals_are_one_line_that_names_the_file(seen):
    for item in seen:
        if item.outcome == "refused":
            assert str(item.source) in item.word
            assert "\n" not in item.word
            assert len(item.word) < 600, item.word


def test_only_whole_files_are_left(seen):
    folder = seen[0].target.parent
    assert sorted(folder.iterdir()) == [item.target for item in seen if item.outcome == "kept"]
    for path in folder.iterdir():
        assert exr.read(path).pixels


CHANGES = {"preview": "the preview picture was dropped"}
"""What the corpus's headers lose, and the words that say so."""


def test_pixels_and_headers_arrive(seen):
    kept = [item for item in seen if item.outcome == "kept"]
    for item in kept:
        old, new = witness(item.source), witness(item.target)
        assert [pixels for _, pixels in old] == [pixels for _, pixels in new], item.source
        for part in range(len(old)):
            for name in raw_changes(item.source, item.target, part):
                assert CHANGES[name] in item.word, item.source
    assert len(kept) >= 26


def test_what_is_refused_and_why(seen):
    good = {item.source.name: item.word for item in seen if item.outcome == "refused" and not item.damaged}
    reasons = {
        "LICENSE": "not an EXR file",
        "deep_Balls.exr": "deep EXR is not supported",
        "luminance_chroma_CrissyField.exr": "luma/chroma or subsampled EXR is not supported",
        "GrayRampsDiagonal.exr": "no R, G, B channels, only Y",
        "GrayRampsHorizontal.exr": "no R, G, B channels, only Y",
        "WideFloatRange.exr": "no R, G, B channels, only G",
    }
    assert good.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in good[name]


def test_damaged_files_are_all_refused(seen):
    damaged = [item for item in seen if item.damaged]
    assert len(damaged) >= 80
    assert Counter(item.outcome for item in damaged) == {"refused": len(damaged)}
    retry = [item for item in damaged if item.word.startswith("FrameError")]
    assert len(retry) > len(damaged) // 2  # damage may be gone when the file is copied again
