"""The painting half of the adversarial pair: one shared encoder, one decoder for each performer.

The encoder squeezes a crop into a code that says pose, expression, gaze and light; a performer's decoder
paints that performer so. Encoding the double and decoding with the likeness's decoder is the swap. Each
decoder also paints a mask: where its face covers the crop.

This file is the frame; an `Architecture` fills it with networks (`convolutional`, `df`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vfxswap.errors import ModelError
from vfxswap.models.detail import Detail, restored
from vfxswap.models.occlusion import Occlusion, covering, uncovered, without

_OPTIONAL = ("occlusion.", "detail.")
"""What another network may lack, and then begins anew."""


class AutoencoderConfig(Protocol):
    """What every architecture's config says; the sizes of its layers are its own business."""

    @property
    def architecture(self) -> str:
        """Its name in `models.ARCHITECTURES`."""

    @property
    def resolution(self) -> int:
        """Side S of the crops in pixels."""

    @property
    def code(self) -> int:
        """Length of the code."""

    @property
    def condition(self) -> int:
        """Length of what the decoders are told beside the code; 0 for nothing."""

    @property
    def occlusion(self) -> int:
        """Width of the network that finds what covers the face (occlusion.py); 0 for none."""

    @property
    def detail(self) -> int:
        """Width of the network that restores the crop's own detail (detail.py); 0 for none."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network: what a file of this package offers to `models.ARCHITECTURES`.

    Attributes:
        name: what checkpoints and manifests call it.
        from_json: the config that `to_json` gave.
        encoder: config -> module, (N, 3, S, S) in [0, 1] -> (N, code).
        bridge: config -> module that the performers share behind the code, (N, code + condition) -> what a decoder
            takes. An architecture without one passes its codes through.
        decoder: config -> module, what the bridge gives -> rgb (N, 3, S, S) and mask (N, 1, S, S), both in [0, 1].
        presets: named sizes.
    """

    name: str
    from_json: Callable[[Mapping[str, Any]], Any]
    encoder: Callable[[Any], nn.Module]
    decoder: Callable[[Any], nn.Module]
    presets: Mapping[str, Any]
    bridge: Callable[[Any], nn.Module] = lambda _config: nn.Identity()


class Autoencoder(nn.Module):
    """Shared encoder and bridge, and one decoder for each performer; any number of performers."""

    def __init__(self, config: AutoencoderConfig, performers: tuple[str, ...], architecture: Architecture) -> None:
        super().__init__()
        self.config = config
        self.performers = performers
        taken = next((name for name in performers if hasattr(nn.ModuleDict, name)), None)
        if taken is not None:  # ModuleDict keeps its modules beside its own methods
            raise ModelError(f"a performer cannot be trained under the id {taken!r}", hint="give another performer id")
        self.encoder = architecture.encoder(config)
        self.bridge = architecture.bridge(config)
        self.decoders = nn.ModuleDict({name: architecture.decoder(config) for name in performers})
        self.occlusion = Occlusion(config.occlusion) if config.occlusion else None
        self.detail = Detail(config.detail) if config.detail else None

    def paint(self, code: Tensor, performer: str, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Codes (N, code), and (N, condition) if the config has one -> rgb (N, 3, S, S), mask (N, 1, S, S)."""
        rgb, mask = self.decoders[performer](self.bridge(told(code, condition, self.config.condition)))
        return rgb, mask

    def forward(self, rgb: Tensor, performer: str, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) model space -> rgb (N, 3, S, S), mask (N, 1, S, S) painted as `performer`, nothing before it."""
        painted, mask = self.paint(self.encoder(rgb), performer, condition)
        seen = uncovered(self.occlusion, rgb, painted, mask, size=self.config.resolution)
        return restored(self.detail, rgb, painted, mask), seen


def told(code: Tensor, condition: Tensor | None, length: int) -> Tensor:
    """Code and condition side by side; raises ValueError when a condition is missing or not wanted."""
    # Its length is left to the layer behind: shapes are no Python numbers while a network is traced.
    if (condition is None) != (length == 0):
        wanted = f"a condition of length {length}" if length else "no condition"
        raise ValueError(f"the network wants {wanted}, got {'none' if condition is None else 'one'}")
    return code if condition is None else torch.cat([code, condition.to(code.dtype)], dim=1)


class Swapper(nn.Module):
    """What ships: all but the other decoders. Inputs `crop` (and `condition`), outputs `rgb` and `mask`."""

    def __init__(self, net: Autoencoder, likeness: str) -> None:
        super().__init__()
        self.condition, self.resolution = net.config.condition, net.config.resolution
        self.encoder = net.encoder
        self.bridge = net.bridge
        self.decoder = net.decoders[likeness]
        self.occlusion = net.occlusion
        self.detail = net.detail

    def forward(self, crop: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) in [0, 1], and (N, condition) if there is one -> rgb (N, 3, S, S), mask (N, 1, S, S)."""
        rgb, mask, *_ = self.parts(crop, condition)
        return rgb, mask

    def parts(self, crop: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        """As `forward`; of a network that leaves out what covers the face, also the painted outline and that cover."""
        rgb, outline = self.decoder(self.bridge(told(self.encoder(crop), condition, self.condition)))
        shown = restored(self.detail, crop, rgb, outline)
        if self.occlusion is None:
            return shown, outline
        logits = covering(self.occlusion, crop, rgb, outline, size=self.resolution)
        return shown, without(outline, logits), outline, torch.sigmoid(logits)


@torch.no_grad()
def transfer_encoder(
    source: Mapping[str, Tensor], net: Autoencoder, *, decoders: Mapping[str, str] | None = None
) -> None:
    """Start `net` where another network has come to: its encoder and bridge, and some decoders.

    Args:
        source: the other network's `state_dict()`, same architecture and sizes; its performers may be others, and it
            may have nothing that finds occluders or detail, which then begins anew.
        net: changed in place, whole or not at all.
        decoders: performer of `net` -> performer of `source` whose decoder theirs starts as. Others stay as they are.

    Raises:
        ModelError: `source` lacks a weight, or one has another shape.
    """
    lacking = tuple(part for part in _OPTIONAL if not any(name.startswith(part) for name in source))
    moves = {name: name for name in net.state_dict() if not name.startswith(("decoders.", *lacking))}
    for ours, theirs in (decoders or {}).items():
        if ours not in net.decoders:
            raise ModelError(f"the network has no performer {ours!r}", hint=f"it has {', '.join(net.performers)}")
        prefix, other = f"decoders.{ours}.", f"decoders.{theirs}."
        moves |= {name: other + name.removeprefix(prefix) for name in net.state_dict() if name.startswith(prefix)}
    own = net.state_dict()
    for ours, theirs in moves.items():
        if theirs not in source:
            raise ModelError(f"the other model has no weight {theirs}", hint="take one of the same preset")
        if source[theirs].shape != own[ours].shape:
            raise ModelError(
                f"weight {theirs} of the other model is {tuple(source[theirs].shape)}, here it is "
                f"{tuple(own[ours].shape)}",
                hint="take one of the same preset",
            )
    for ours, theirs in moves.items():
        own[ours].copy_(source[theirs])
