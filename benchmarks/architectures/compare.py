# ruff: noqa: T201 - a command prints
"""Trains networks side by side on the same batches and says what each gained in a step and what a step cost it.

    python benchmarks/architectures/compare.py --likeness DIR --double DIR --steps 600 tiny df-tiny

Both performers are repainted, as a training does before its judge joins: the same warps, disguise, noise on the codes
and falling rate, no judge of any kind. A run is a function of its seed, so two lines differ by their networks alone.
CPU time is that of forward, backward and optimiser; drawing the batches is not in it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from vfxswap import faceset
from vfxswap.models import build, preset
from vfxswap.models.autoencoder import Autoencoder, AutoencoderConfig
from vfxswap.models.cost import cost
from vfxswap.train import losses
from vfxswap.train.bank import Bank, load_bank
from vfxswap.train.data import Augment, Batch, centred, draw
from vfxswap.train.disguise import disguised

_EMA = 0.99
_LEAST_WARP, _LEAST_NOISE, _LEAST_RATE = 0.15, 0.1, 0.02
_CODE_POWER = 3e-5


@dataclass(frozen=True)
class Recipe:
    """How networks are trained here. `loss` is `house` (MS-SSIM + L1) or `df` (10 DSSIM + 10 MSE + 10 MSE of masks)."""

    steps: int = 600
    batch: int = 8
    rate: float = 6e-4
    warm_up: int = 50
    noise: float = 1.0
    loss: str = "house"
    seed: int = 1


@dataclass
class Result:
    """PSNR in dB inside the masks of held-out crops, the mean of both performers."""

    name: str
    parameters: int
    gflop: float
    recipe: Recipe
    psnr: dict[int, float] = field(default_factory=dict)
    ssim: float = 0.0
    seconds_per_step: float = 0.0

    def line(self) -> str:
        """A row of a Markdown table."""
        score = " | ".join(f"{value:.2f}" for value in self.psnr.values())
        return (
            f"| {self.name} | {self.parameters / 1e6:.2f} | {self.gflop:.2f} | {score} | {self.ssim:.4f} | "
            f"{self.seconds_per_step * 1e3:.0f} |"
        )


def train(name: str, config: AutoencoderConfig, *, likeness: Bank, double: Bank, recipe: Recipe) -> Result:
    """Train one network and score it at quarters of its steps."""
    torch.manual_seed(recipe.seed)
    net = build(config.architecture, config, (likeness.performer, double.performer))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = build(config.architecture, config, (likeness.performer, double.performer))
    average.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    counted = cost(config)
    result = Result(name, counted.parameters, counted.gflop, recipe)
    spent_cpu = 0.0
    for step in range(recipe.steps):
        spent = step / recipe.steps
        batches = [_batch(bank, config, recipe, step) for bank in (likeness, double)]
        fall = _LEAST_RATE + (1 - _LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * spent))
        optimizer.param_groups[0]["lr"] = recipe.rate * min(1, (step + 1) / recipe.warm_up) * fall
        started = time.process_time()
        loss = _loss(net, batches, recipe, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        spent_cpu += time.process_time() - started
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 1 - min(_EMA, (1 + step) / (10 + step)))
        if (step + 1) % max(1, recipe.steps // 4) == 0:
            result.psnr[step + 1], result.ssim = _score(average, likeness, double)
    result.seconds_per_step = spent_cpu / recipe.steps
    return result


def _batch(bank: Bank, config: AutoencoderConfig, recipe: Recipe, step: int) -> Batch:
    warp = Augment().warp * max(_LEAST_WARP, 1 - 1.1 * step / recipe.steps)
    augment = replace(Augment(), warp=warp)
    batch = draw(bank, count=recipe.batch, size=config.resolution, seed=recipe.seed, step=step, augment=augment)
    return batch.to(torch.device("cpu"))


def _loss(net: Autoencoder, batches: list[Batch], recipe: Recipe, step: int) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        means = net.encoder(torch.cat([batch.warped for batch in batches]))
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        level = recipe.noise * max(_LEAST_NOISE, 1 - 1.2 * step / recipe.steps)
        codes = means + level * torch.randn(means.shape, generator=generator)
        painted = [net.paint(code, who) for code, who in zip(codes.chunk(2), net.performers, strict=True)]
    total: Tensor = recipe.noise * _CODE_POWER * 0.5 * means.float().square().sum(dim=1).mean()
    for (rgb, mask), batch in zip(painted, batches, strict=True):
        rgb, mask = rgb.float(), mask.float()
        if recipe.loss == "df":
            total = total + 10 * _dssim(rgb * batch.mask, batch.target * batch.mask)
            total = total + 10 * ((rgb - batch.target) * batch.mask).square().mean() + 10 * _mse(mask, batch.mask)
        else:
            total = total + losses.reconstruction(rgb, batch.target, batch.weight)
            total = total + losses.mask_loss(mask, batch.mask)
    return total


def _dssim(x: Tensor, y: Tensor) -> Tensor:
    everywhere = torch.ones_like(x[:, :1])
    return (1 - losses.ms_ssim(x, y, everywhere, scales=1)) / 2


def _mse(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().mean()


@torch.no_grad()
def _score(net: Autoencoder, likeness: Bank, double: Bank) -> tuple[float, float]:
    psnr, ssim = 0.0, 0.0
    for bank in (likeness, double):
        batch = centred(bank, bank.held_out, size=net.config.resolution)
        rgb, _ = net(batch.warped, bank.performer)
        inside = (batch.mask > 0.5).float()
        error = ((rgb - batch.target).square() * inside).sum() / (3 * inside.sum())
        psnr -= 5 * float(torch.log10(error))
        ssim += 0.5 * float(losses.ms_ssim(rgb, batch.target, inside, scales=3))
    return psnr, ssim


def banks(likeness: Path, double: Path, *, resolution: int) -> tuple[Bank, Bank]:
    """Both facesets as a training sees them."""
    a, b = (load_bank(faceset.load(folder), resolution=resolution) for folder in (likeness, double))
    return disguised(a, b), disguised(b, a)


def main() -> None:
    """Compare presets from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--likeness", type=Path, required=True)
    parser.add_argument("--double", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--loss", choices=("house", "df"), default="house")
    parser.add_argument("--noise", type=float, default=1.0, help="on the codes, at first; the baseline knows none: 0")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="append each result as a line")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(steps=given.steps, rate=given.rate, noise=given.noise, loss=given.loss, seed=given.seed)
    loaded: dict[int, tuple[Bank, Bank]] = {}
    for name in given.presets:
        config = preset(name)
        if config.resolution not in loaded:
            loaded[config.resolution] = banks(given.likeness, given.double, resolution=config.resolution)
        likeness, double = loaded[config.resolution]
        result = train(name, config, likeness=likeness, double=double, recipe=recipe)
        print(result.line(), flush=True)
        if given.json:
            with given.json.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    main()
