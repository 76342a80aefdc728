"""A training as a farm's job: what is written for each engine, and that it goes on wherever it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfxswap import trust
from vfxswap.cli.farm_train import _budget, _plan
from vfxswap.cli.farm_training import SCHEMA, TrainJob, launched
from vfxswap.errors import JobError, UsageError

from ..cli.facesets import Place
from ..support import PASSPHRASE
from .conftest import check_golden, execute, farm, started

RUN = ("--preset", "test", "--batch", "2", "--precision", "fp32", "--device", "cpu", "--score-every", "4")

JOB = TrainJob(
    schema_version=SCHEMA,
    model_dir="/show1/models/ben",
    likeness=["/show1/facesets/ben", "/show1/facesets/ben_2"],
    double=["/show1/facesets/anna"],
    consents=["/show1/consents/ben.json", "/show1/consents/anna.json"],
    keyring="/show1/ring",
    shot="show1/sq010/sh010",
    start="/show1/models/old",
    processes=4,
    device="cuda",
    options={"preset": "hd", "minutes": "90", "weight": ["2.0", "1.0"], "compile": True},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = Place(tmp_path_factory.mktemp("training"))
    assert [built.returncode for built in found.built] == [0, 0]
    return found


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return found


def words(place: Place, folder: Path, *more: str, to: str = "openjd") -> list[str]:
    return ["farm", "train", str(folder), *map(str, place.facesets), *place.trust, *RUN, "--to", to, *more]


def submitted(place: Place, folder: Path, *more: str) -> Path:
    """The job file that workers read."""
    files = folder / "farm"
    assert execute(*words(place, folder, "--into", str(files), *more)) == 0
    return files / "job.json"


def until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


# ----------------------------------------------------------------------------------------------- written


@pytest.mark.parametrize("name", farm.ENGINES)
def test_golden(name: str) -> None:
    """Written again on purpose with VFXSWAP_GOLDEN=1."""
    plan = _plan(JOB, Path("/show1/models/ben/farm"), memory=16, gpu_memory=12, command="vfxswap",
                 pool="film", group="gpu", priority=70)  # fmt: skip
    files = {"job.json": JOB.to_json(), **farm.ENGINES[name].files(plan)}
    check_golden(f"{name}_train", files)


def test_what_the_machine_has_to_have() -> None:
    def step(job: TrainJob) -> dict[str, Any]:
        plan = _plan(job, Path("/f"), memory=16, gpu_memory=12, command="vfxswap", pool="", group="", priority=50)
        (found,) = json.loads(farm.ENGINES["openjd"].files(plan)["template.json"])["steps"]
        assert isinstance(found, dict)
        return found

    def amounts(job: TrainJob) -> dict[str, int]:
        return {
            one["name"].removeprefix("amount.worker."): one["min"] for one in step(job)["hostRequirements"]["amounts"]
        }

    assert amounts(JOB) == {"memory": 16384, "gpu": 4, "gpu.memory": 12288}
    assert amounts(JOB.model_copy(update={"device": "cpu"})) == {"memory": 16384, "vcpu": 4}
    run = step(JOB)["script"]["actions"]["onRun"]
    assert run["timeout"] > 2 * 90 * 60
    by_steps = JOB.model_copy(update={"options": {"steps": "100"}})
    assert "timeout" not in step(by_steps)["script"]["actions"]["onRun"], "nobody knows how long a step takes there"


def test_several_processes_are_started_by_torchrun() -> None:
    found = launched(JOB)
    assert found[1:9] == ["-m", "torch.distributed.run", "--standalone", "--nnodes", "1", "--nproc-per-node", "4", "-m"]
    assert found[9:12] == ["vfxswap", "train", "/show1/models/ben"]
    assert {"--weight=2.0", "--weight=1.0", "--compile", "--from=/show1/models/old"} < set(found)
    assert "torch.distributed.run" not in launched(JOB.model_copy(update={"processes": 1}))


def test_a_dry_run_writes_nothing(place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in farm.ENGINES:
        assert execute(*words(place, tmp_path / "m", "--dry-run", to=name)) == 0
        printed = capfd.readouterr().out
        assert '"schema": "vfxswap.training/1"' in printed and "PRIVATE" not in printed
    assert not (tmp_path / "m").exists()


def test_every_path_is_mapped() -> None:
    windows = JOB.model_copy(
        update={
            name: [path.replace("/show1", "Z:\\show1") for path in value]
            if isinstance(value, list)
            else value.replace("/show1", "Z:\\show1")
            for name in ("model_dir", "likeness", "double", "consents", "keyring", "start")
            if (value := getattr(JOB, name))
        }
    )
    assert windows.mapped(lambda text: text.replace("Z:\\show1", "/show1")) == JOB
    with pytest.raises(JobError, match="no path of this machine"):
        windows.mapped(lambda text: text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "vfxswap.job/1"}, "Input should be 'vfxswap.training/1' in schema"),
        ({"schema": "vfxswap.training/2"}, "newer"),
        ({"options": {"overwrite": True}}, "no option 'overwrite'"),
        ({"processes": 0}, "in processes"),
        ({"likeness": []}, "in likeness"),
        ({"model_dir": "/a\0b"}, "NUL"),
        ({"key": "x"}, "Extra inputs"),
    ],
)
def test_what_is_no_job_of_a_training(change: dict[str, Any], said: str, tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**json.loads(JOB.to_json()), **change}))
    assert execute("farm", "work", "train", str(path)) == 4
    told = capfd.readouterr().err
    assert told.startswith("vfxswap: error: not a training's job: ") and said in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("steps", "minutes", "found"),
    [("7", None, {"steps": "7"}), (None, "1.5", {"minutes": "1.5"}), (None, None, {"minutes": "60"})],
)
def test_the_budget(steps: str | None, minutes: str | None, found: dict[str, str]) -> None:
    assert _budget(steps, minutes) == found


@pytest.mark.parametrize(("steps", "minutes"), [("7", "7"), ("+7", None), (None, "+2"), ("x", None)])
def test_a_budget_that_a_task_cannot_keep(steps: str | None, minutes: str | None) -> None:
    with pytest.raises(UsageError):
        _budget(steps, minutes)


# --------------------------------------------------------------------------------------------------- run


def test_consent_is_asked_for_when_the_task_begins(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ring = shutil.copytree(place.studio.keyring, tmp_path / "ring")
    folder = tmp_path / "m"
    job = submitted(place, folder, "--steps", "4", "--keyring", str(ring))
    trust.revoke(
        [place.studio.consents[0]], ring=trust.KeyRing.load(ring),
        key_file=place.studio.root / "private" / "revoker.key.pem", passphrase=PASSPHRASE,
    )  # fmt: skip
    before = sorted(folder.rglob("*"))
    capfd.readouterr()
    began = time.process_time()
    assert execute("farm", "work", "train", str(job), "--engine", "openjd") == 77
    assert time.process_time() - began < 2, "engines try a refusal again and again"
    assert "openjd_fail: VS-CON-004" in capfd.readouterr().out
    assert execute(*words(place, tmp_path / "other", "--steps", "4", "--keyring", str(ring))) == 77
    assert sorted(folder.rglob("*")) == before and not (tmp_path / "other").exists()


@pytest.mark.slow
def test_what_a_training_refuses_is_said_once_with_its_code(place: Place, tmp_path: Path) -> None:
    job = submitted(place, tmp_path / "m", "--steps", "4")
    fields = json.loads(job.read_text())
    fields["options"]["preset"] = "gigantic"
    job.write_text(json.dumps(fields))
    process = started("farm", "work", "train", str(job))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert said.count("vfxswap: error: ") == 1 and "gigantic" in said


@pytest.mark.slow
def test_openjd_runs_it_and_what_was_cancelled_goes_on(place: Place, tmp_path: Path) -> None:
    """Two processes through torchrun, stopped by the engine; the next machine has one core and goes on."""
    pytest.importorskip("openjd.cli", reason="needs the extra `farm`")
    folder = tmp_path / "m"
    command = words(place, folder, "--processes", "2", "--minutes", "30", "--run")
    process = started(*command)
    assert process.stdout is not None
    for line in process.stdout:
        if "openjd_status: train 5 of" in line or ((folder / "state.json").exists() and state(folder)["step"] >= 4):
            process.send_signal(signal.SIGTERM)
            break
    said = process.stdout.read()
    assert process.wait(timeout=120) == 75, said
    assert "exited with code: 75" in said and "openjd_fail: cancelled" in said
    stopped = state(folder)["step"]
    assert stopped >= 4 and state(folder)["processes"] == 2
    assert (folder / state(folder)["tensors"]).exists() and not list(folder.glob(".*.tmp"))

    process = started(*words(place, folder, "--steps", str(stopped + 4), "--run"))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert state(folder)["step"] == stopped + 4 and f"train: {stopped + 1}/{stopped + 4}" in said


@pytest.mark.slow
def test_a_killed_task_leaves_nobody_who_trains_on(place: Place, tmp_path: Path) -> None:
    """As OpenCue kills: SIGKILL to the task's process group, which torchrun's processes are not in."""
    folder = tmp_path / "m"
    job = submitted(place, folder, "--minutes", "30", "--processes", "2")
    process = started("farm", "work", "train", str(job), start_new_session=True)
    assert process.stdout is not None
    until(process, lambda: (folder / "state.json").exists() and state(folder)["step"] >= 4)
    os.killpg(process.pid, signal.SIGKILL)
    began = time.monotonic()
    process.stdout.read()  # ends when the last of them has
    assert time.monotonic() - began < 60
    assert process.wait() == -signal.SIGKILL
    lines = (folder / "metrics.jsonl").read_text()
    time.sleep(1)
    assert (folder / "metrics.jsonl").read_text() == lines
    assert (folder / state(folder)["tensors"]).exists()
