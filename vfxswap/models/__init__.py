"""Networks: they know tensors, not plates or faces. Adding one: a file, a line in ARCHITECTURES, one in PRESETS."""

from __future__ import annotations

from collections.abc import Callable

from vfxswap.errors import ModelError, UsageError
from vfxswap.models.autoencoder import Autoencoder, AutoencoderConfig

ARCHITECTURES: dict[str, Callable[[AutoencoderConfig, tuple[str, ...]], Autoencoder]] = {
    "autoencoder": Autoencoder,
}

PRESETS: dict[str, AutoencoderConfig] = {
    # At most 1.5 GFLOP for a face and 5 M parameters: a CPU trains it in an hour or two.
    "tiny": AutoencoderConfig(
        resolution=128,
        encoder=(24, 48, 88, 144),
        encoder_residuals=(0, 1, 1, 1),
        neck=64,
        code=128,
        decoder=(144, 112, 72, 40, 16),
        decoder_residuals=(1, 1, 1, 0),
    ),
    "hd": AutoencoderConfig(
        resolution=256,
        encoder=(48, 96, 192, 256, 384),
        encoder_residuals=(0, 1, 1, 1, 1),
        neck=128,
        code=192,
        decoder=(320, 256, 192, 128, 64, 32),
        decoder_residuals=(1, 1, 1, 1, 0),
    ),
    # For tests: 64 px, trains a step in milliseconds.
    "test": AutoencoderConfig(
        resolution=64,
        encoder=(8, 16, 24),
        encoder_residuals=(0, 0, 0),
        neck=8,
        code=32,
        decoder=(24, 16, 12, 8),
        decoder_residuals=(0, 0, 0),
    ),
}


def build(architecture: str, config: AutoencoderConfig, performers: tuple[str, ...]) -> Autoencoder:
    """A network with fresh weights; raises ModelError for an architecture that this version does not know."""
    if architecture not in ARCHITECTURES:
        raise ModelError(f"unknown architecture {architecture!r}", hint=f"this version has {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture](config, performers)


def preset(name: str) -> AutoencoderConfig:
    """The config of a preset; raises UsageError with the names there are."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
