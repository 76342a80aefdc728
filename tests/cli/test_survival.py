"""`train` as installed, killed, starved and shared: what a night on a farm does to it."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .facesets import COMMAND, ENVIRONMENT, Place, files, vfxswap

RUN = ("--preset", "test", "--batch", "2", "--precision", "fp32", "--device", "cpu", "--score-every", "4")


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "state.json").read_text())
    return found


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / state(folder)["tensors"])


def start(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    command = [COMMAND, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **more
    )


def until(process: subprocess.Popen[str], happened: Any) -> bool:
    """Wait, closely, for something to happen while a process runs."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if happened():
            return True
        time.sleep(0.0005)
    return False


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_bits(place: Place, tmp_path: Path) -> None:
    budget = (*RUN, "--steps", "24")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert place.train(whole, *budget).returncode == 0
    dice, killed = random.Random(5), 0

    def writing() -> bool:
        return any(broken.glob(".checkpoint-*.tmp"))

    def one_more(than: int) -> Any:
        return lambda: (broken / "state.json").exists() and state(broken)["step"] > than

    # Twice while a checkpoint is being written, once some steps after one.
    for moment in ("writing", "between", "writing"):
        process = start("train", broken, *place.facesets, *place.trust, *budget)
        before = state(broken)["step"] if (broken / "state.json").exists() else -1
        if moment == "writing" and before < 0:
            until(process, lambda: (broken / "state.json").exists())
        if until(process, writing if moment == "writing" else one_more(before)):
            if moment == "between":
                time.sleep(dice.random() * 0.2)
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait(timeout=60)
    assert killed >= 2
    assert place.train(broken, *budget).returncode == 0
    wanted, found = tensors(whole), tensors(broken)
    assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []
    assert state(broken)["scores"] == state(whole)["scores"]
    assert not list(broken.glob(".*.tmp"))


def test_a_full_disk_is_3_and_the_run_goes_on_when_there_is_room(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    assert place.train(folder, *RUN, "--steps", "2").returncode == 0
    # Pages, figures and previews may tell of steps that were not kept.
    told = (".html", ".jsonl", ".png")
    before = {name: (folder / name).read_bytes() for name in files(folder) if not name.endswith(told)}
    assert {"state.json"} < before.keys()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start("train", folder, *place.facesets, *place.trust, *RUN, "--steps", "4", preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "the disk is full" in err
    assert before.items() <= {name: (folder / name).read_bytes() for name in files(folder)}.items()
    assert not list(folder.glob(".*.tmp"))
    assert 'data-status="broken"' in (folder / "training.html").read_text()
    assert place.train(folder, *RUN, "--steps", "4").returncode == 0
    assert state(folder)["step"] == 4
    assert 'data-status="finished"' in (folder / "training.html").read_text()


# ------------------------------------------------------------------------------------------------ torchrun


def torchrun(count: int, *arguments: object) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*run, "-m", "vfxswap", *map(str, arguments)]


def shared(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        torchrun(count, *arguments), capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False
    )


@pytest.mark.slow
def test_two_processes_are_one_with_the_double_batch(place: Place, tmp_path: Path) -> None:
    run = ("--preset", "test", "--precision", "fp32", "--device", "cpu", "--score-every", "2")
    common = (*place.facesets, *place.trust, *run)
    one, two = tmp_path / "one", tmp_path / "two"
    assert vfxswap("train", one, *common, "--batch", "4", "--steps", "4").returncode == 0
    done = shared(2, "train", two, *common, "--batch", "2", "--steps", "4", "--events", "-")
    assert done.returncode == 0, done.stderr
    # One process speaks.
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (events[0], events[-1]) == ("started", "done")
    assert (events.count("started"), events.count("scored"), events.count("done")) == (1, 2, 1)

    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in (one, two)
    ]
    for alone, both in zip(*lines, strict=True):
        assert alone["losses"] == pytest.approx(both["losses"], abs=1e-5)
        assert alone["scores"]["likeness_psnr"] == pytest.approx(both["scores"]["likeness_psnr"], abs=1e-3)
    wanted, found = tensors(one), tensors(two)
    assert max(float((wanted[name] - found[name]).abs().max()) for name in wanted if name.startswith("net/")) < 1e-5
    assert (state(one)["processes"], state(two)["processes"]) == (1, 2)

    # On with another number of processes.
    more = vfxswap("train", two, *common, "--steps", "5")
    assert more.returncode == 0, more.stderr
    assert "1 processes instead of 2" in more.stderr
    assert state(two)["step"] == 5


@pytest.mark.slow
def test_ctrl_c_stops_all_processes(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    command = torchrun(2, "train", folder, *place.facesets, *place.trust, *RUN, "--minutes", "5")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT, start_new_session=True
    )
    try:
        assert until(process, lambda: (folder / "state.json").exists() and state(folder)["step"] >= 4)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "Traceback" not in said.split("torch/distributed")[0]
    assert (folder / state(folder)["tensors"]).exists()
    assert 'data-status="stopped"' in (folder / "training.html").read_text()
    assert tensors(folder)
