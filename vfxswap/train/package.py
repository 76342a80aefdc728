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
from vfxswap.models import build, config_from_json, quantize
from vfxswap.models.autoencoder import AutoencoderConfig, Swapper
from vfxswap.models.export import to_onnx
from vfxswap.pixels import AnyArray
from vfxswap.train import calibrate, checkpoint, uses, warm
from vfxswap.train.bank import Bank, spread
from vfxswap.train.checkpoint import State
from vfxswap.train.data import Batch, centred
from vfxswap.train.told import conditioned
from vfxswap.trust import Grant
from vfxswap.vfxmodel import ModelCard, Performers

EXPOSURE: Final = "median skin of the double at 0.18, one gain per shot"

_CALIBRATION = 32


def read_performers(folder: Path) -> Performers:
    """Whose faces a training folder holds, for the consent gate; raises ModelError when it holds no training."""
    return _read_state(folder).performers


def read_others(folder: Path) -> tuple[Performers, ...]:
    """The performers of the trainings that this one began from, where they are others; raises ModelError."""
    state = _read_state(folder)
    return tuple(performers for performers, _ in warm.stands_on(state) if performers != state.performers)


def export_model(
    folder: Path,
    output: Path,
    *,
    grant: Grant,
    others: tuple[Grant, ...] = (),
    which: str = checkpoint.LATEST,
    int8_on: tuple[Bank, Bank] | None = None,
) -> ModelCard:
    """Write a checkpoint as a .vfxmodel.

    Args:
        folder: the model folder of a training.
        output: the .vfxmodel to write; replaced whole.
        grant: leave to train with exactly these performers, on the consents the training recorded.
        others: the same for each of `read_others`.
        which: `latest`, `best` (held-out PSNR of the likeness) or the number of a step that is kept.
        int8_on: the crops of likeness and double: the network is exported in 8-bit integers, which a CPU computes two
            to three times as fast, calibrated on what was trained on and measured on the likeness's held-out crops.

    Returns:
        The card as written, with the sha256 of the network that consents have to list.

    Raises:
        ModelError: no training there, a damaged one, or one that does not say its consents and data; or integers
            would cost more than quantize.MOST_LOSS_DB.
        ConsentError: a grant is for something else, or one is missing. OutputError: the file cannot be written.
    """
    state, config, swapper = opened(folder, grant=grant, others=others, which=which)
    network = to_onnx(swapper, resolution=config.resolution)
    card = card_of(state, resolution=config.resolution)
    if int8_on is not None:
        network, lost = _integers(network, *int8_on, config=config, state=state)
        card = card.model_copy(
            update={"precision": "int8", "storage": "int8", "metrics": {**card.metrics, "int8_loss_db": lost}}
        )
    vfxmodel.write(output, card=card, onnx=network)
    return vfxmodel.read_card(output)


def opened(
    folder: Path, *, grant: Grant, others: tuple[Grant, ...], which: str
) -> tuple[State, AutoencoderConfig, Swapper]:
    """A checkpoint's network, as averaged over the training: arguments and errors of `export_model`."""
    state = checkpoint.find(folder, which) or _read_state(folder)
    Grant.require(grant, use="train", performers=state.performers.by_role())
    _require_provenance(folder, state)
    for performers, part in warm.stands_on(state):
        warm.check_covered(performers, part, (grant, *others))
    config = config_from_json(state.architecture, state.network)
    net = build(state.architecture, config, uses.painters(state.performers))
    checkpoint.unpack("average", net, checkpoint.load_tensors(folder, state))
    calibrate.apply(net, state.scores.get(calibrate.SCORE, 0.0))
    return state, config, Swapper(net, state.performers.likeness)


def _integers(
    network: bytes,
    likeness: Bank,
    double: Bank,
    *,
    config: AutoencoderConfig,
    state: State,
) -> tuple[bytes, float]:
    """The network in integers, and the dB that they cost."""
    size, encoding = config.resolution, state.config.encoding
    for bank in (likeness, double):
        if bank.encoding != encoding:
            raise ModelError(
                f"the crops of {bank.performer} are encoded as {bank.encoding}, the training is in {encoding}",
                hint="load the bank with the run's encoding",
            )
    if config.condition:
        likeness, double, _ = conditioned(likeness, double, count=config.condition, known=state.told)
    coarse = uses.find(state.config.use).coarse
    seen = [_feeds(centred(bank, _trained_on(bank), size=size, coarse=coarse)) for bank in (likeness, double)]
    small = quantize.to_int8(network, {name: np.concatenate([each[name] for each in seen]) for name in seen[0]})
    held = centred(likeness, likeness.held_out, size=size, coarse=coarse)
    inside = held.mask.numpy() > 0.5
    lost = quantize.loss_db(network, small, feeds=_feeds(held), truth=held.target.numpy(), inside=inside)
    if not lost <= quantize.MOST_LOSS_DB:
        raise ModelError(
            f"integers would cost {lost:.2f} dB (allowed: {quantize.MOST_LOSS_DB})", hint="export in float32"
        )
    return small, lost


def _feeds(batch: Batch) -> dict[str, AnyArray]:
    """What the network is fed, by input."""
    return {"crop": batch.warped.numpy()} | ({} if batch.told is None else {"condition": batch.told.numpy()})


def _trained_on(bank: Bank) -> tuple[int, ...]:
    """At most `_CALIBRATION` of the crops that are not held out."""
    return spread([index for index in range(len(bank)) if index not in bank.held_out], _CALIBRATION)


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


def card_of(state: State, *, resolution: int) -> ModelCard:
    """What a model of this training says of itself; the network's hash is not in it yet."""
    return ModelCard(
        architecture=state.architecture,
        resolution=resolution,
        template=align.TEMPLATE,
        encoding=state.config.encoding,
        exposure=EXPOSURE,
        placement=state.placement,
        condition=state.told.get("double"),
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
            "warm_start": state.warm_start.model_dump(mode="json") if state.warm_start is not None else None,
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
