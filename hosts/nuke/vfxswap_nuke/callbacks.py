"""What happens to the node by itself: it is made, pasted, loaded, or a knob of it changes. Never raises."""

from __future__ import annotations

import traceback
import uuid

import nuke

from vfxswap_nuke import VERSION, about, knobs

_TELLING = ("model", "consents")


def created(which: nuke.Node) -> None:
    """The node was made, pasted or loaded: give it an id of its own, and knobs of today."""
    _safely(_created, which)


def changed(which: nuke.Node, knob: nuke.Knob) -> None:
    """A knob of the node was changed."""
    _safely(_changed, which, knob.name())


def _safely(function: object, *given: object) -> None:
    try:
        if callable(function):
            function(*given)
    except Exception:  # noqa: BLE001 - a script has to load, whatever is wrong here
        nuke.tprint(f"VfxSwap: {traceback.format_exc()}")


def _created(which: nuke.Node) -> None:
    with knobs.unrecorded():
        mine = str(which["vfxswap_id"].value())
        # Nodes that are compared by name: Nuke hands out a new Python object for each look.
        twins = [
            one for one in knobs.ours() if one["vfxswap_id"].value() == mine and one.fullName() != which.fullName()
        ]
        if not mine or twins:
            # A copy goes on showing what the original shows, but renders into a folder of its own.
            which["vfxswap_id"].setValue(uuid.uuid4().hex[:12])
            which["cache_version"].setValue(1)
            which["job_file"].setValue("")
            which["cache_key"].setValue("")
        _migrate(which)
        which["versions"].setValue(f"node {knobs.SCHEMA}, host code {VERSION}, Nuke {nuke.NUKE_VERSION_STRING}")
    _tell(which)
    which["frames"].setEnabled(which["frame_range"].value() == "custom")


def _migrate(which: nuke.Node) -> None:
    """Bring the knobs of an older node up to date: schema 1 is the first there is."""
    found = int(which["vfxswap_schema"].value())
    if found > knobs.SCHEMA:
        nuke.tprint(f"{which.name()} was made by a newer VfxSwap: it shows its cache; install that version to run it")
    elif found < knobs.SCHEMA:
        which["vfxswap_schema"].setValue(knobs.SCHEMA)


def _tell(which: nuke.Node) -> None:
    said = about.model(knobs.text(which, "model"))
    consents = about.consents(knobs.lines(which, "consents"))
    knobs.note(which, model_info=f"{said}. Consents: {consents}")


def _changed(which: nuke.Node, name: str) -> None:
    if name in _TELLING:
        _tell(which)
    if name == "frame_range":
        which["frames"].setEnabled(which["frame_range"].value() == "custom")
    if (name in knobs.JOB_KNOBS or name == "inputChange") and which["has_cache"].value():
        knobs.note(which, stale="<b>perhaps stale</b>: something was changed since; press Check")
