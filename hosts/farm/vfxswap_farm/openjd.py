"""Open Job Description: a template that `openjd run` and AWS Deadline Cloud take as it is.

Specification: https://github.com/OpenJobDescription/openjd-specifications (2023-09, extension TASK_CHUNKING).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from typing import Any, Callable

from vfxswap_farm.errors import FarmError
from vfxswap_farm.plan import Outcome, Plan, Step

TEMPLATE = "template.json"
VALUES = "parameter_values.json"

_NOTICE = 300
"""Seconds between being asked to stop and being stopped: the frame at hand is finished in them."""

_LONGEST_NAME, _LONGEST_TEXT = 128, 1024
"""Letters that the specification allows in a job's name and in a parameter's value."""

_EXITED = re.compile(r"exited with code: (\d+)")
_FAILED = re.compile(r"openjd_fail: (.*)")


def files(plan: Plan) -> dict[str, str]:
    """The template, and the values of its parameters in the form of a Deadline Cloud job bundle.

    Raises:
        FarmError: a path, or the list of frames, is longer than a parameter may be.
    """
    for name, value in _values(plan).items():
        if len(value) > _LONGEST_TEXT:
            raise FarmError(f"{name} has {len(value)} letters, openjd allows {_LONGEST_TEXT}", "split the job in two")
    values = [{"name": name, "value": value} for name, value in _values(plan).items()]
    return {TEMPLATE: _json(template(plan)), VALUES: _json({"parameterValues": values})}


def template(plan: Plan) -> dict[str, Any]:
    """The job template as JSON has it."""
    inputs = [
        {
            "name": name,
            "type": "PATH",
            "objectType": "DIRECTORY" if path.endswith("/") else "FILE",
            "dataFlow": "IN",
            "description": "Read by the workers; here so that it is uploaded where files travel with a job.",
        }
        for name, path in plan.inputs
    ]
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        "name": plan.name[:_LONGEST_NAME],
        "description": plan.about,
        "parameterDefinitions": [
            {"name": "JobFile", "type": "PATH", "objectType": "FILE", "dataFlow": "IN", "description": "job.json."},
            *([{"name": "Frames", "type": "STRING", "default": _range(plan.frames)}] if _chunked(plan) else []),
            {"name": "Command", "type": "STRING", "default": "vfxswap", "description": "What starts vfxswap."},
            *inputs,
            {
                "name": "OutputFolder",
                "type": "PATH",
                "objectType": "DIRECTORY",
                "dataFlow": "INOUT" if plan.goes_on else "OUT",
                "description": "Where the results go.",
            },
        ],
        "steps": [_step(plan, step, plan.steps[index - 1] if index else None) for index, step in enumerate(plan.steps)],
    }


def submit(
    plan: Plan, folder: str, *, say: Callable[[str], None], cancelled: Callable[[], bool], run: bool = False
) -> Outcome:
    """Run the job in `folder` on this machine, task after task; without `run` only say how it is handed on.

    Args:
        plan: the job.
        folder: where `files` were written.
        say: takes each line of the log.
        cancelled: whether somebody asked to stop.
        run: do it here.

    Raises:
        FarmError: openjd is not installed.
    """
    path = os.path.join(folder, TEMPLATE)
    if not run:
        say(f"run it here: openjd run {path} --step {plan.steps[-1].name} --run-dependencies (or submit it with --run)")
        say(f"AWS Deadline Cloud: deadline bundle submit {folder}")
        return Outcome(0)
    words = [_program(), "run", path, "--step", plan.steps[-1].name, "--run-dependencies"]
    for name, value in _values(plan).items():
        words += ["--job-param", f"{name}={value}"]
    return _run(words, say, cancelled)


def _program() -> str:
    beside = os.path.dirname(sys.executable)
    found = shutil.which("openjd", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise FarmError("openjd is not installed here", "pip install 'vfxswap[farm]', or leave --run out")
    return found


def _run(words: list[str], say: Callable[[str], None], cancelled: Callable[[], bool]) -> Outcome:
    # A session of its own: Ctrl-C reaches it once, from here, and not a second time from the terminal.
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    )
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if cancelled():
                process.terminate()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code, message = 0, ""
    for line in process.stdout or ():
        say(line.rstrip("\n"))
        if (found := _EXITED.search(line)) and int(found[1]) != 0:
            code = int(found[1])
        if found := _FAILED.search(line):
            message = found[1]
    status = process.wait()
    ended.set()
    watcher.join()
    return Outcome(0) if status == 0 else Outcome(code or 1, message)


def _values(plan: Plan) -> dict[str, str]:
    folders = {name: path.rstrip("/") for name, path in plan.inputs}
    return {
        "JobFile": plan.job,
        **({"Frames": _range(plan.frames)} if _chunked(plan) else {}),
        "Command": plan.command,
        **folders,
        "OutputFolder": os.path.dirname(plan.output),
    }


def _step(plan: Plan, step: Step, before: Step | None) -> dict[str, Any]:
    made: dict[str, Any] = {"name": step.name}
    if before is not None:
        made["dependencies"] = [{"dependsOn": before.name}]
    amounts: list[dict[str, Any]] = [{"name": "amount.worker.memory", "min": step.memory}]
    if step.cores > 1:
        amounts.append({"name": "amount.worker.vcpu", "min": step.cores})
    if plan.gpu and step.networks:
        amounts += [
            {"name": "amount.worker.gpu", "min": step.gpus},
            {"name": "amount.worker.gpu.memory", "min": step.gpu_memory},
        ]
    made["hostRequirements"] = {"amounts": amounts}
    if step.chunked:
        made["parameterSpace"] = {
            "taskParameterDefinitions": [
                {
                    "name": "Frame",
                    "type": "CHUNK[INT]",
                    "range": "{{Param.Frames}}",
                    # CONTIGUOUS would make a chunk of every single frame of a stepped range.
                    "chunks": {"defaultTaskCount": plan.chunk, "rangeConstraint": "NONCONTIGUOUS"},
                }
            ]
        }
    words = plan.words(
        step,
        engine="openjd",
        frames="{{Task.Param.Frame}}",
        job="{{Param.JobFile}}",
        rules="{{Session.PathMappingRulesFile}}",
    )
    seconds = plan.timeout(step)
    action = {
        "command": "{{Param.Command}}",
        "args": words,
        **({"timeout": seconds} if seconds is not None else {}),
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": _NOTICE},
    }
    made["script"] = {"actions": {"onRun": action}}
    return made


def _chunked(plan: Plan) -> bool:
    return any(step.chunked for step in plan.steps)


def _range(frames: str) -> str:
    """`1-9x2` as this specification writes it."""
    return frames.replace("x", ":")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
