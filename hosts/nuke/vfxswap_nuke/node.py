"""Run, and what follows from it: the cache that the node shows, and what it says about it."""

from __future__ import annotations

import os
from typing import Any

import nuke

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError, Outcome
from vfxswap_nuke import color, frames, job, knobs, places, plate, session, upstream

_RED = 0x993333FF
_ENGINE, _CHUNK = "engine", "frames a worker does in one go"
_PATIENCE = 300.0
"""Seconds that a farm may take to answer."""


def identity(node: nuke.Node) -> str:
    """The node's id: it keeps it through renames."""
    return str(node["vfxswap_id"].value())


def prepare(node: nuke.Node, *, pinned: bool = False) -> tuple[str, str]:
    """Everything up to the worker: find or export the plate, write the job.

    Args:
        node: the VfxSwap.
        pinned: the job names the model's hash, so that whoever does it later notices another one.

    Returns:
        The job's path, and what its frames will be made from.

    Raises:
        BridgeError: something is missing or refused; nothing was rendered.
    """
    job.check(node)
    script = color.of_script()
    wanted = frames.wanted(node)
    views = job.views(node)
    folder = places.claim(node)
    found = plate.direct(node, script) or plate.export(node, f"{folder}/plate", wanted, views, script)
    fields = job.fields(node, found, wanted, script)
    path = f"{folder}/job.json"
    bridge.write(path, {**fields, "model_sha256": bridge.sha256(fields["model"])} if pinned else fields)
    key = job.key(node, fields, found, wanted)
    if places.key(path) != key:
        places.set_key(path, "")
    with knobs.unrecorded():
        node["job_file"].setValue(path)
    return path, key


def run(node: nuke.Node, *, only: str = "") -> None:
    """Render what is missing or stale; `only`: these frames of the range."""
    if session.current().running(identity(node)) is not None:
        raise BridgeError("this node is at work already", "wait, or press Cancel")
    path, key = prepare(node)
    handle = session.current().start(identity(node), path, frames=only)
    knobs.note(node, status="at work")
    session.follow(handle, f"VfxSwap {node.name()}", finished, identity(node), path, "" if only else key)


def preview(node: nuke.Node) -> None:
    """Render the frame that the viewer shows."""
    run(node, only=str(int(nuke.frame())))


def finished(which: str, path: str, key: str, outcome: Outcome) -> None:
    """Show what a job made; on the main thread. Says what went wrong on the node and in one dialog."""
    node = knobs.find(which)
    if node is None:
        return  # deleted meanwhile; its frames stay where they are
    try:
        if outcome.ok and key:
            places.set_key(path, key)
        show(node, path)
    except (BridgeError, OSError, ValueError) as error:
        outcome = Outcome(1, str(error))
    fault(node, outcome)


def show(node: nuke.Node, path: str) -> None:
    """Let the node read the frames of a job, if there are any."""
    made = bridge.read(path)
    wanted = frames.parse(made["frames"])
    views = [str(view) for view in nuke.views()] if "%V" in made["output"] else ["main"]
    there = [frame for frame in wanted if os.path.isfile(plate.expand(made["output"], frame, views[0]))]
    if not there:
        return
    values: dict[str, Any] = {
        "cache_file": made["output"],
        "cache_first": wanted[0],
        "cache_last": wanted[-1],
        "has_cache": True,
    }
    knobs.put(node, values)
    reload(node)
    convert(node, made, there[0])
    said = f"{len(there)} of {len(wanted)} frames are cached"
    knobs.note(node, status=said, stale=said, cache_key=places.key(path))


def convert(node: nuke.Node, made: dict[str, Any], frame: int) -> None:
    """Bring the cached face into the script's working space, where `frame` says that it is in another one."""
    script = color.of_script()
    said = knobs.inner(node, "Ingredients").metadata("exr/vfxswap:space", frame)
    space = color.plain(str(said or made.get("color_space") or script.working))
    other = script.managed and space != script.working
    inside = knobs.inner(node, "ToWorking")
    if other:
        inside["in_colorspace"].setValue(space)
        inside["out_colorspace"].setValue(script.working)
    if bool(node["convert"].value()) != other:
        knobs.put(node, {"convert": other})


def fault(node: nuke.Node, outcome: Outcome) -> None:
    """Colour the node and say what is wrong; or take the colour back."""
    if outcome.ok:
        _plain_color(node)
        return
    text = str(outcome)
    if outcome.failed:
        first = outcome.failed[0]
        text = f"{len(outcome.failed)} frames failed, the first {first[0]}: {first[1]}"
    knobs.note(node, status=f"<b>{'cancelled' if outcome.cancelled else 'failed'}</b>: {text}")
    if not outcome.cancelled:
        _colored(node)
        report(f"{node.name()}: {text}")
    if not nuke.GUI:
        raise RunError(outcome.code if outcome.code > 0 else 1, text)


def report(text: str) -> None:
    """One dialog; a line where there are none."""
    if nuke.GUI:
        nuke.message(text)
    else:
        nuke.tprint(text)


class RunError(Exception):
    """A run in a terminal did not end well.

    Args:
        code: the exit code.
        text: why.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _colored(node: nuke.Node) -> None:
    with knobs.unrecorded():
        if not node["plain_color"].value():
            node["plain_color"].setValue(str(int(node["tile_color"].value())))
        node["tile_color"].setValue(_RED)


def _plain_color(node: nuke.Node) -> None:
    before = str(node["plain_color"].value())
    if before:
        with knobs.unrecorded():
            node["tile_color"].setValue(int(before))
            node["plain_color"].setValue("")


def reload(node: nuke.Node) -> None:
    """Read the cached frames again."""
    button = knobs.inner(node, "Ingredients")["reload"]
    if isinstance(button, nuke.Script_Knob):
        button.execute()


def cancel(node: nuke.Node) -> None:
    """Stop the node's job."""
    if not session.current().cancel(identity(node)):
        raise BridgeError("nothing is at work here")


def farm(node: nuke.Node) -> None:
    """Write the job, and say where."""
    path, _ = prepare(node, pinned=True)
    report(f"The job is written:\n{path}\n\nGive it to the farm as `vfxswap run {os.path.basename(path)} --frames "
           "RANGE`: any split gives the same frames. Submit hands it to a farm by itself.")  # fmt: skip


def submit(node: nuke.Node) -> None:
    """Ask which farm, write the job and hand it over; says what the farm said."""
    panel = nuke.Panel("VfxSwap: submit to a farm")
    panel.addEnumerationPulldown(_ENGINE, "openjd opencue deadline")
    panel.addSingleLineInput(_CHUNK, "12")
    panel.addButton("Cancel")
    panel.addButton("Submit")
    if not panel.show():
        return
    engine, chunk = (str(panel.value(name) or "").strip() for name in (_ENGINE, _CHUNK))
    if not (chunk.isdigit() and int(chunk)):
        raise BridgeError(f"{chunk!r} is no number of frames", "write how many frames a worker does in one go")
    path, _ = prepare(node, pinned=True)
    arguments = ["farm", "submit", path, "--to", engine, "--chunk", chunk]
    code, out, complaints = bridge.call(arguments, timeout=_PATIENCE)
    if code != 0:
        raise BridgeError((complaints.strip().splitlines() or [f"code {code}"])[-1].replace("vfxswap: error: ", ""))
    report("\n".join(part for part in (out.strip(), complaints.strip()) if part))


def check_stale(node: nuke.Node) -> str:
    """Compare the cache with the plate and the knobs; says and returns the result."""
    result = _state(node)
    knobs.note(node, stale=result)
    return result


def _state(node: nuke.Node) -> str:
    path = str(node["job_file"].value())
    if not node["has_cache"].value() or not path:
        return "nothing is cached"
    if not node["cache_key"].value():
        return "rendered in part: run again"
    made = bridge.read(path)
    script = color.of_script()
    source = node.input(0)
    known = "" if source is None else upstream.describe(source)
    found = plate.direct(node, script) or plate.Plate(made["plate"], script.working, known)
    wanted, rendered = frames.wanted(node), frames.parse(made["frames"])
    now = job.key(node, job.fields(node, found, wanted, script), found, rendered)
    result = "up to date" if now == node["cache_key"].value() else "<b>stale</b>: run again"
    missing = set(wanted) - set(rendered)
    return f"{result}; {len(missing)} frames of the range are not in it" if missing else result


def step(node: nuke.Node, by: int) -> None:
    """Show another version; one above the last is new and empty."""
    there = places.versions(node)
    number = max(1, knobs.whole(node, "cache_version") + by)
    number = min(number, max(there, default=0) + 1)
    knobs.put(node, {"cache_version": number})
    path = f"{places.version(node)}/job.json"
    if number in there and os.path.isfile(path):
        with knobs.unrecorded():
            node["job_file"].setValue(path)
        show(node, path)
    else:
        knobs.note(node, stale=f"version {number} is empty; what is shown is another one")


def clear(node: nuke.Node) -> None:
    """Delete the frames of the node's version, after asking."""
    if session.current().running(identity(node)) is not None:
        raise BridgeError("this node is at work", "press Cancel first")
    folder = places.version(node)
    if nuke.GUI and not nuke.ask(f"Delete the cached frames in\n{folder}?"):
        return
    gone = places.clear(node)
    shown = str(node["cache_file"].value())
    if shown.startswith(folder + "/"):
        knobs.put(node, {"has_cache": False, "cache_file": ""})
    knobs.note(node, stale="nothing is cached", status="cleared" if gone else "there was nothing to clear")


def show_log(node: nuke.Node) -> None:
    """What the worker said last, its end."""
    path = str(node["job_file"].value()) + ".log"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            said = file.read()
    except OSError as error:
        raise BridgeError("there is no log yet", "run first") from error
    report(f"{path}\n\n{said[-4000:]}")
