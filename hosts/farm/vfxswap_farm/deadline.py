"""Thinkbox Deadline 10: a job info and a plugin info file for each step, for its CommandLine plugin."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from typing import Callable

from vfxswap_farm.errors import FarmError
from vfxswap_farm.plan import Outcome, Plan, Step

CLIENT = "deadlinecommand"

_JOB_ID = re.compile(r"^JobID=(\S+)", re.MULTILINE)


def files(plan: Plan) -> dict[str, str]:
    """Job info and plugin info of each step; the id of the job that one needs is filled in by `submit`."""
    _check(plan)
    made = {}
    for index, step in enumerate(plan.steps):
        before = f"<JobID of {plan.steps[index - 1].name}>" if index else ""
        made[_name(step, "job")] = job_info(plan, step, before)
        made[_name(step, "plugin")] = plugin_info(plan, step)
    return made


def submit(
    plan: Plan, folder: str, *, say: Callable[[str], None], cancelled: Callable[[], bool], run: bool = False
) -> Outcome:
    """Submit the steps one after the other with `deadlinecommand`, each with the id of the one before.

    Raises:
        FarmError: Deadline's client is not here, does not take a job, or the job was cancelled on the way.
    """
    client = _client()
    before = ""
    for step in plan.steps:
        if cancelled():
            raise FarmError("cancelled", f"remove what was submitted: {before or 'nothing'}")
        job, plugin = (os.path.join(folder, _name(step, kind)) for kind in ("job", "plugin"))
        with open(job, "w", encoding="utf-8") as file:
            file.write(job_info(plan, step, before))
        done = subprocess.run([client, job, plugin], capture_output=True, text=True, errors="replace", check=False)
        found = _JOB_ID.search(done.stdout)
        if done.returncode != 0 or found is None:
            said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
            hint = f"submitted already: {before}; remove it" if before else "see that it reaches its repository"
            raise FarmError(f"deadlinecommand did not take {step.name}: {said}", hint)
        before = found[1]
        say(f"{step.name}: {before}")
    return Outcome(0)


def job_info(plan: Plan, step: Step, before: str) -> str:
    """The job info file of a step that needs the job `before`."""
    first, seconds = plan.numbers[0], plan.timeout(step)
    lines = {
        "Plugin": "CommandLine",
        "Name": f"{plan.name} {step.name}",
        "BatchName": plan.name,
        # One frame stands for a step that is not shared out.
        "Frames": plan.frames if step.chunked else str(first),
        "ChunkSize": str(plan.chunk if step.chunked else 1),
        "Priority": str(plan.priority),
        "Pool": plan.pool,
        "Group": plan.group,
        "TaskTimeoutMinutes": str(math.ceil(seconds / 60)) if seconds is not None else "",
        "OnTaskTimeout": "Error" if seconds is not None else "",
        "OverrideTaskFailureDetection": "True",
        "FailureDetectionTaskErrors": str(step.tries),
        "JobDependencies": before,
        "ResumeOnCompleteDependencies": "True" if before else "",
        "ResumeOnFailedDependencies": "False" if before else "",
        "ResumeOnDeletedDependencies": "False" if before else "",
        "OutputDirectory0": os.path.dirname(plan.output),
        "OutputFilename0": os.path.basename(plan.output) if step.chunked else "",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items() if value)


def plugin_info(plan: Plan, step: Step) -> str:
    """The plugin info file of a step."""
    words = plan.words(step, engine="deadline", frames="<STARTFRAME>-<ENDFRAME>")
    lines = {
        "Executable": plan.command,
        "Arguments": " ".join(f'"{word}"' if " " in word else word for word in words),
        "Shell": "default",
        "ShellExecute": "False",
        "SingleFramesOnly": "False",
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _name(step: Step, kind: str) -> str:
    return f"{step.name.lower()}_{kind}.txt"


def _check(plan: Plan) -> None:
    """What a file of KEY=VALUE lines and Deadline's frame tokens cannot say."""
    if plan.numbers[0] < 0:
        raise FarmError(f"frame {plan.numbers[0]}: Deadline's frame lists have no negative frames", "renumber them")
    for text in (plan.name, plan.job, plan.command, plan.output):
        if any(letter in text for letter in '"\n\r<>'):
            raise FarmError(f"{text!r} has a letter that Deadline's files cannot hold", 'rename it without " < >')


def _client() -> str:
    folder = os.environ.get("DEADLINE_PATH", "")
    found = shutil.which(CLIENT, path=os.pathsep.join([folder, os.environ.get("PATH", "")]))
    if found is None:
        raise FarmError(
            "deadlinecommand is not on this machine",
            "install the Deadline client or set DEADLINE_PATH, or submit the files yourself: --dry-run prints them",
        )
    return found
