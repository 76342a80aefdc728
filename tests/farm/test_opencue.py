"""OpenCue's own programs: pyoutline submits the shipped outline to a stub of a Cuebot, and a real rqd runs its frames.

Needs VFXSWAP_OPENCUE_PYTHON: a Python with the dependency group `opencue` of pyproject.toml. No Cuebot can be had as a
package; the stub decides nothing, so what is shown is that its two neighbours take what vfxswap gives them.
"""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from vfxswap import trust
from vfxswap.sequence import FrameRange

from .. import support
from ..support import PASSPHRASE, Studio
from .conftest import PROGRAM, Farm, environment, execute, farm, nobody_special
from .test_engines import PLAN

PYTHON = os.environ.get("VFXSWAP_OPENCUE_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs VFXSWAP_OPENCUE_PYTHON: a Python with the group `opencue`"),
]

STUB = Path(__file__).with_name("cuebot_stub.py")
COUNT, CHUNK = 12, 6

# ---------------------------------------------------------------------------------------------- grammar

_CHILDREN = {
    "spec": "facility? dept? show shot user email? uid? job* depends*",
    "job": "paused? priority? maxretries? maxcores? maxgpus? autoeat? localbook? os? env* layers?",
    "layers": "layer+",
    "layer": "cmd range chunk cores? threadable? memory? gpus? gpu? gpu_memory? timeout? timeout_llu? tags? limits? "
    "env* services? outputs*",
    "limits": "limit+",
    "services": "service+",
    "outputs": "output*",
    "env": "key*",
    "depends": "depend*",
    "depend": "depjob deplayer? depframe? onjob onlayer? onframe?",
}
"""What stands in which element, in this order: cjsl-1.15, the version that pyoutline 1.37 names. All others: text."""

_NAMED = {"job", "layer", "key"}
_TOKEN = re.compile(r"[\w.:-]+")
_LAYERS = {"Render", "Util", "Post"}


def check_grammar(element: ElementTree.Element) -> None:
    """An element and all below it are of cjsl-1.15."""
    children = [child.tag for child in element]
    pattern = "".join(f"(?:{word.rstrip('?*+')} ){word[-1] if word[-1] in '?*+' else ''}"
                      for word in _CHILDREN.get(element.tag, "").split())  # fmt: skip
    assert re.fullmatch(pattern, "".join(f"{tag} " for tag in children)), (element.tag, children)
    if element.tag in _CHILDREN:
        assert not (element.text or "").strip(), element.tag
    if element.tag in _NAMED:
        assert _TOKEN.fullmatch(element.get("name", "")), element.tag
    if element.tag == "layer":
        assert element.get("type") in _LAYERS
    for child in element:
        check_grammar(child)


# ------------------------------------------------------------------------------------------------ farm


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass
class Cuebot:
    """The stub, and the rqd that listens to it."""

    root: Path
    port: int
    process: subprocess.Popen[str]
    said: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    count: int = 0

    def hear(self, kind: str, timeout: float = 120) -> Any:
        """The next thing that it says of a kind."""
        end = time.monotonic() + timeout
        while True:
            found = self.said.get(timeout=max(0.1, end - time.monotonic()))
            assert "refused" not in found, found["refused"]
            if kind in found:
                return found[kind]

    def tell(self, **asked: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()

    def launch(self, name: str, command: str) -> str:
        """Start a frame; returns its id."""
        self.count += 1
        found = f"frame-{self.count}"
        self.tell(
            launch={"frame_id": found, "frame_name": name, "command": command, "log_dir": str(self.root / "logs")}
        )
        return found

    def log(self, name: str) -> str:
        path = self.root / "logs" / f"job.{name}.rqlog"
        return path.read_text() if path.exists() else ""

    def run(self, name: str, command: str) -> dict[str, Any]:
        """Run a frame to its end; returns rqd's report."""
        found = self.launch(name, command)
        report = self.hear("report")
        assert isinstance(report, dict) and report["frame_id"] == found
        return report


@pytest.fixture(scope="module")
def cuebot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuebot]:
    root = tmp_path_factory.mktemp("cue")
    port, of_rqd = _free(), _free()
    stub = subprocess.Popen([PYTHON, str(STUB), str(port), str(of_rqd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)  # fmt: skip
    found = Cuebot(root, port, stub)

    def listen() -> None:
        for line in stub.stdout or ():
            found.said.put(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    assert found.hear("ready")
    names = "\n".join(name for name in environment() if name.startswith(("XDG_", "OMP_", "VFXSWAP_", "HOME")))
    (root / "rqd.conf").write_text(
        f"[Override]\nRQD_GRPC_PORT = {of_rqd}\nCUEBOT_GRPC_PORT = {port}\nOVERRIDE_CUEBOT = 127.0.0.1\n"
        f"OVERRIDE_HOSTNAME = localhost\nOVERRIDE_NIMBY = False\nOVERRIDE_CORES = 4\nOVERRIDE_MEMORY = 8388608\n"
        f"[UseHostEnvVar]\n{names}\n"
    )
    words = [*nobody_special(), PYTHON, "-m", "rqd", "--nimbyoff", "-c", str(root / "rqd.conf")]
    with (root / "rqd.log").open("w") as log:
        rqd = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=environment())
    try:
        assert found.hear("host") == "localhost", (root / "rqd.log").read_text()
        yield found
    finally:
        rqd.terminate()
        rqd.wait(timeout=30)
        assert stub.stdin is not None
        stub.stdin.close()
        stub.wait(timeout=30)


def commands(layer: ElementTree.Element) -> list[tuple[str, str]]:
    """(name, command) of a layer's frames: what a Cuebot makes of its range, chunk and tokens."""
    text, chunk = layer.findtext("cmd") or "", int(layer.findtext("chunk") or "1")
    frames = list(FrameRange.parse(layer.findtext("range") or ""))
    parts = [frames[i : i + chunk] for i in range(0, len(frames), chunk)]
    return [
        (f"{part[0]:04d}-{layer.get('name')}", text.replace("#FRAMESPEC#", str(FrameRange.of(part)))) for part in parts
    ]


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_rqd_runs_the_shipped_outline(
    cuebot: Cuebot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    studio = Studio.make(tmp_path / "studio")
    shot = Farm(tmp_path / "a shot", studio)
    support.write_plate(shot.plate, frames=COUNT)
    support.job(studio, str(shot.plate / "shot.####.exr"), shot.output).save(shot.job)
    monkeypatch.setenv("CUEBOT_HOSTS", f"127.0.0.1:{cuebot.port}")
    with monkeypatch.context() as changed:
        changed.setenv("HOME", str(tmp_path))  # pyoutline keeps its sessions there
        assert shot.submit("--to", "opencue", "--chunk", str(CHUNK), "--command", PROGRAM) == 0
    assert "taken" in capfd.readouterr().out
    spec = cuebot.hear("spec")
    assert "cjsl-1.15.dtd" in spec
    root = ElementTree.fromstring(spec)
    check_grammar(root)
    (job,) = root.iter("job")
    layers = {str(layer.get("name")): layer for layer in root.iter("layer")}
    assert list(layers) == ["track", "measure", "swap", "finalise"]
    waits = {depend.findtext("deplayer"): depend.findtext("onlayer") for depend in root.iter("depend")}
    assert waits == {"measure": "track", "swap": "measure", "finalise": "swap"}
    assert {depend.get("type") for depend in root.iter("depend")} == {"LAYER_ON_LAYER"}
    assert job.findtext("maxretries") == "2" and int(layers["swap"].findtext("timeout") or 0) >= 10

    assert cuebot.run("0001-who", "id -u")["exit_status"] == 0
    assert re.search(r"^[1-9]\d*$", cuebot.log("0001-who"), re.MULTILINE), "not root"

    for step in ("track", "measure"):
        ((name, command),) = commands(layers[step])
        assert cuebot.run(name, command)["exit_status"] == 0, cuebot.log(name)
    (first, second), (finalise,) = commands(layers["swap"]), commands(layers["finalise"])
    assert "--frames=1001-1006" in first[1] and "--frames=1007-1012" in second[1]

    plate = shot.plate / "shot.1003.exr"
    whole = plate.read_bytes()
    plate.write_bytes(whole[: len(whole) // 2])
    assert cuebot.run(*first) | {"run_time": 0, "frame_id": ""} == {
        "exit_status": 3, "exit_signal": 0, "run_time": 0, "frame_id": "",
    }  # fmt: skip
    assert "1 frames failed, the first: the plate's frame is not the one that was tracked" in cuebot.log(first[0])
    assert len(shot.digests()) == CHUNK - 1
    assert cuebot.run(*finalise)["exit_status"] == 3
    plate.write_bytes(whole)
    assert cuebot.run(*first)["exit_status"] == 0, "Cuebot tries again"

    killed = cuebot.launch(*second)
    until(lambda: len(shot.digests()) > CHUNK)
    cuebot.tell(kill=killed)
    report = cuebot.hear("report")
    assert (report["frame_id"], report["exit_signal"]) == (killed, 9) and report["exit_status"] != 0
    there = shot.digests()
    assert CHUNK < len(there) < COUNT, "killed while it rendered"
    assert cuebot.run(*second)["exit_status"] == 0
    assert len(shot.digests()) == COUNT and there.items() <= shot.digests().items()
    assert not list(shot.output.glob(".*.tmp"))
    assert cuebot.run(*finalise)["exit_status"] == 0
    assert execute("provenance", "verify", str(shot.output)) == 0

    trust.revoke(
        [studio.consents[1]], ring=trust.KeyRing.load(studio.keyring),
        key_file=studio.root / "private" / "revoker.key.pem", passphrase=PASSPHRASE,
    )  # fmt: skip
    assert cuebot.run(*first)["exit_status"] == 77
    assert "VS-CON-004" in cuebot.log(first[0])


def test_the_grammar_finds_what_is_wrong() -> None:
    check_grammar(ElementTree.fromstring("<depends><depend><depjob>a</depjob><onjob>b</onjob></depend></depends>"))
    for wrong in ("<depends><depend><onjob>b</onjob><depjob>a</depjob></depend></depends>", "<job name='a b'/>",
                  "<layers/>", "<services>x</services>"):  # fmt: skip
        with pytest.raises(AssertionError):
            check_grammar(ElementTree.fromstring(wrong))


@pytest.mark.parametrize("name", ["a plan with everything", "a training"])
def test_pyoutline_makes_a_specification_of_the_outline(name: str, tmp_path: Path) -> None:
    plan = PLAN
    if name == "a training":
        step = farm.Step("Train", chunked=False, networks=True, seconds=None, memory=16384, gpus=4, cores=2, tries=10)
        plan = farm.Plan(name="x", job="/j", frames="1", numbers=(1,), chunk=1, command="vfxswap", gpu=True, inputs=(),
                         output="/m/training.html", steps=(step,), goes_on=True)  # fmt: skip
    (tmp_path / "made.py").write_text(farm.ENGINES["opencue"].files(plan)["submit_to_opencue.py"])
    code = (
        "import made, outline.cuerun; from outline.backend import cue;"
        "print(cue.serialize_simple(outline.cuerun.OutlineLauncher(made.job(), backend='cue', os='Linux')))"
    )
    done = subprocess.run([PYTHON, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "HOME": str(tmp_path)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = ElementTree.fromstring(done.stdout)
    check_grammar(root)
    layers = list(root.iter("layer"))
    assert [layer.findtext("gpus") for layer in layers] == (["4"] if name == "a training" else ["1", "1", "1", None])
    assert [layer.findtext("tags") for layer in layers] == [None if name == "a training" else "gpu"] * len(layers)
    if name == "a training":
        assert layers[0].findtext("memory") == "16g" and layers[0].find("timeout") is None
