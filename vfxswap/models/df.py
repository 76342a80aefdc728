"""A baseline of the kind that face swappers have used since 2020: the df layout, written from its description.

Source: Perov et al., "DeepFaceLab: integrated, flexible and extensible face-swapping framework" (arXiv 2005.05535),
and published descriptions of its SAEHD model: 5x5 convolutions of stride 2 down to a sixteenth of the crop, a dense
bottleneck, a shared grid behind it, and for each performer sub-pixel doublings with a residual block each, and a
thinner branch for the mask. It is here to be measured against, with the settings it is described with:
`docs/training.md`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vfxswap.models.autoencoder import Architecture

_SLOPE = 0.1
_RESIDUAL_SLOPE = 0.2
_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class DfConfig:
    """Sizes, named as users of that tool know them."""

    architecture: ClassVar[str] = "df"

    resolution: int
    ae: int
    """Length of the code and channels of the grid behind it."""
    e: int
    """Channels of the encoder: e, 2e, 4e, 8e."""
    d: int
    """Channels of a decoder: 8d, 4d, 2d."""
    mask: int
    """The same of its mask branch."""
    normalise: bool = False
    """The variant `-u`: what the encoder gives is brought to a root mean square of 1."""
    halved: bool = False
    """The variant `-d`: the decoder works at half the size and four convolutions paint the sub-pixels."""
    condition: int = 0
    """Length of what the bridge is told beside the code; 0 for nothing, as in the original."""
    occlusion: int = 0
    """As in the house's own network."""
    detail: int = 0
    """Width of the network that restores the crop's own detail; 0 for none."""

    def __post_init__(self) -> None:
        if self.resolution % 32:
            raise ValueError(f"resolution {self.resolution} is no multiple of 32")

    @property
    def code(self) -> int:
        """Length of the code."""
        return self.ae

    @property
    def grid(self) -> int:
        """Side of the grid behind the code."""
        return self.resolution // (32 if self.halved else 16)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DfConfig:
        """The config that `to_json` gave."""
        return DfConfig(**data)


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs * 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.shuffle(functional.leaky_relu(self.conv(x), _SLOPE))
        return doubled


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(functional.leaky_relu(self.first(x), _RESIDUAL_SLOPE))
        return functional.leaky_relu(x + y, _RESIDUAL_SLOPE)


class Encoder(nn.Module):
    """(N, 3, S, S) in [0, 1] -> (N, ae)."""

    def __init__(self, config: DfConfig) -> None:
        super().__init__()
        widths = (3, *(config.e * factor for factor in (1, 2, 4, 8)))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2, padding=2) for a, b in itertools.pairwise(widths))
        self.dense = nn.Linear(widths[-1] * (config.resolution // 16) ** 2, config.ae)
        self.normalise = config.normalise
        _initialise(self)

    def forward(self, rgb: Tensor) -> Tensor:
        """Encode crops in model space."""
        x = rgb
        for down in self.downs:
            x = functional.leaky_relu(down(x), _SLOPE)
        x = x.flatten(1)
        if self.normalise:
            x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _EPS)
        code: Tensor = self.dense(x)
        return code


class Bridge(nn.Module):
    """(N, ae + condition) -> (N, ae, 2 grid, 2 grid), the same for all performers."""

    def __init__(self, config: DfConfig) -> None:
        super().__init__()
        self.channels, self.grid = config.ae, config.grid
        self.dense = nn.Linear(config.ae + config.condition, config.ae * config.grid**2)
        self.up = _Up(config.ae, config.ae)
        _initialise(self)

    def forward(self, code: Tensor) -> Tensor:
        """Lay the code out as a grid."""
        grid: Tensor = self.up(self.dense(code).view(-1, self.channels, self.grid, self.grid))
        return grid


class Decoder(nn.Module):
    """(N, ae, 2 grid, 2 grid) -> rgb (N, 3, S, S) and mask (N, 1, S, S), both in (0, 1)."""

    def __init__(self, config: DfConfig) -> None:
        super().__init__()
        d, m = config.d, config.mask
        self.face = nn.Sequential(
            *(_Up(config.ae, 8 * d), _Residual(8 * d)),
            *(_Up(8 * d, 4 * d), _Residual(4 * d)),
            *(_Up(4 * d, 2 * d), _Residual(2 * d)),
            _SubPixels(2 * d) if config.halved else nn.Conv2d(2 * d, 3, 1),
        )
        last = (_Up(2 * m, m), nn.Conv2d(m, 1, 1)) if config.halved else (nn.Conv2d(2 * m, 1, 1),)
        self.cover = nn.Sequential(_Up(config.ae, 8 * m), _Up(8 * m, 4 * m), _Up(4 * m, 2 * m), *last)
        _initialise(self)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Paint the performer and the mask."""
        return torch.sigmoid(self.face(grid)), torch.sigmoid(self.cover(grid))


class _SubPixels(nn.Module):
    """One 1x1 and three 3x3 convolutions, each for one of the four sub-pixels."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(inputs, 3, side, padding=side // 2) for side in (1, 3, 3, 3))
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        four = torch.stack([head(x) for head in self.heads], dim=2)
        rgb: Tensor = self.shuffle(four.flatten(1, 2))
        return rgb


def _initialise(module: nn.Module) -> None:
    """Glorot uniform, biases zero: the usual start of the frameworks of its time."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.get_parameter("bias"))


PRESETS: dict[str, DfConfig] = {
    # The GFLOP and parameters of `tiny`.
    "df-tiny": DfConfig(resolution=128, ae=112, e=32, d=8, mask=4),
    # The variant that users prefer, `df-ud`, of the same size.
    "df-ud-tiny": DfConfig(resolution=128, ae=96, e=32, d=18, mask=6, normalise=True, halved=True),
    "df-test": DfConfig(resolution=64, ae=16, e=4, d=2, mask=1),
}

DF = Architecture(
    name=DfConfig.architecture,
    from_json=DfConfig.from_json,
    encoder=Encoder,
    bridge=Bridge,
    decoder=Decoder,
    presets=PRESETS,
)
