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
    try:
        config: AutoencoderConfig = _known(architecture).from_json(data)
    except (TypeError, ValueError) as error:
        raise ModelError(f"network sizes are damaged or of another version: {error}", hint="train again") from error
    return config


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
