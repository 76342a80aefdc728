"""Training from a panel: begun, gone on with, stopped, exported."""

from __future__ import annotations

import os

import nuke

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError, Outcome
from vfxswap_nuke import about, knobs, node, session

_FOLDER, _LIKENESS, _DOUBLE = "model folder", "likeness faceset", "double faceset"
_SAVING = 120.0
"""Seconds in which a training that is stopped may save where it is."""

_PRESET, _MINUTES = "preset", "minutes"


def _identity(which: nuke.Node) -> str:
    return node.identity(which) + " train"


def _consents(which: nuke.Node) -> list[str]:
    """The options that every gated command has."""
    given = [word for path in knobs.lines(which, "consents") for word in ("--consent", path)]
    for option, name in (("--shot", "shot"), ("--keyring", "keyring")):
        if knobs.text(which, name):
            given += [option, knobs.text(which, name)]
    return given


def train(which: nuke.Node) -> None:
    """Ask what to train, and start. The same folder again goes on where it ended."""
    panel = nuke.Panel("VfxSwap: train")
    panel.addFilenameSearch(_FOLDER, "")
    panel.addFilenameSearch(_LIKENESS, "")
    panel.addFilenameSearch(_DOUBLE, "")
    panel.addEnumerationPulldown(_PRESET, "hd tiny")
    panel.addSingleLineInput(_MINUTES, "60")
    panel.addButton("Cancel")
    panel.addButton("Train")
    if not panel.show():
        return
    start(
        which,
        **{name: str(panel.value(name) or "").strip() for name in (_FOLDER, _LIKENESS, _DOUBLE, _PRESET, _MINUTES)},
    )


def start(which: nuke.Node, **given: str) -> None:
    """Train with the panel's answers; raises BridgeError where one is missing."""
    for name in (_FOLDER, _LIKENESS, _DOUBLE):
        if not given[name]:
            raise BridgeError(f"no {name} is given", "choose one")
    folder = given[_FOLDER].rstrip("/").replace("\\", "/")
    begun = os.path.isdir(folder) and bool(os.listdir(folder))
    minutes = given[_MINUTES]
    if not minutes.lstrip("+").replace(".", "", 1).isdigit():
        raise BridgeError(f"{minutes!r} is no number of minutes", "write one, such as 60")
    arguments = ["train", folder, "--likeness", given[_LIKENESS], "--double", given[_DOUBLE]]
    # A run that was begun has its preset, and more time is meant on top.
    arguments += (
        ["--minutes", "+" + minutes.lstrip("+")] if begun else ["--preset", given[_PRESET], "--minutes", minutes]
    )
    arguments += [*_consents(which), "--events", "-"]
    os.makedirs(folder, exist_ok=True)
    handle = session.current().background(_identity(which), arguments, f"{folder}/nuke", grace=_SAVING)
    knobs.note(which, train_status="training" if not begun else "training goes on")
    session.follow(handle, "VfxSwap training", finished, node.identity(which))


def finished(identity: str, outcome: Outcome) -> None:
    """Say how a training ended; on the main thread."""
    which = knobs.find(identity)
    if which is None:
        return
    said = "trained: press Export" if outcome.ok else "stopped" if outcome.cancelled else f"<b>failed</b>: {outcome}"
    knobs.note(which, train_status=said)
    if not (outcome.ok or outcome.cancelled):
        node.report(f"Training: {outcome}")


def stop(which: nuke.Node) -> None:
    """Stop the training that was started from this node."""
    if not session.current().cancel(_identity(which)):
        raise BridgeError("no training was started from this node")


def export(which: nuke.Node) -> None:
    """Ask for folder and file, export, and use the model here."""
    panel = nuke.Panel("VfxSwap: export a model")
    panel.addFilenameSearch(_FOLDER, "")
    panel.addFilenameSearch("model file", "")
    panel.addButton("Cancel")
    panel.addButton("Export")
    if not panel.show():
        return
    folder, path = (str(panel.value(name) or "").strip() for name in (_FOLDER, "model file"))
    if not (folder and path):
        raise BridgeError("folder and file are both needed")
    if not path.endswith(".vfxmodel"):
        path += ".vfxmodel"
    code, _, complaints = bridge.call(["export", folder, "--output", path, "--overwrite", *_consents(which)])
    if code != 0:
        raise BridgeError((complaints.strip().splitlines() or [f"code {code}"])[-1].replace("vfxswap: error: ", ""))
    knobs.put(which, {"model": path.replace("\\", "/")})
    knobs.note(which, model_info=about.model(path))
