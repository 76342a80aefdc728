"""`vfxswap provenance` as users and strangers call it, on the shipped shot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vfxswap import cli, exr
from vfxswap.cli.common import Run, shipped
from vfxswap.provenance import sidecar

from .made import NOW, PASSPHRASE, Office, rewrite

ROOT = Path(__file__).parents[2]
DEMO = shipped("examples/demo")
LONG_AGO, FAR = NOW - timedelta(days=3000), NOW + timedelta(days=9000)
TRUST = [
    *("--consent", str(DEMO / "trust" / "demo-anna.consent.json")),
    *("--consent", str(DEMO / "trust" / "demo-ben.consent.json")),
    *("--keyring", str(DEMO / "trust" / "keyring"), "--shot", "demo/rendered/talk"),
]


def vfxswap(*arguments: object, home: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, "-m", "vfxswap", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, env=environment, **{"cwd": ROOT, **more}
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artist's."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def job(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job of three frames, swapped and signed by the artist, beside its output `out/x.%04d.exr`."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "plate").mkdir()
    for frame in (1003, 1004, 1005):
        shutil.copy(DEMO / "plate" / f"plate.{frame}.exr", folder / "plate")
    model = next(DEMO.glob("*.vfxmodel"))
    done = vfxswap(
        *("swap", folder / "plate", "--model", model, "--output", folder / "out" / "x.%04d.exr"),
        *("--save-job", folder / "job.json", "--events", "-", *TRUST),
        home=home,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["manifest"]) == ("done", str(folder / "out" / "x.provenance.json"))
    return folder / "job.json"


@pytest.fixture
def out(job: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(job.parent / "out", tmp_path / "out"))


@pytest.fixture(scope="module")
def ring(home: Path, job: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the artist hands out: the public key alone."""
    folder = tmp_path_factory.mktemp("ring")
    key = vfxswap("provenance", "key", home=home)
    shutil.copy(key.stdout.strip(), folder)
    return folder


def fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("vfxswap: error:")]
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in line, line


def test_the_artist_verifies_and_is_told_whose_key_it_is(job: Path, home: Path) -> None:
    for target in (job.parent / "out", job.parent / "out" / "x.####.exr", job.parent / "out" / "x.provenance.json"):
        done = vfxswap("provenance", "verify", target, home=home)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "x: 3 files are as signed" in done.stdout
        assert re.search(r"by render-[0-9a-f]{12} \(this user's own render key\): valid", done.stdout)


def test_a_stranger_needs_the_frames_the_manifest_and_a_public_key(
    job: Path, ring: Path, tmp_path: Path, out: Path
) -> None:
    """An empty home, no studio, no consent, no model: only the delivery and one public key."""
    shutil.rmtree(out / ".vfxswap")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    before = sorted(path.name for path in out.iterdir())
    done = vfxswap("provenance", "verify", out, "--keyring", ring, home=stranger, cwd=stranger)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(render key): valid" in done.stdout
    unknown = vfxswap("provenance", "verify", out, home=stranger, cwd=stranger)
    fails(unknown, 77, "1 finding")
    assert unknown.stdout.startswith("VS-PRV-003 unknown_key: signed by render-")
    assert "valid" not in unknown.stdout.splitlines()[0]
    assert sorted(path.name for path in out.iterdir()) == before
    assert list(stranger.iterdir()) == [], "verifying makes no key and leaves no trace"


def test_a_qc_report_beside_the_frames_is_signed_with_them(job: Path, out: Path, home: Path) -> None:
    """As the artist runs it, without a word of where."""
    done = vfxswap("qc", out, "--plate", job.parent / "plate", "--frames", "1003", "--device", "cpu", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{out / 'x.qc.json'}: signed with the frames"
    verified = vfxswap("provenance", "verify", out, home=home)
    assert verified.returncode == 0 and "QC report: x.qc.json as signed" in verified.stdout, verified.stdout
    with (out / "x.qc.json").open("a") as file:
        file.write(" ")
    found = vfxswap("provenance", "verify", out, home=home)
    fails(found, 77, "1 finding")
    assert found.stdout.startswith("VS-PRV-009 report: x.qc.json: it is not the one that was signed")
    finalised = vfxswap("provenance", "finalise", out, home=home)
    assert "x.qc.json: the QC report is signed with the frames" in finalised.stdout, "a word more changes no hash in it"


def test_every_finding_is_one_line(out: Path, home: Path) -> None:
    rewrite_frame(out / "x.1003.exr", change=False)
    rewrite_frame(out / "x.1004.exr", change=True)
    (out / "x.1005.exr").rename(out / "x.1006.exr")
    done = vfxswap("provenance", "verify", out, home=home)
    fails(done, 77, "4 findings")
    lines = [line for line in done.stdout.splitlines() if line.startswith("VS-PRV")]
    assert [line.split(":")[0] for line in lines] == [
        "VS-PRV-002 rewritten",
        "VS-PRV-002 changed",
        "VS-PRV-005 missing",
        "VS-PRV-006 extra",
    ]
    assert [re.search(r"frame (\d+): x\.(\d+)\.exr", line)[1] for line in lines] == ["1003", "1004", "1005", "1006"]  # type: ignore[index]
    told = vfxswap("provenance", "verify", out, "--json", home=home)
    fails(told, 77)
    data = json.loads(told.stdout)
    assert data["ok"] is False
    (one,) = data["sequences"]
    assert [finding["kind"] for finding in one["findings"]] == ["rewritten", "changed", "missing"]
    assert (data["findings"][0]["rule"], data["findings"][0]["frame"]) == ("VS-PRV-006", 1006)


def rewrite_frame(path: Path, *, change: bool) -> None:
    frame = exr.read(path)
    assert frame.part.channels[0].format == "half"
    rewrite(path, change=change)


def test_json_of_what_is_well(job: Path, home: Path) -> None:
    done = vfxswap("provenance", "verify", job.parent / "out", "--json", home=home)
    assert done.returncode == 0
    data = json.loads(done.stdout)
    assert (data["v"], data["ok"], data["findings"]) == (1, True, [])
    assert data["sequences"][0]["files_as_signed"] == 3
    assert data["sequences"][0]["signers"][0]["role"] == "render"


def test_show_is_in_plain_words(job: Path, home: Path) -> None:
    done = vfxswap("provenance", "show", job.parent / "out", home=home)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "the face of demo-anna was replaced by that of demo-ben" in words
    assert "altered frames 1003-1005" in words
    assert "demo-ben (likeness, whose face appears): urn:uuid:" in words
    assert "demo/rendered/talk" in words
    assert "signed by (unchecked) render-" in words
    (said,) = json.loads(vfxswap("provenance", "show", job.parent / "out", "--json", home=home).stdout)
    assert len(said["subject"]) == 3


@pytest.mark.slow
def test_chunks_are_recorded_and_finalised(job: Path, home: Path, tmp_path: Path) -> None:
    data = json.loads(job.read_text())
    data["output"] = str(tmp_path / "parts" / "x.%04d.exr")
    (tmp_path / "job.json").write_text(json.dumps(data))
    worker = tmp_path / "worker"
    for chunk in ("1005", "1003"):
        done = vfxswap("run", tmp_path / "job.json", "--frames", chunk, "--events", "-", home=worker)
        assert json.loads(done.stdout.splitlines()[-1])["manifest"] == "", done.stderr
    assert not (worker / "config").exists(), "a worker holds no key"
    early = vfxswap("provenance", "finalise", tmp_path / "parts", home=home)
    fails(early, 3, "frames 1004 of the job are not there")
    fails(vfxswap("provenance", "verify", tmp_path / "parts", home=home), 77)
    vfxswap("run", tmp_path / "job.json", "--frames", "1004", home=worker)
    last = vfxswap("provenance", "finalise", tmp_path / "parts", home=home)
    assert last.returncode == 0, last.stderr
    assert "3 frames, signed with render-" in last.stdout
    assert vfxswap("provenance", "verify", tmp_path / "parts", home=home).returncode == 0
    frames = [path.read_bytes() for path in sorted((tmp_path / "parts").glob("*.exr"))]
    assert frames == [path.read_bytes() for path in sorted((job.parent / "out").glob("*.exr"))]
    again = vfxswap("run", tmp_path / "job.json", "--frames", "1004", "--sign", "--events", "-", home=home)
    assert json.loads(again.stdout.splitlines()[-1])["manifest"].endswith("x.provenance.json")
    unsigned = data | {"output": str(tmp_path / "no" / "x.%04d.exr")}
    (tmp_path / "job.json").write_text(json.dumps(unsigned))
    assert vfxswap("run", tmp_path / "job.json", "--no-sign", home=home).returncode == 0
    assert not list((tmp_path / "no").glob("*.json"))


def test_production_signs_with_its_own_key(out: Path, home: Path, tmp_path: Path) -> None:
    office = Office.make(tmp_path / "office")
    office.key("studio", "production", not_before=LONG_AGO, not_after=FAR)
    (tmp_path / "words").write_text(PASSPHRASE + "\n")
    private = office.root / "private"
    options = ["--key", private / "studio.key.pem", "--passphrase-file", tmp_path / "words"]
    done = vfxswap("provenance", "finalise", out, *options, home=home)
    assert done.returncode == 0, done.stderr
    ring = ["--keyring", office.root / "ring"]
    assert "by studio (production key): valid" in vfxswap("provenance", "verify", out, *ring, home=home).stdout
    wrong = ["--key", private / "perf.key.pem", "--passphrase-file", tmp_path / "words"]
    fails(vfxswap("provenance", "finalise", out, *wrong, home=home), 77, "VS-PRV-003", "performer key")
    fails(vfxswap("provenance", "finalise", out, "--passphrase-file", tmp_path / "words", home=home), 2, "--key")


def test_what_is_not_there_is_bad_input(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def told(code: int, *arguments: object) -> str:
        assert cli.execute(Run(("provenance", *map(str, arguments)))) == code
        said = capfd.readouterr()
        assert said.err.startswith("vfxswap: error: ") and said.err.count("\n") == 1
        return said.out + said.err

    (tmp_path / "empty").mkdir()
    for command in ("verify", "show", "finalise"):
        assert "nowhere" in told(4, command, tmp_path / "nowhere")
        assert "VS-PRV-001" in told(77, command, tmp_path / "empty")
    (out / "x.provenance.json").write_text("{}")
    assert "damaged" in told(77, "verify", out)
    assert re.search("VS-PRV-001.*damaged", told(77, "show", out))
    assert "VS-CON-013" in told(77, "verify", out, "--keyring", tmp_path / "empty")
    assert not (tmp_path / "config").exists(), "who only asks gets no key"


def test_without_c2pa_the_manifest_is_made_and_the_result_says_so(
    job: Path, home: Path, out: Path, tmp_path: Path
) -> None:
    """A module of that name that cannot be found: what a machine without the extra looks like."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'c2pa' else real(name, *rest)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, "-m", "vfxswap", "provenance", "finalise", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "no C2PA sidecar was written: c2pa-python is not installed: pip install 'vfxswap[c2pa]'" in done.stdout
    assert not (out / "x.c2pa").exists()
    assert vfxswap("provenance", "verify", out, home=home).returncode == 0


@pytest.mark.skipif(bool(sidecar.problem()), reason="c2pa-python is not installed")
def test_the_sidecar_lies_where_c2patool_looks(out: Path) -> None:
    assert (out / "x.sha256").with_suffix(".c2pa").read_bytes()[4:8] == b"jumb"


def test_the_docs_script_verifies_without_vfxswap(out: Path, ring: Path, tmp_path: Path) -> None:
    """docs/provenance.md hands strangers a script that needs Python and `cryptography` alone."""
    page = (ROOT / "docs" / "provenance.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(# verify\.py.*?)```", page, re.DOTALL)
    (tmp_path / "verify.py").write_text(script)
    (key,) = ring.glob("*.pub.json")
    blocked = "import sys; sys.modules['vfxswap'] = None; sys.argv = sys.argv[1:]; exec(open(sys.argv[0]).read())"
    command = [sys.executable, "-c", blocked, str(tmp_path / "verify.py"), str(out / "x.provenance.json"), str(key)]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    good = run()
    assert (good.returncode, good.stderr) == (0, "")
    assert "3 files are as signed" in good.stdout
    rewrite(out / "x.1004.exr", change=True)
    assert "x.1004.exr: changed" in run().stdout
    manifest = out / "x.provenance.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"payload":"e', b'"payload":"f'))
    assert run().returncode != 0
