"""The painting half of the adversarial pair: one shared encoder, one decoder for each performer.

The encoder squeezes a crop into a code that says pose, expression, gaze and light; a performer's decoder
paints that performer so. Encoding the double and decoding with the likeness's decoder is the swap. Each
decoder also paints a mask: where its face covers the crop.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfxswap.models.blocks import SLOPE, Down, Residual, Up


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of the networks. `resolution` must be `8 * 2**(number of stages)`."""

    resolution: int
    encoder: tuple[int, ...]
    """Channels after each halving, from the crop down to 8 x 8."""
    encoder_residuals: tuple[int, ...]
    """Residual blocks after each halving."""
    neck: int
    """Channels of the 8 x 8 grid on both sides of the dense code."""
    code: int
    """Length of the code."""
    decoder: tuple[int, ...]
    """Channels of the 8 x 8 grid and after each doubling."""
    decoder_residuals: tuple[int, ...]
    """Residual blocks after each doubling."""

    def __post_init__(self) -> None:
        stages = len(self.encoder)
        if self.resolution != 8 * 2**stages or len(self.decoder) != stages + 1:
            raise ValueError(f"resolution {self.resolution} does not fit {stages} stages")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> AutoencoderConfig:
        """The config that `to_json` gave."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return AutoencoderConfig(**plain)


class Encoder(nn.Module):
    """(N, 3, S, S) in [0, 1] -> (N, code)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage, width in enumerate(config.encoder):
            layers.append(Down(channels, width, kernel=5 if stage == 0 else 3))
            layers.extend(Residual(width) for _ in range(config.encoder_residuals[stage]))
            channels = width
        layers.append(nn.Conv2d(channels, config.neck, 1))
        self.body = nn.Sequential(*layers)
        self.dense = nn.Linear(config.neck * 64, config.code)

    def forward(self, rgb: Tensor) -> Tensor:
        """Encode crops in model space."""
        x = self.body(rgb * 2.0 - 1.0)
        code: Tensor = self.dense(functional.leaky_relu(x, SLOPE).flatten(1))
        return code


class Decoder(nn.Module):
    """(N, code) -> rgb (N, 3, S, S) and mask (N, 1, S, S), both in (0, 1)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.neck = config.neck
        self.dense = nn.Linear(config.code, config.neck * 64)
        self.lift = nn.Conv2d(config.neck, config.decoder[0], 3, padding=1)
        layers: list[nn.Module] = []
        for stage, (inputs, outputs) in enumerate(itertools.pairwise(config.decoder)):
            layers.append(Up(inputs, outputs))
            layers.extend(Residual(outputs) for _ in range(config.decoder_residuals[stage]))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(config.decoder[-1], 4, 3, padding=1)

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Paint the performer and the mask."""
        x = functional.leaky_relu(self.dense(code), SLOPE).view(-1, self.neck, 8, 8)
        x = torch.sigmoid(self.head(self.body(functional.leaky_relu(self.lift(x), SLOPE))))
        return x[:, :3], x[:, 3:]


class Autoencoder(nn.Module):
    """Shared encoder and one decoder for each performer."""

    def __init__(self, config: AutoencoderConfig, performers: tuple[str, ...]) -> None:
        super().__init__()
        self.config = config
        self.performers = performers
        self.encoder = Encoder(config)
        self.decoders = nn.ModuleDict({name: Decoder(config) for name in performers})

    def forward(self, rgb: Tensor, performer: str) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) model space -> rgb (N, 3, S, S), mask (N, 1, S, S) painted as `performer`."""
        rgb_out, mask = self.decoders[performer](self.encoder(rgb))
        return rgb_out, mask


class Swapper(nn.Module):
    """What ships: the encoder and the likeness's decoder. Input `crop`, outputs `rgb` and `mask`."""

    def __init__(self, net: Autoencoder, likeness: str) -> None:
        super().__init__()
        self.encoder = net.encoder
        self.decoder = net.decoders[likeness]

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) in [0, 1] -> rgb (N, 3, S, S), mask (N, 1, S, S)."""
        rgb, mask = self.decoder(self.encoder(crop))
        return rgb, mask


def cost(config: AutoencoderConfig) -> tuple[int, float]:
    """(parameters, GFLOP for one face) of encoder + one decoder; a multiply-add counts as two operations."""
    swapper = Swapper(Autoencoder(config, ("likeness",)), "likeness")
    parameters = sum(p.numel() for p in swapper.parameters())
    operations = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations
        # A weight is (outputs, inputs per group, height, width) or (outputs, inputs): all but the first are one output.
        weight = module.get_parameter("weight")
        operations += 2 * (weight.numel() // weight.shape[0]) * output.numel()

    for module in swapper.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        swapper(torch.zeros(1, 3, config.resolution, config.resolution))
    return parameters, operations / 1e9
