"""The house's own network: residual convolutions around a dense code on an 8 x 8 grid.

Its work is done where the raster is coarse and channels are many: matrix units of CPUs and GPUs are several times
faster there than on a fine raster of few channels, and the picture gains more from it. So crops enter by patches
(`stem`) and the last enlargement is one sub-pixel convolution (`head`).
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
from vfxswap.models.blocks import SLOPE, Down, Patches, Residual, Up, smooth

_GRID = 8


@dataclass(frozen=True, kw_only=True)
class ConvolutionalConfig:
    """Sizes of the networks, of each raster between 8 and `resolution` / `stem`, or `resolution` / `head`.

    The defaults are those of configs written before the fields were there.
    """

    architecture: ClassVar[str] = "autoencoder"

    resolution: int
    stem: int = 2
    """How many times coarser the first raster is than the crop: 2 by a convolution of stride 2, 4 and 8 by patches."""
    encoder: tuple[int, ...]
    """Channels of each raster, down to 8 x 8."""
    encoder_residuals: tuple[int, ...]
    """Residual blocks of each."""
    neck: int
    """Channels of the 8 x 8 grid on both sides of the dense code."""
    code: int
    """Length of the code."""
    decoder: tuple[int, ...]
    """Channels of the 8 x 8 grid and after each doubling."""
    decoder_residuals: tuple[int, ...]
    """Residual blocks after each doubling."""
    grid_residuals: int = 0
    """Residual blocks of the decoder's 8 x 8 grid."""
    head: int = 1
    """How many times the last convolution enlarges."""
    condition: int = 0
    """Length of what the decoders are told beside the code, such as expression and gaze; 0 for nothing."""
    occlusion: int = 0
    """Width of the network that finds what covers the face; 0 for none."""
    detail: int = 0
    """Width of the network that restores the crop's own detail; 0 for none."""

    def __post_init__(self) -> None:
        stages = len(self.encoder)
        if self.resolution != _GRID * self.stem * 2 ** (stages - 1) or len(self.encoder_residuals) != stages:
            raise ValueError(f"resolution {self.resolution} does not fit a stem of {self.stem} and {stages} stages")
        doublings = len(self.decoder) - 1
        if self.resolution != _GRID * self.head * 2**doublings or len(self.decoder_residuals) != doublings:
            raise ValueError(
                f"resolution {self.resolution} does not fit {doublings} doublings and a head of {self.head}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ConvolutionalConfig:
        """The config that `to_json` gave, of this version or an earlier one."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return ConvolutionalConfig(**plain)


class Encoder(nn.Module):
    """(N, 3, S, S) in [0, 1] -> (N, code)."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage, width in enumerate(config.encoder):
            if stage == 0:
                layers.append(Down(3, width, kernel=5) if config.stem == 2 else Patches(3, width, side=config.stem))
            else:
                layers.append(Down(channels, width))
            layers.extend(Residual(width) for _ in range(config.encoder_residuals[stage]))
            channels = width
        layers.append(nn.Conv2d(channels, config.neck, 1))
        self.body = nn.Sequential(*layers)
        self.dense = nn.Linear(config.neck * _GRID**2, config.code)

    def forward(self, rgb: Tensor) -> Tensor:
        """Encode crops in model space."""
        x = self.body(rgb * 2.0 - 1.0)
        code: Tensor = self.dense(functional.leaky_relu(x, SLOPE).flatten(1))
        return code


class Decoder(nn.Module):
    """(N, code + condition) -> rgb (N, 3, S, S) and mask (N, 1, S, S), both in (0, 1)."""

    def __init__(self, config: ConvolutionalConfig) -> None:
        super().__init__()
        self.neck = config.neck
        self.dense = nn.Linear(config.code + config.condition, config.neck * _GRID**2)
        self.lift = nn.Conv2d(config.neck, config.decoder[0], 3, padding=1)
        layers: list[nn.Module] = [Residual(config.decoder[0]) for _ in range(config.grid_residuals)]
        for stage, (inputs, outputs) in enumerate(itertools.pairwise(config.decoder)):
            layers.append(Up(inputs, outputs))
            layers.extend(Residual(outputs) for _ in range(config.decoder_residuals[stage]))
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(config.decoder[-1], 4 * config.head**2, 3, padding=1)
        smooth(self.head, times=config.head)
        self.shuffle = nn.PixelShuffle(config.head)

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Paint the performer and the mask."""
        x = functional.leaky_relu(self.dense(code), SLOPE).view(-1, self.neck, _GRID, _GRID)
        x = self.body(functional.leaky_relu(self.lift(x), SLOPE))
        x = torch.sigmoid(self.shuffle(self.head(x)))
        return x[:, :3], x[:, 3:]


PRESETS: dict[str, ConvolutionalConfig] = {
    # At most 1.5 GFLOP for a face and 5 M parameters: a CPU trains it in an hour or two.
    "tiny": ConvolutionalConfig(
        resolution=128,
        condition=23,
        stem=4,
        encoder=(64, 112, 176),
        encoder_residuals=(1, 1, 1),
        neck=64,
        code=128,
        decoder=(192, 128, 96),
        decoder_residuals=(1, 1),
        grid_residuals=1,
        head=4,
        occlusion=16,
    ),
    "hd": ConvolutionalConfig(
        resolution=256,
        condition=23,
        stem=4,
        encoder=(96, 192, 288, 384),
        encoder_residuals=(1, 1, 1, 1),
        neck=128,
        code=192,
        decoder=(384, 320, 256, 160),
        decoder_residuals=(1, 1, 1),
        grid_residuals=1,
        head=4,
        occlusion=24,
    ),
    "film": ConvolutionalConfig(
        resolution=512,
        condition=23,
        stem=4,
        encoder=(96, 192, 320, 448, 512),
        encoder_residuals=(1, 1, 2, 2, 2),
        neck=192,
        code=256,
        decoder=(512, 448, 384, 256, 160),
        decoder_residuals=(2, 2, 2, 2),
        grid_residuals=2,
        head=4,
        occlusion=24,
    ),
    # For tests: 64 px, trains a step in milliseconds.
    "test": ConvolutionalConfig(
        resolution=64,
        encoder=(8, 16, 24),
        encoder_residuals=(0, 0, 0),
        neck=8,
        code=32,
        decoder=(24, 16, 12, 8),
        decoder_residuals=(0, 0, 0),
    ),
}

# Checkpoints of the first version call it so.
CONVOLUTIONAL = Architecture(
    name=ConvolutionalConfig.architecture,
    from_json=ConvolutionalConfig.from_json,
    encoder=Encoder,
    decoder=Decoder,
    presets=PRESETS,
)
