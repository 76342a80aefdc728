"""What is written for each engine, letter by letter, and how its client is called."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vfxswap.sequence import FrameRange

from .conftest import Farm, check_golden, execute, farm

PLAN = farm.Plan(
    name="show1/sq010/sh010 sh010_swap",
    job="/show1/sh010/out/.vfxswap/sh010_swap/farm/job.json",
    frames="1001-1009x2,1020-1023",
    numbers=tuple(FrameRange.parse("1001-1009x2,1020-1023")),
    chunk=3,
    command="/opt/vfx swap/bin/vfxswap",
    gpu=True,
    inputs=(("PlateFolder", "/show1/sh010/plate/"), ("Model1", "/show1/models/ben.vfxmodel")),
    output="/show1/sh010/out/sh010_swap.####.exr",
    pool="film",
    group="gpu",
    priority=70,
)


@pytest.mark.parametrize("name", farm.ENGINES)
def test_golden(name: str) -> None:
    """Written again on purpose with VFXSWAP_GOLDEN=1."""
    check_golden(name, farm.ENGINES[name].files(PLAN))


@pytest.mark.parametrize("name", farm.ENGINES)
def test_a_dry_run_prints_what_would_be_written_and_writes_nothing(name: str, shot: Farm, capfd) -> None:
    before = sorted(shot.root.rglob("*"))
    assert shot.submit("--to", name, "--dry-run") == 0
    printed = capfd.readouterr().out
    assert sorted(shot.root.rglob("*")) == before
    shot.submit("--to", name)
    files = sorted(shot.folder.iterdir())
    assert len(files) >= 2
    for path in files:
        text = path.read_text()
        if name == "deadline" and path.name.endswith("_job.txt"):
            continue  # ids of jobs are filled in
        assert f"--- {path}\n{text}" in printed
        assert "PRIVATE" not in text and ".key.pem" not in text


def test_the_job_of_the_workers_says_everything(shot: Farm) -> None:
    assert shot.submit("--to", "openjd") == 0
    fields = json.loads(Path(shot.worked).read_text())
    assert fields["frames"] == "1001-1004"
    assert len(fields["model_sha256"]) == 64
    assert len(fields["color_config_hash"]) > 20
    for name in ("track", "measurements"):
        assert Path(fields[name]).parent == shot.folder


def test_a_job_that_is_submitted_otherwise_leaves_the_first_alone(shot: Farm) -> None:
    """Both may be in the queue: each worker reads its own job, and both share one track."""

    def submitted(**changes: Any) -> None:
        shot.job.write_text(json.dumps({**json.loads(shot.job.read_text()), **changes}))
        assert execute("farm", "submit", str(shot.job), "--to", "openjd") == 0

    submitted()
    submitted(parameters={"mix": 0.5})
    submitted(parameters={"mix": 0.5})
    jobs = [json.loads(path.read_text()) for path in (shot.output / ".vfxswap" / "out" / "farm").glob("*/job.json")]
    assert sorted(job["parameters"]["mix"] for job in jobs) == [0.5, 1.0]
    assert len({job["track"] for job in jobs}) == len({job["measurements"] for job in jobs}) == 1


# ------------------------------------------------------------------------------------------------ openjd


def _template(**changes: Any) -> dict[str, Any]:
    found = json.loads(farm.ENGINES["openjd"].files(replace(PLAN, **changes))["template.json"])
    assert isinstance(found, dict)
    return found


def test_openjd_steps_need_each_other_in_order() -> None:
    steps = _template()["steps"]
    assert [step["name"] for step in steps] == ["Track", "Measure", "Swap", "Finalise"]
    assert [step.get("dependencies") for step in steps] == [
        None, [{"dependsOn": "Track"}], [{"dependsOn": "Measure"}], [{"dependsOn": "Swap"}]
    ]  # fmt: skip
    for step in steps:
        run = step["script"]["actions"]["onRun"]
        assert run["cancelation"]["mode"] == "NOTIFY_THEN_TERMINATE"
        assert run["timeout"] > run["cancelation"]["notifyPeriodInSeconds"]


def test_openjd_asks_for_a_gpu_only_where_networks_run_and_the_job_wants_one() -> None:
    def gpus(**changes: Any) -> list[bool]:
        asked = [step["hostRequirements"]["amounts"] for step in _template(**changes)["steps"]]
        return [any(amount["name"] == "amount.worker.gpu" for amount in amounts) for amounts in asked]

    assert gpus() == [True, True, True, False]
    assert gpus(gpu=False) == [False] * 4


def test_openjd_says_what_its_parameters_cannot_hold() -> None:
    with pytest.raises(farm.FarmError, match="letters"):
        farm.ENGINES["openjd"].files(replace(PLAN, frames=",".join(map(str, range(1, 2000, 3)))))


# ---------------------------------------------------------------------------------------------- deadline

_JOB_KEYS = {
    "Plugin", "Name", "BatchName", "Frames", "ChunkSize", "Priority", "Pool", "Group", "TaskTimeoutMinutes",
    "OnTaskTimeout", "OverrideTaskFailureDetection", "FailureDetectionTaskErrors", "JobDependencies",
    "ResumeOnCompleteDependencies", "ResumeOnFailedDependencies", "ResumeOnDeletedDependencies", "OutputDirectory0",
    "OutputFilename0",
}  # fmt: skip
"""Keys of Deadline's job info files that are used here, from its manual ("Manual Job Submission")."""

_PLUGIN_KEYS = {"Executable", "Arguments", "Shell", "ShellExecute", "SingleFramesOnly"}
"""Those of its CommandLine plugin."""


def _lines(text: str) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in text.splitlines()]
    assert all(len(pair) == 2 and pair[1] for pair in pairs)
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_deadline_key_by_key() -> None:
    files = {name: _lines(text) for name, text in farm.ENGINES["deadline"].files(PLAN).items()}
    for step in ("track", "measure", "swap", "finalise"):
        job, plugin = files.pop(f"{step}_job.txt"), files.pop(f"{step}_plugin.txt")
        assert set(job) <= _JOB_KEYS and set(plugin) == _PLUGIN_KEYS
        assert (job["Plugin"], job["Pool"], job["Group"], job["Priority"]) == ("CommandLine", "film", "gpu", "70")
        assert job["BatchName"] == PLAN.name and job["Name"].startswith(PLAN.name)
        assert ("JobDependencies" in job) == (step != "track")
        assert job["FailureDetectionTaskErrors"] == "3" and int(job["TaskTimeoutMinutes"]) >= 10
        assert plugin["Executable"] == "/opt/vfx swap/bin/vfxswap"
        assert plugin["Arguments"].startswith(f"farm work {step} {PLAN.job} ")
        assert plugin["ShellExecute"] == plugin["SingleFramesOnly"] == "False"
        if step == "swap":
            assert (job["Frames"], job["ChunkSize"]) == ("1001-1009x2,1020-1023", "3")
            assert job["OutputFilename0"] == "sh010_swap.####.exr"
            assert plugin["Arguments"].endswith("--frames=<STARTFRAME>-<ENDFRAME>")
        else:
            assert (job["Frames"], job["ChunkSize"]) == ("1001", "1")
            assert "FRAME" not in plugin["Arguments"]
    assert not files


def test_deadline_quotes_paths_with_spaces() -> None:
    text = farm.ENGINES["deadline"].files(replace(PLAN, job="/a b/job.json"))["swap_plugin.txt"]
    assert '"/a b/job.json"' in _lines(text)["Arguments"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"numbers": (-5, 2)}, "negative"),
        ({"job": '/a"b/job.json'}, "letter"),
        ({"name": "a\nPlugin=Python"}, "letter"),
    ],
)
def test_deadline_refuses_what_its_files_cannot_say(change: dict[str, Any], said: str) -> None:
    with pytest.raises(farm.FarmError, match=said):
        farm.ENGINES["deadline"].files(replace(PLAN, **change))


CLIENT = """#!{python}
import pathlib, sys
log = pathlib.Path({log!r})
count = len(log.read_text().splitlines()) if log.exists() else 0
with log.open("a") as file:
    print(*sys.argv[1:], sep="|", file=file)
if count == {fails}:
    sys.exit("Error: the repository is gone")
print("Submitting to Deadline Repository...\\n\\nResult=Success\\nJobID=id%d\\n" % count)
"""
"""Answers as Deadline's client does, and writes down what it was asked."""


def _client(folder: Path, fails: int = -1) -> Path:
    log = folder / "asked"
    path = folder / "deadlinecommand"
    path.write_text(CLIENT.format(python=sys.executable, log=str(log), fails=fails))
    path.chmod(0o755)
    return log


def test_deadline_jobs_wait_for_each_other(shot: Farm, tmp_path: Path, monkeypatch, capfd) -> None:
    log = _client(tmp_path)
    monkeypatch.setenv("DEADLINE_PATH", str(tmp_path))
    assert shot.submit("--to", "deadline") == 0
    steps = ("track", "measure", "swap", "finalise")
    asked = [f"{shot.folder}/{step}_job.txt|{shot.folder}/{step}_plugin.txt" for step in steps]
    assert log.read_text().splitlines() == asked
    found = [_lines((shot.folder / f"{step}_job.txt").read_text()).get("JobDependencies") for step in steps]
    assert found == [None, "id0", "id1", "id2"]
    assert "Finalise: id3" in capfd.readouterr().out


def test_deadline_that_fails_on_the_way_says_what_is_there(shot: Farm, tmp_path: Path, monkeypatch, capfd) -> None:
    _client(tmp_path, fails=2)
    monkeypatch.setenv("DEADLINE_PATH", str(tmp_path))
    assert shot.submit("--to", "deadline") == 4
    said = capfd.readouterr().err
    assert "did not take Swap: Error: the repository is gone; submitted already: id1" in said


def test_without_a_client_one_line_says_so(shot: Farm, monkeypatch, capfd) -> None:
    monkeypatch.delenv("DEADLINE_PATH", raising=False)
    assert shot.submit("--to", "deadline") == 4
    said = capfd.readouterr().err
    assert said.startswith("vfxswap: error: deadlinecommand is not on this machine; ")
    assert said.count("\n") == 1


# ----------------------------------------------------------------------------------------------- opencue


def test_opencue_without_pyoutline_one_line_says_so(shot: Farm, monkeypatch, capfd, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setenv("VFXSWAP_OPENCUE_PYTHON", str(bare))
    assert shot.submit("--to", "opencue") == 4
    said = capfd.readouterr().err
    assert said.startswith(f"vfxswap: error: pyoutline is not in {bare}; ")
    assert said.count("\n") == 1


def test_opencue_layers_are_quoted_for_the_shell_that_takes_them_apart() -> None:
    import shlex

    layers = {layer["name"]: layer for layer in farm.ENGINES["opencue"].layers(PLAN)}
    words = shlex.split(" ".join(layers["swap"]["command"]))
    assert words[:4] == ["/opt/vfx swap/bin/vfxswap", "farm", "work", "swap"]
    assert words[-1] == "--frames=#FRAMESPEC#"
    assert (layers["swap"]["chunk"], layers["swap"]["range"]) == (3, "1001-1009x2,1020-1023")
    assert [layer.get("gpus") for layer in layers.values()] == [1, 1, 1, None]


def test_opencue_refuses_a_tag_that_pyoutline_would_leave_out() -> None:
    with pytest.raises(farm.FarmError, match="letters and digits"):
        farm.ENGINES["opencue"].files(replace(PLAN, group="gpu_24g"))


# ----------------------------------------------------------------------------------------------- command


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "deadline", "--run"], "--run is for --to openjd"),
        (["--to", "openjd", "--run", "--dry-run"], "--run is for --to openjd"),
        (["--to", "openjd", "--chunk", "0"], "--chunk"),
        (["--to", "tractor"], "tractor"),
        ([], "--to"),
    ],
)
def test_wrong_usage(shot: Farm, options: list[str], said: str, capfd) -> None:
    assert shot.submit(*options) == 2
    assert said in capfd.readouterr().err
    assert not shot.folder.exists()


def test_an_engine_that_is_not_known_to_a_worker(shot: Farm, capfd) -> None:
    assert execute("farm", "work", "swap", str(shot.job), "--engine", "tractor") == 2
    assert "there is openjd, opencue, deadline" in capfd.readouterr().err
