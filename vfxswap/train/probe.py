"""Can anybody still tell? A fresh small classifier, taught to tell painted faces from real ones.

The judge that trains beside the painter cannot say: its accuracy is one half when it is fooled, and also when it is
untrained, or has learned its own crops by heart. So a probe begins anew each time, on pictures that stand still. Half
of them teach it, the other half test it, then the halves change places: nobody is asked about what they have seen.

Source: the classifier two-sample test of D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANCE = 0.5

TELLS = 0.05
"""A probe that is right this much more often than chance, or less, cannot tell."""

_SIDE = 64
_STEPS = 160
_BATCH = 16
_RATE = 2e-3
_WIDTHS = (16, 32, 48, 64)


@dataclass(frozen=True)
class Opinion:
    """What a probe found.

    Attributes:
        accuracy: how often it was right about pictures it had not seen; real and painted count alike, 0.5 is chance.
        error: standard error of that, for as many pictures as there were.
        realism: (n,) float32, for each painted picture how sure the probe is, 0..1, that it is real.
    """

    accuracy: float
    error: float
    realism: Tensor

    @property
    def cannot_tell(self) -> bool:
        """Whether it does no better than chance."""
        return self.accuracy <= CHANCE + TELLS


def probe(real: Tensor, painted: Tensor, *, seed: int = 0) -> Opinion:
    """Teach two fresh classifiers, one on each half, and ask each about the other half.

    Args:
        real: (N, 3, S, S) pictures in model space, [0, 1]; what must be no clue, such as hair, is grey in them.
        painted: (M, 3, S, S) the same.
        seed: of the classifiers and of the order of their lessons.

    Returns:
        The opinion, on the device of the pictures.

    Raises:
        ValueError: fewer than four pictures of either kind.
    """
    if min(len(real), len(painted)) < 4:
        raise ValueError("a probe needs four pictures of each kind")
    generator = torch.Generator().manual_seed(seed)
    kinds = [_small(pictures) for pictures in (real, painted)]
    halves = [torch.arange(len(pictures)) % 2 for pictures in kinds]
    right: list[list[Tensor]] = [[], []]
    realism = torch.zeros(len(painted), device=painted.device)
    for fold in (0, 1):
        taught = [pictures[half != fold] for pictures, half in zip(kinds, halves, strict=True)]
        classifier = _taught(taught[0], taught[1], generator)
        for kind, (pictures, half) in enumerate(zip(kinds, halves, strict=True)):
            asked = half == fold
            with torch.no_grad():
                logits = classifier(pictures[asked])
            right[kind].append((logits > 0) == (kind == 0))
            if kind == 1:
                realism[asked] = torch.sigmoid(logits)
    shares = [torch.cat(answers).float().mean() for answers in right]
    error = 0.5 * sum(float(p * (1 - p)) / len(k) for p, k in zip(shares, kinds, strict=True)) ** 0.5
    return Opinion(float((shares[0] + shares[1]) / 2), error, realism)


def _small(pictures: Tensor) -> Tensor:
    if pictures.shape[-1] <= _SIDE:
        return pictures.float()
    return functional.interpolate(pictures.float(), size=_SIDE, mode="area")


def _taught(real: Tensor, painted: Tensor, generator: torch.Generator) -> nn.Module:
    """A classifier that has seen both kinds equally often: positive is "real"."""
    classifier = _Classifier(generator).to(real.device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_RATE, weight_decay=1e-2)
    kinds = (real, painted)
    for step in range(_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * (1 - step / _STEPS)
        lesson = torch.cat([_moved(kind, _BATCH // 2, generator) for kind in kinds])
        truth = torch.zeros(len(lesson), device=real.device)
        truth[: _BATCH // 2] = 1.0
        loss = functional.binary_cross_entropy_with_logits(classifier(lesson), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return classifier.eval()


def _moved(pictures: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Some of the pictures, flipped, shifted by up to three pixels and in slightly other light."""
    chosen = pictures[torch.randint(len(pictures), (count,), generator=generator).to(pictures.device)]
    x, y, mirror = (int(torch.randint(-3, 4, (1,), generator=generator)) for _ in range(3))
    chosen = torch.roll(chosen, (y, x), dims=(2, 3))
    light = 1 + 0.1 * torch.randn((count, 1, 1, 1), generator=generator).to(chosen.device)
    return (chosen.flip(3) if mirror > 0 else chosen) * light


class _Classifier(nn.Module):
    """(N, 3, S, S) in [0, 1] -> (N,) logits."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(inputs, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.LeakyReLU(0.1)]
            inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, 1)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("weight") and parameter.dim() > 1:
                    spread = (2.0 / parameter[0].numel()) ** 0.5
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
                elif name.endswith("bias"):
                    parameter.zero_()

    def forward(self, rgb: Tensor) -> Tensor:
        """Judge pictures."""
        logits: Tensor = self.head(self.body(rgb * 2.0 - 1.0).mean(dim=(2, 3)))
        return logits[:, 0]
