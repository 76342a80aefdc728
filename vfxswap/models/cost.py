"""What a network costs: parameters, operations for a face, memory of a training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vfxswap.models import PRESETS, build
from vfxswap.models.autoencoder import AutoencoderConfig, Swapper

_PERFORMER = "likeness"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of encoder, bridge and one decoder.

    Attributes:
        parameters: how many weights.
        operations: for one face; a multiply-add counts as two, convolutions and dense layers are counted.
        activations: values that a training step of one crop keeps for its backward pass.
    """

    parameters: int
    operations: int
    activations: int

    @property
    def gflop(self) -> float:
        """Operations for one face, in 1e9."""
        return self.operations / 1e9

    def training_bytes(self, *, crops: int) -> int:
        """Estimated memory of training two performers, `crops` of each in a step, in bfloat16.

        Weights, gradients, two moments and the average are float32; activations are bfloat16. The encoder's part is
        counted with each decoder, so weights are over-estimated; the judge and work space are not counted.
        """
        return 2 * (self.parameters * 4 * 5 + self.activations * 2 * crops)


def cost(config: AutoencoderConfig, *, occlusion: bool = False) -> Cost:
    """Count on a network without memory: nothing is computed. With `occlusion`, what finds occluders counts too."""
    with torch.device("meta"):
        swapper = Swapper(build(config.architecture, config, (_PERFORMER,)), _PERFORMER)
        swapper.occlusion = swapper.occlusion if occlusion else None
        crop = torch.zeros(1, 3, config.resolution, config.resolution)
        condition = torch.zeros(1, config.condition) if config.condition else None
    parameters = {id(p): p.numel() for p in swapper.parameters()}
    operations = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations
        # A weight is (outputs, inputs per group, height, width) or (outputs, inputs): all but the first are one output.
        weight = module.get_parameter("weight")
        operations += 2 * (weight.numel() // weight.shape[0]) * output.numel()

    for module in swapper.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        # Views of one tensor are one piece of memory; weights are kept anyway.
        base = x if x._base is None else x._base
        if id(base) not in parameters:
            kept[id(base)] = base
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        swapper(crop, condition)
    return Cost(
        parameters=sum(parameters.values()),
        operations=operations,
        activations=sum(x.numel() for x in kept.values()),
    )


def table() -> str:
    """The presets as Markdown; those for tests are left out."""
    rows = [
        "| preset | architecture | crop | parameters | GFLOP for a face | training, batch 8 |",
        "|---|---|---|---|---|---|",
    ]
    for name, config in PRESETS.items():
        if name.endswith("test"):
            continue
        counted = cost(config)
        rows.append(
            f"| `{name}` | `{config.architecture}` | {config.resolution} px | {counted.parameters / 1e6:.2f} M "
            f"| {counted.gflop:.2f} | {counted.training_bytes(crops=8) / 2**30:.1f} GiB |"
        )
    return "\n".join(rows)
