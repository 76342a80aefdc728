"""OpenCue: an outline script for pyoutline, which hands the job to a Cuebot."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from typing import Any, Callable

from vfxswap_farm.errors import FarmError
from vfxswap_farm.plan import Outcome, Plan

SCRIPT = "submit_to_opencue.py"  # not outline.py: it would import itself

PYTHON = "VFXSWAP_OPENCUE_PYTHON"
"""Variable that names the Python which has pyoutline, where it is not the one that runs this."""


def files(plan: Plan) -> dict[str, str]:
    """The outline script: running it submits the job.

    Raises:
        FarmError: the group is no tag that pyoutline would hand on.
    """
    if plan.group and not plan.group.isalnum():
        # pyoutline leaves out such tags and says nothing: the job would run on any machine.
        raise FarmError(f"the tag {plan.group!r} has other signs than letters and digits", "give another --group")
    return {SCRIPT: _script(plan)}


def submit(
    plan: Plan, folder: str, *, say: Callable[[str], None], cancelled: Callable[[], bool], run: bool = False
) -> Outcome:
    """Submit with pyoutline.

    Raises:
        FarmError: pyoutline is not here, or its Cuebot does not take the job.
    """
    python = os.environ.get(PYTHON, "") or sys.executable
    probe = subprocess.run([python, "-c", "import outline"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise FarmError(
            f"pyoutline is not in {python}",
            f"pip install opencue-pyoutline packaging, or point {PYTHON} to a Python that has it;"
            " --dry-run prints the outline",
        )
    script = os.path.join(folder, SCRIPT)
    done = subprocess.run([python, script], capture_output=True, text=True, errors="replace", check=False)
    for line in done.stdout.splitlines():
        say(line)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise FarmError(f"OpenCue did not take the job: {said}", "see that CUEBOT_HOSTS names a Cuebot that answers")
    return Outcome(0)


def layers(plan: Plan) -> list[dict[str, Any]]:
    """The arguments of pyoutline's Shell for each step, in their order."""
    made = []
    for step in plan.steps:
        words = plan.words(step, engine="opencue", frames="#FRAMESPEC#")
        first = str(plan.numbers[0])
        layer: dict[str, Any] = {
            "name": step.name.lower(),
            # pyoutline joins them with spaces and a shell takes them apart again.
            "command": [shlex.quote(word) for word in (plan.command, *words)],
            "range": plan.frames if step.chunked else first,
            "chunk": plan.chunk if step.chunked else 1,
            "threads": float(step.cores),
            "memory": _gigabytes(step.memory),
        }
        seconds = plan.timeout(step)
        if seconds is not None:
            layer["timeout"] = math.ceil(seconds / 60)  # Cuebot counts minutes
        if plan.gpu and step.networks:
            layer |= {"gpus": step.gpus, "gpu_memory": _gigabytes(step.gpu_memory)}
        if plan.group:
            layer["tags"] = plan.group
        made.append(layer)
    return made


def _gigabytes(mebibytes: int) -> str:
    return f"{math.ceil(mebibytes / 1024)}g"


def _script(plan: Plan) -> str:
    name = re.sub(r"\W+", "_", plan.name)
    shown = "".join(f"    {layer!r},\n" for layer in layers(plan))
    return f'''"""{name}: submitted to OpenCue by running this with a Python that has pyoutline."""

import outline
import outline.cuerun
from outline.modules.shell import Shell

LAYERS = [
{shown}]


def job():
    made = outline.Outline({name!r}, frame_range={plan.frames!r}, name_unique=True)
    before = None
    for fields in LAYERS:
        layer = Shell(fields["name"], **{{key: value for key, value in fields.items() if key != "name"}})
        made.add_layer(layer)
        if before is not None:
            layer.depend_all(before)
        before = fields["name"]
    return made


if __name__ == "__main__":
    # Without use_pycuerun=False workers would need pyoutline and the folder of this session.
    options = {{
        "use_pycuerun": False,
        "os": "Linux",
        "priority": {plan.priority},
        "maxretries": {max(step.tries for step in plan.steps) - 1},
    }}
    for submitted in outline.cuerun.launch(job(), backend="cue", **options) or ():
        print(submitted.data.name)
'''
