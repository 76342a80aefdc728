"""From a training to a folder that Nuke's Inference node can be given: TorchScript, a gizmo, and how the .cat is made.

A .cat can only be made by Nuke itself (CatFileCreator); `make_cat.py` in the folder does that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vfxswap import align, archive, atomic, documents
from vfxswap.errors import ModelError, OutputError, UsageError
from vfxswap.face import expression
from vfxswap.face.export.live import TOLD
from vfxswap.models import torchscript
from vfxswap.models.autoencoder import Swapper
from vfxswap.models.export import to_onnx
from vfxswap.train import checkpoint, package
from vfxswap.trust import Grant
from vfxswap.vfxmodel import ModelCard

SCHEMA: Final = "vfxswap.nuke-cat/1"
DESCRIPTION: Final = "cat.json"
MAKER: Final = "make_cat.py"
GIZMO: Final = "VfxSwapLive"

OLDEST_NUKE: Final = 13.1
"""The first version with CatFileCreator."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network that is ready to be written, once there is leave to swap with it.

    Attributes:
        card: what it says of itself, with the hash that consents have to list.
        swapper: the network.
        onnx: the same as a .vfxmodel would hold it.
    """

    card: ModelCard
    swapper: Swapper
    onnx: bytes


def check_name(output: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be a node's name, or is there; raises UsageError, OutputError."""
    if not _NAME.fullmatch(output.name):
        raise UsageError(
            f"--output is {output.name}", hint="a folder whose name Nuke takes for a node: letters, digits and _"
        )
    if not output.exists():
        return
    if not overwrite:
        raise OutputError("the folder is there already", path=output, hint="give --overwrite")
    if not _ours(output):
        raise OutputError("that is no folder of vfxswap's", path=output, hint="give another name")


def _ours(folder: Path) -> bool:
    """Whether an export for Nuke is all that a folder can be: nothing else is ever replaced."""
    try:
        found = documents.json_value(documents.read_bytes(folder / DESCRIPTION, most=documents.SMALL))
        return bool(found["vfxswap"]["schema"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def prepare(folder: Path, *, grant: Grant, others: tuple[Grant, ...] = (), which: str = checkpoint.LATEST) -> Prepared:
    """Open a checkpoint: arguments and errors of `package.export_model`."""
    state, config, swapper = package.opened(folder, grant=grant, others=others, which=which)
    onnx = to_onnx(swapper, resolution=config.resolution)
    card = package.card_of(state, resolution=config.resolution)
    return Prepared(card.model_copy(update={"onnx_sha256": archive.sha256(onnx)}), swapper, onnx)


def write(prepared: Prepared, output: Path, *, grant: Grant, gizmo: str, maker: str) -> None:
    """Write the folder, whole or not at all.

    Args:
        prepared: the network.
        output: the folder; one that is there is replaced. Its name becomes the node's.
        grant: leave to SWAP with exactly this network: Nuke will ask nobody.
        gizmo: the text of gizmos/VfxSwapLive.gizmo.
        maker: the text of hosts/nuke/make_cat.py.

    Raises:
        ConsentError: the grant is for something else. ModelError: the network has words that Nuke's torch does not
            know, or is told other numbers than this version measures. OutputError: the folder cannot be written.
    """
    card = prepared.card
    Grant.require(
        grant,
        use="swap",
        performers=card.performers.by_role(),
        model_sha256=card.onnx_sha256,
        origin=card.origin(),
    )
    script = torchscript.to_torchscript(
        prepared.swapper,
        onnx=prepared.onnx,
        resolution=card.resolution,
        told=told(card),
        window=align.frame_weight(size=card.resolution),
    )
    name = output.name
    about = description(name, card, grant, torchscript_sha256=archive.sha256(script))
    # Wherever the folder is on Nuke's path.
    inside = {"modelFile": f'"\\[lsearch -inline \\[plugins -all {name}.cat] *.cat]"'}
    if card.condition is None:
        inside["serialiseKnob"] = "{}"
    node = filled(
        gizmo,
        name=name,
        values=_values(card),
        texts={"model_info": f"{card.performers.likeness} over {card.performers.double}, {card.resolution} px"},
        inside={"Inference": inside},
    )
    with atomic.replacing_folder(output) as temporary:
        (temporary / f"{name}.pt").write_bytes(script)
        (temporary / DESCRIPTION).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (temporary / f"{name}.gizmo").write_text(node, encoding="utf-8", newline="\n")
        (temporary / MAKER).write_text(maker, encoding="utf-8", newline="\n")


def told(card: ModelCard) -> torchscript.Told | None:
    """The knobs of what a network is told; raises ModelError where it wants other numbers than there are."""
    condition = card.condition
    if condition is None:
        return None
    if condition.kind != expression.KIND or len(condition.rest) != len(TOLD):
        raise ModelError(
            f"the model wants to be told {condition.kind!r}, this version measures {expression.KIND!r}",
            hint="use the version of vfxswap that made it",
        )
    return torchscript.Told(names=TOLD, rest=condition.rest, spread=condition.spread, reach=expression.REACH)


def description(name: str, card: ModelCard, grant: Grant, *, torchscript_sha256: str) -> dict[str, Any]:
    """What cat.json says: Nuke's part, which its menu is made from, and ours under `vfxswap`."""
    knobs = told(card)
    return {
        "minimum_nuke_version_required": OLDEST_NUKE,
        "version": 1,
        "category": "VfxSwap",
        "description": f"{card.performers.likeness} over {card.performers.double}",
        "cats": [{"filepath": f"{name}.gizmo", "name": name, "icon": ""}],
        "vfxswap": {
            "schema": SCHEMA,
            "torchscript": f"{name}.pt",
            "torchscript_sha256": torchscript_sha256,
            "cat": f"{name}.cat",
            "model_id": name,
            "channels_in": list(torchscript.CHANNELS_IN),
            "channels_out": list(torchscript.CHANNELS_OUT),
            "output_scale": 1,
            "knobs": {} if knobs is None else dict(zip(knobs.names, knobs.rest, strict=True)),
            "network_sha256": card.onnx_sha256,
            "resolution": card.resolution,
            "encoding": card.encoding,
            "placement": list(card.placement),
            "performers": card.performers.model_dump(),
            "shot": str(grant.shot),
            "consents": [reference.entry() for reference in grant.consents],
            "trained_under": list(card.origin()),
            "checked_at": grant.checked_at.isoformat(),
            "versions": card.versions,
        },
    }


def _values(card: ModelCard) -> dict[str, str]:
    """The gizmo's knobs that are the model's."""
    knobs = told(card)
    numbers = {} if knobs is None else dict(zip(knobs.names, knobs.rest, strict=True))
    return {
        "size": str(card.resolution),
        "encoding": card.encoding,
        "place_x": f"{card.placement[0]:g}",
        "place_y": f"{card.placement[1]:g}",
        **{knob: f"{value:g}" for knob, value in numbers.items()},
    }


def filled(
    gizmo: str,
    *,
    name: str,
    values: Mapping[str, str],
    texts: Mapping[str, str],
    inside: Mapping[str, Mapping[str, str]],
) -> str:
    """A gizmo's text with other values.

    Args:
        gizmo: as hosts/nuke/make_gizmos.py writes it: a line for each knob.
        name: of the node.
        values: knob of the group -> word.
        texts: text knob of the group -> what it shows.
        inside: class of a node inside -> knob -> word.

    Raises:
        ValueError: a knob is not there.
    """
    edits = [(r"^ name \w+$", f" name {name}")]
    for knob, value in values.items():
        edits.append((rf"^( addUserKnob {{\d+ {knob} .*)(\n {knob} .*)?$", rf"\g<1>\n {knob} {value}"))
    for knob, text in texts.items():
        edits.append((rf'^( addUserKnob {{26 {knob} .* T )"[^"]*"', rf'\g<1>"{text}"'))
    for kind, knobs in inside.items():
        for knob, value in knobs.items():
            literal = value.replace("\\", r"\\")
            edits.append((rf"^( {kind} {{\n(?:  .*\n)*?  {knob}) .*$", rf"\g<1> {literal}"))
    for pattern, there in edits:
        gizmo, count = re.subn(pattern, there, gizmo, count=1, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"the gizmo has nothing like {pattern}")
    return gizmo
