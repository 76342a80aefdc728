"""From a training folder to a .vfxmodel: averaged weights of encoder and likeness decoder, and where they come from.

The judge, the double's decoder and the optimisers stay in the folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch

from vfxswap import __version__, align, infer, vfxmodel
from vfxswap.errors import ModelError
from vfxswap.models import build
from vfxswap.models.autoencoder import AutoencoderConfig, Swapper
from vfxswap.models.export import to_onnx
from vfxswap.train import checkpoint
from vfxswap.train.checkpoint import State
from vfxswap.trust import Grant, Rule
from vfxswap.trust.refusals import refusal
from vfxswap.vfxmodel import ModelCard, Performers

EXPOSURE: Final = "median skin of the double at 0.18, one gain per shot"


def read_performers(folder: Path) -> Performers:
    """Whose faces a training folder holds, for the consent gate; raises ModelError when it holds no training."""
    return _read_state(folder).performers


def export_model(folder: Path, output: Path, *, grant: Grant) -> ModelCard:
    """Write the newest checkpoint as a .vfxmodel.

    Args:
        folder: the model folder of a training.
        output: the .vfxmodel to write; replaced whole.
        grant: leave to train with exactly these performers, on the consents the training recorded.

    Returns:
        The card as written, with the sha256 of the network that consents have to list.

    Raises:
        ModelError: no training there, a damaged one, or one that does not say its consents and data.
        ConsentError: the grant is for something else. OutputError: the file cannot be written.
    """
    state = _read_state(folder)
    grant.require(use="train", performers=state.performers.by_role())
    _require_provenance(folder, state)
    _require_consents(state, grant)
    config = AutoencoderConfig.from_json(state.network)
    net = build(state.architecture, config, (state.performers.likeness, state.performers.double))
    checkpoint.unpack("average", net, checkpoint.load_tensors(folder, state))
    network = to_onnx(Swapper(net, state.performers.likeness), resolution=config.resolution)
    vfxmodel.write(output, card=_card(state, resolution=config.resolution), onnx=network)
    return vfxmodel.read_card(output)


def _read_state(folder: Path) -> State:
    state = checkpoint.load_state(folder)
    if state is None:
        raise ModelError(f"no training in {folder}", hint="train first: vfxswap train")
    return state


def _require_provenance(folder: Path, state: State) -> None:
    for consents, data in ((state.consents, state.data), *((part.consents, part.data) for part in state.earlier)):
        missing = [name for name, value in (("consents", consents), ("data", data)) if not value]
        if missing:
            raise ModelError(
                f"the training does not say its {' and '.join(missing)}",
                path=folder / checkpoint.STATE,
                hint="train with vfxswap train, which records them",
            )


def _require_consents(state: State, grant: Grant) -> None:
    """The grant must stand on the very records that the training stands on."""
    held = {(ref.id, ref.sha256) for ref in grant.consents}
    for consent in state.consents:
        if (consent.get("id"), consent.get("sha256")) not in held:
            raise refusal(
                Rule.GRANT,
                f"the training stands on consent {consent.get('id')}, the grant does not",
                hint="give the consents it was trained under, or go on training under the new ones",
            )


def _card(state: State, *, resolution: int) -> ModelCard:
    return ModelCard(
        architecture=state.architecture,
        resolution=resolution,
        template=align.TEMPLATE,
        encoding=state.config.encoding,
        exposure=EXPOSURE,
        placement=state.placement,
        performers=state.performers,
        consents=state.consents,
        data=state.data,
        metrics=state.scores,
        training={
            "network": state.network,
            "config": state.config.model_dump(),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 2),
            "device": state.device,
            "precision": state.precision,
            "rollbacks": state.rollbacks,
            "earlier": [part.model_dump(mode="json") for part in state.earlier],
        },
        versions={
            "vfxswap": __version__,
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "onnxruntime": infer.runtime_version(),
            "numpy": np.__version__,
        },
        storage="fp16",
    )
