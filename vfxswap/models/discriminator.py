"""The judging half of the adversarial pair: is this crop the performer, or painted?

A U-Net that gives one verdict for the whole crop at its bottleneck and one for every pixel
(Schoenfeld et al., "A U-Net based discriminator for generative adversarial networks", CVPR 2020), with a
channel for each performer, so that one network judges all of them.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2))


class Discriminator(nn.Module):
    """Judges (N, 3, S, S) crops in model space; real is positive, painted is negative.

    Its pixels are two by two of the crop's: finer verdicts cost four times as much and taught no more.
    """

    def __init__(self, performers: tuple[str, ...], *, base: int = 32, stages: int = 3) -> None:
        super().__init__()
        self.performers = performers
        widths = [min(base * 2**i, base * 6) for i in range(stages + 1)]
        self.stem = _conv(3, widths[0], kernel=5, stride=2)
        self.downs = nn.ModuleList(_conv(a, b, stride=2) for a, b in itertools.pairwise(widths))
        self.verdict = nn.Conv2d(widths[-1], len(performers), 1)
        back = list(reversed(widths))
        self.ups = nn.ModuleList(_conv(a + b, b) for a, b in itertools.pairwise(back))
        self.map = nn.Conv2d(widths[0], len(performers), 1)

    def forward(self, rgb: Tensor, performer: str) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Judge crops as `performer`.

        Returns:
            The coarse logits (N, 1, S/16, S/16), the fine logits (N, 1, S/2, S/2), and the encoder's
            features, for feature matching.
        """
        index = self.performers.index(performer)
        x = functional.leaky_relu(self.stem(rgb * 2.0 - 1.0), SLOPE)
        features = [x]
        for down in self.downs:
            x = functional.leaky_relu(down(x), SLOPE)
            features.append(x)
        verdict = self.verdict(x)[:, index : index + 1]
        for up, skip in zip(self.ups, reversed(features[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = functional.leaky_relu(up(torch.cat([x, skip], dim=1)), SLOPE)
        return verdict, self.map(x)[:, index : index + 1], features


class CodeJudge(nn.Module):
    """Whose crop was this code made from? The encoder is taught to leave it guessing.

    What a code says of its performer, the likeness's decoder would paint: the double's eyes and jaw.
    """

    def __init__(self, code: int, *, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Linear(code, width)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Linear(width, width)),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, 1),
        )

    def forward(self, code: Tensor) -> Tensor:
        """(N, code) -> (N,) logits: positive is the likeness, negative the double."""
        logits: Tensor = self.layers(code)[:, 0]
        return logits
