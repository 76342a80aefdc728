"""A version appears whole or not at all, is never changed, and holds what was signed and nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vfxswap import exr, provenance, publish, trust
from vfxswap.errors import Cancelled, ConsentError, ProvenanceError
from vfxswap.events import CancelToken, NullSink
from vfxswap.publish import Report
from vfxswap.publish.integrate import Published, RefusedError, integrate, next_version
from vfxswap.trust import KeyRing

from .. import support
from ..farm.conftest import environment
from .conftest import FRAMES, Shot, rewrite, run

NAMES = sorted([*(f"out.{f}.exr" for f in FRAMES), "out.provenance.json", "out.sha256", "publish.json"])


def publish_it(report: Report, cancel: CancelToken | None = None) -> Published:
    return integrate(report, sink=NullSink(), cancel=cancel or CancelToken())


def hidden(shot: Shot) -> list[str]:
    return [path.name for path in shot.into.glob(".*") if path.name != ".lock"]


def test_a_version_is_whole_read_only_and_verifies_by_itself(shot: Shot) -> None:
    done = publish_it(shot.examine())
    assert (done.folder, done.version) == (shot.into / "v001", 1)
    there = sorted(path.name for path in done.folder.iterdir() if path.suffix != ".c2pa")
    assert there == NAMES and done.files == len([*done.folder.iterdir()]) - 1
    for frame in FRAMES:
        assert (done.folder / f"out.{frame}.exr").read_bytes() == shot.frame(frame).read_bytes()
    if sys.platform != "win32":
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in done.folder.iterdir())
        assert stat.S_IMODE(done.folder.stat().st_mode) == 0o555
    found = provenance.verify(done.folder, shot.request().trust())
    assert found.findings == ()
    assert hidden(shot) == []
    record = json.loads((done.folder / "publish.json").read_text())
    assert record["schema"] == "vfxswap.publish/1" and record["version"] == 1
    assert [one["performer"] for one in record["consents"]] == ["anna", "ben"]
    manifest = record["sequences"][0]
    assert exr.file_sha256(done.folder / manifest["manifest"]) == manifest["manifest_sha256"]


def test_the_second_publish_is_the_second_version(shot: Shot) -> None:
    report = shot.examine()
    first = publish_it(report)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.folder.iterdir()}
    second = publish_it(report)
    assert shot.versions[-2:] == ["v001", "v002"] and second.version == 2
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.folder.iterdir()} == before
    assert next_version(shot.into) == 3
    (shot.into / "v1000").mkdir()
    assert next_version(shot.into) == 1001


def test_a_version_that_is_there_is_left_alone(shot: Shot) -> None:
    publish_it(shot.examine())
    with pytest.raises(
        RefusedError, match=r"VS-SEQ-005 the version is there already: v001.*leave --version out"
    ) as found:
        publish_it(shot.examine(version=1))
    assert (found.value.exit_code, found.value.code) == (77, "VS-SEQ-005")
    assert publish_it(shot.examine(version=7)).folder.name == "v007"


def test_what_changes_after_it_was_examined_is_not_published(shot: Shot) -> None:
    """The integrator compares every byte with the record by itself."""
    report = shot.examine()
    rewrite(shot.frame(1003), lambda channels: channels["R"].fill(0.5))
    with pytest.raises(ProvenanceError, match=r"VS-PRV-002 out\.1003\.exr is not the file that was signed"):
        publish_it(report)
    shot.frame(1003).unlink()
    with pytest.raises(ProvenanceError, match=r"VS-PRV-005 out\.1003\.exr is gone"):
        publish_it(report)
    assert "v001" not in shot.versions and hidden(shot) == []


def test_a_manifest_that_is_replaced_after_it_was_examined_is_not_published(shot: Shot) -> None:
    report = shot.examine()
    rewrite(shot.frame(1003), lambda channels: channels["R"].fill(0.5))
    pair = trust.keygen(shot.root / "k", kid="alien", role="render", performers=["*"], passphrase="correct horse b")
    (shot.output / ".vfxswap" / "out" / "1003.json").unlink()
    provenance.merge(shot.output, "out", signer=trust.keys.PrivateKey.load(pair.private, passphrase="correct horse b"))
    with pytest.raises(ProvenanceError, match="VS-PRV-003"):
        publish_it(report)
    assert shot.versions == []


def test_consent_that_is_withdrawn_after_it_was_examined(shot: Shot, tmp_path: Path) -> None:
    ring = Path(shutil.copytree(shot.studio.keyring, tmp_path / "ring"))
    report = shot.change(keyring=ring).examine()
    trust.revoke([shot.studio.consents[1]], ring=KeyRing.load(ring), passphrase=support.PASSPHRASE,
                 key_file=shot.studio.root / "private" / "revoker.key.pem")  # fmt: skip
    with pytest.raises(ConsentError, match="VS-CON-004"):
        publish_it(report)
    assert shot.versions == []


def test_findings_stop_it(shot: Shot) -> None:
    rewrite(shot.frame(1003), lambda channels: channels["R"].fill(0.5))
    with pytest.raises(RefusedError, match=r"VS-.* \(and \d more\)"):
        publish_it(shot.examine())
    assert shot.versions == []


def test_a_cancelled_publish_leaves_nothing(shot: Shot) -> None:
    report, token = shot.examine(), CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        publish_it(report, token)
    assert shot.versions == [] and hidden(shot) == []


KILLED = """
import os, signal
from pathlib import Path
from vfxswap import publish
from vfxswap.events import CancelToken, NullSink
from vfxswap.job import SwapJob
from vfxswap.publish import integrate as module

left = [moment]

def counted(real):
    def call(*given, **named):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return real(*given, **named)
    return call

Path.chmod, Path.rename, os.fsync = counted(Path.chmod), counted(Path.rename), counted(os.fsync)
request = publish.of_job(SwapJob.load(Path(job)), into=Path(into))
report = publish.examine(request, sink=NullSink(), cancel=CancelToken())
left[0] = moment
module.integrate(report, sink=NullSink(), cancel=CancelToken())
"""
"""Kills the process right before it closes a file, gives the folder its name, or makes it read-only."""

_PROCESSES = multiprocessing.get_context("forkserver")


def _killed(shot: Shot, moment: int) -> int:
    _PROCESSES.set_forkserver_preload(["vfxswap.publish"])
    given: dict[str, Any] = {"moment": moment, "job": shot.file, "into": str(shot.into)}
    code = f"import os\nos.environ['XDG_CONFIG_HOME'] = {os.environ['XDG_CONFIG_HOME']!r}\n{KILLED}"
    process: Any = _PROCESSES.Process(target=exec, args=(code, given))
    process.start()
    process.join(120)
    return int(process.exitcode)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_any_moment_there_is_no_half_version(shot: Shot) -> None:
    """At every third of the moments; then the next publish sweeps what is left and succeeds."""
    whole: list[str] = []
    for moment in range(0, 60, 3):
        code = _killed(shot, moment)
        for name in (path.name for path in shot.into.glob("v*")):
            there = sorted(path.name for path in (shot.into / name).iterdir() if path.suffix != ".c2pa")
            assert there == NAMES
            assert provenance.verify(shot.into / name, shot.request().trust()).findings == ()
        whole = sorted(path.name for path in shot.into.glob("v*"))
        if code == 0:
            break
        assert code == -9
    else:
        pytest.fail("it never got to its end")
    assert hidden(shot) == [] and moment > 9
    assert publish_it(publish.examine(shot.request(), sink=NullSink(), cancel=CancelToken())).version == len(whole) + 1


FULL = """
import resource, signal, sys
from vfxswap import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_leaves_nothing(shot: Shot) -> None:
    words = [sys.executable, "-c", FULL, "publish", shot.file, "--into", str(shot.into)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 3, done.stderr
    assert "the disk is full" in done.stderr.splitlines()[-1]
    assert shot.versions == [] and hidden(shot) == []


def test_two_at_once_make_two_versions(shot: Shot) -> None:
    words = [sys.executable, "-m", "vfxswap", "publish", shot.file, "--into", str(shot.into)]
    running = [
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        for _ in range(2)
    ]
    assert [process.wait(120) for process in running] == [0, 0]
    assert shot.versions == ["v001", "v002"] and hidden(shot) == []


def test_both_eyes_are_one_version(tmp_path: Path, production: support.Studio) -> None:
    pattern = support.write_plate(tmp_path / "plate", frames=2)
    for frame in (1001, 1002):
        for view in ("left", "right"):
            shutil.copy(pattern.replace("####", str(frame)), tmp_path / "plate" / f"eye.{view}.{frame}.exr")
    job = support.job(production, str(tmp_path / "plate" / "eye.%V.####.exr"), tmp_path / "out", view="all").replace(
        output=str(tmp_path / "out" / "out.%V.####.exr")
    )
    job.save(tmp_path / "job.json")
    shot = Shot(tmp_path, job, production)
    assert run("run", shot.file) == 0
    report = shot.examine()
    assert [one.item.name for one in report.seen] == ["out.left", "out.right"] and report.ok
    done = publish_it(report)
    names = {path.name for path in done.folder.glob("*.exr")}
    assert names == {f"out.{view}.{frame}.exr" for view in ("left", "right") for frame in (1001, 1002)}
    assert provenance.verify(done.folder, shot.request().trust()).findings == ()
    rewrite(shot.output / "out.right.1002.exr", lambda channels: channels["R"].fill(0.5))
    assert {finding.sequence for finding in shot.examine().findings} == {"out.right"}
