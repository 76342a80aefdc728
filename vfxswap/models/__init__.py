"""Networks: they know tensors, not plates or faces. Adding an architecture: a file, and its name in ARCHITECTURES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vfxswap.errors import ModelError, UsageError
from vfxswap.models.autoencoder import Architecture, Autoencoder, AutoencoderConfig
from vfxswap.models.convolutional import CONVOLUTIONAL
from vfxswap.models.df import DF

ARCHITECTURES: dict[str, Architecture] = {kind.name: kind for kind in (CONVOLUTIONAL, DF)}

PRESETS: dict[str, AutoencoderConfig] = {
    name: config for kind in ARCHITECTURES.values() for name, config in kind.presets.items()
}


def build(architecture: str, config: AutoencoderConfig, performers: tuple[str, ...]) -> Autoencoder:
    """A network with fresh weights; raises ModelError for an architecture that this version does not know."""
    return Autoencoder(config, performers, _known(architecture))


def config_from_json(architecture: str, data: Mapping[str, Any]) -> AutoencoderConfig:
    """The config that `to_json` gave; raises ModelError when architecture or fields are of another version."""
    kind = _known(architecture)
    try:
        _check_sizes(data)
        config: AutoencoderConfig = kind.from_json(data)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"network sizes are damaged or of another version: {error}", hint="train again") from error
    return config


_WIDEST, _LONGEST, _MOST_WEIGHTS = 1 << 16, 64, 1 << 32
_KERNEL = 25
"""Weights of the largest convolutions for each pair of channels."""


def _check_sizes(data: Mapping[str, Any]) -> None:
    """Sizes as a file has them: ValueError for what would take all memory, or forever, to build."""
    widest, layers = 1, 8
    for name, value in data.items():
        parts = value if isinstance(value, list | tuple) else [value]
        numbers = [part for part in parts if isinstance(part, int)]
        most = _LONGEST if "residuals" in name else _WIDEST
        if len(parts) > _LONGEST or any(not 0 <= part <= most for part in numbers):
            raise ValueError(f"{name} is {str(value)[:60]}")
        layers += sum(numbers) if "residuals" in name else len(parts)
        widest = max(widest, *numbers, 1) if name != "resolution" else widest
    if widest**2 * _KERNEL * layers > _MOST_WEIGHTS:
        raise ValueError(f"{layers} layers of up to {widest} channels")


def preset(name: str) -> AutoencoderConfig:
    """The config of a preset; raises UsageError with the names there are."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", hint=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def with_detail(config: AutoencoderConfig, *, width: int) -> AutoencoderConfig:
    """The same network, and beside it one of `width` that restores the crop's own detail (detail.py); 0 for none."""
    return config_from_json(config.architecture, config.to_json() | {"detail": width})


def _known(architecture: str) -> Architecture:
    if architecture not in ARCHITECTURES:
        raise ModelError(f"unknown architecture {architecture!r}", hint=f"this version has {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture]
