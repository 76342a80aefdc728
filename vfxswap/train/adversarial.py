"""One step of the adversarial pair: one network paints the face, a second judges it against the real performer.

Each step both performers' crops are reconstructed by their own decoders. Once the judge has joined, it is shown
the likeness's real crops beside painted ones (reconstructions, and swaps of the double), and its verdict goes back
into the likeness's decoder. A third network, the code judge, keeps whose face it was out of the codes
(docs/decisions/0001-identity-stays-out-of-the-code.md).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vfxswap.models import build
from vfxswap.models.autoencoder import Autoencoder, AutoencoderConfig
from vfxswap.models.discriminator import CodeJudge, Discriminator
from vfxswap.train import checkpoint, losses
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Batch
from vfxswap.train.memory import Parts, Rows, part_of
from vfxswap.train.score import faces_only

_PAINTER_CLIP = 1.0
_JUDGE_CLIP = 10.0
_LEAST_RATE = 0.02
_OCCLUSION_RATE = 2.5
"""The small network that finds occluders, of whom hardly two are alike, learns at so many times the painter's rate."""

_Net = TypeVar("_Net", bound=nn.Module)


@dataclass(frozen=True)
class Painted:
    """The likeness as painted in one step, (N, 3, S, S) float32; `swapped` is None until the judge has joined."""

    reconstructed: Tensor
    swapped: Tensor | None
    codes: Tensor
    """(2 N, code) float32, the likeness's, then the double's, as the decoders saw them."""

    @staticmethod
    def joined(parts: list[Painted]) -> Painted:
        """The parts of a batch as one, without their gradients."""
        swapped = [p.swapped.detach() for p in parts if p.swapped is not None]
        codes = [half for i in range(2) for half in (p.codes.detach().chunk(2)[i] for p in parts)]
        whole = torch.cat([p.reconstructed.detach() for p in parts])
        return Painted(whole, torch.cat(swapped) if swapped else None, torch.cat(codes))


@dataclass(frozen=True)
class _Verdict:
    """What the judge says of a batch, float32: logits (N, 1, h, w) for the whole and for each spot, and features."""

    coarse: Tensor
    fine: Tensor
    features: list[Tensor]


class Pair:
    """Painter, its moving average, the judge and their optimisers; `step` trains them once.

    Attributes:
        net: the painter: shared encoder, a decoder for each performer.
        average: exponential moving average of `net`; what is scored and exported.
        judge: the discriminator of the likeness.
        code_judge: tells codes of the likeness from codes of the double.
    """

    def __init__(
        self,
        network: AutoencoderConfig,
        *,
        architecture: str,
        likeness: str,
        double: str,
        config: TrainConfig,
        device: torch.device,
        bf16: bool,
        parts: Parts | None = None,
    ) -> None:
        self.likeness, self.double = likeness, double
        self.config, self.device, self.bf16 = config, device, bf16
        self.parts = parts or Parts()
        torch.manual_seed(config.seed)
        self.net = _placed(build(architecture, network, (likeness, double)), device)
        self.average = _placed(build(architecture, network, (likeness, double)), device)
        self.average.load_state_dict(self.net.state_dict())
        self.average.requires_grad_(False)
        self.judge = _placed(Discriminator((likeness,)), device)
        self._painter_opt = torch.optim.AdamW(
            _groups(self.net), lr=config.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self._judge_opt = torch.optim.AdamW(
            self.judge.parameters(), lr=config.judge_rate, betas=(0.0, 0.99), fused=True
        )
        self.code_judge = CodeJudge(network.code).to(device)
        self._code_opt = torch.optim.AdamW(
            self.code_judge.parameters(), lr=config.judge_rate, betas=(0.5, 0.99), fused=True
        )

    # -- one step ---------------------------------------------------------------------------------------------

    def step(
        self, likeness: Batch, double: Batch, *, step: int, spent: float, rate_scale: float = 1.0
    ) -> dict[str, float] | None:
        """Train once.

        Args:
            likeness: batch of the performer to paint, on the device; in a training in several processes this one's.
            double: the same of the performer to paint over.
            step: its number; every `penalty_every`th carries the judge's gradient penalty.
            spent: 0..1 of the budget; rates and the judge's entry follow it.
            rate_scale: 1, or less after a rollback.

        Returns:
            The losses by name, or None when a gradient was not finite; that network was then left as it was.
        """
        self._set_rates(step, spent, rate_scale)
        self._settle()
        painted, values = self._painter_gradients(likeness, double, step=step, spent=spent)
        if not self._advance(self.net, self._painter_opt, clip=_PAINTER_CLIP):
            return None
        self._follow(step)
        values |= self._judge_codes(painted.codes)
        if painted.swapped is not None:
            penalty = step % self.config.penalty_every == 0 and self.config.gradient_penalty > 0
            values |= self._judge_gradients(likeness, double, painted, penalty=penalty)
            if not self._advance(self.judge, self._judge_opt, clip=_JUDGE_CLIP):
                return None
        return self.parts.ranks.mean(values)

    def _painter_gradients(
        self, likeness: Batch, double: Batch, *, step: int, spent: float
    ) -> tuple[Painted, dict[str, float]]:
        """Gradients of everything the painter pays for; what it painted, and the losses."""
        swap = spent >= self.config.adversary_from and self.config.adversary_weight > 0

        def work(part: slice, share: float) -> tuple[Painted, dict[str, float]]:
            a, b = part_of(likeness, part), part_of(double, part)
            rows = self.parts.rows(part, len(likeness))
            total, values, painted = self._paint(a, b, step=step, spent=spent, swap=swap, rows=rows)
            if painted.swapped is not None:
                judged, more = self._persuade(a, b, painted.reconstructed, painted.swapped)
                total, values = total + judged, values | more
            (total * share).backward()
            return Painted.joined([painted]), {name: value * share for name, value in values.items()}

        found = self.parts.run(len(likeness), work, clear=self._painter_opt.zero_grad)
        return Painted.joined([painted for painted, _ in found]), _summed([values for _, values in found])

    def _judge_gradients(self, likeness: Batch, double: Batch, painted: Painted, *, penalty: bool) -> dict[str, float]:
        """Gradients of what the judge learns from pictures, and its loss."""
        swapped = painted.swapped if painted.swapped is not None else painted.reconstructed

        def work(part: slice, share: float) -> dict[str, float]:
            a, b = part_of(likeness, part), part_of(double, part)
            loss = share * self._judge_loss(a, b, painted.reconstructed[part], swapped[part], penalty=penalty)
            loss.backward()
            return {"judge": float(loss.detach())}

        return _summed(self.parts.run(len(likeness), work, clear=self._judge_opt.zero_grad))

    def _settle(self) -> None:
        """One round of the judges' spectral norms for the step: each part of a batch meets the same judges."""
        for judge in (self.judge, self.code_judge):
            judge.train()
            with torch.no_grad():
                for module in judge.modules():
                    if parametrize.is_parametrized(module):
                        _ = module.weight
            judge.eval()

    def _paint(
        self, likeness: Batch, double: Batch, *, step: int, spent: float, swap: bool, rows: Rows | None = None
    ) -> tuple[Tensor, dict[str, float], Painted]:
        """Reconstruction losses of both performers, and the pictures the judge will see."""
        with self._autocast():
            means = self.net.encoder(torch.cat([likeness.warped, double.warped]))
            codes = means + self._noise(means, step, spent, rows)
            code_likeness, code_double = codes.chunk(2)
            rgb, mask = self.net.paint(code_likeness, self.likeness, likeness.told)
            double_rgb, double_mask = self.net.paint(code_double, self.double, double.told)
            swapped = None
            if swap:
                # The verdict on a swap teaches the decoder alone: the encoder must not learn to please the judge
                # by forgetting the double's expression.
                swapped = self.net.paint(code_double.detach(), self.likeness, double.told)
            covered = self._covered(likeness, double, (rgb, mask), code_double, swapped=swapped)
            covered |= self._restored(likeness, rgb, mask)
        rgb = rgb.float()
        parts = covered | {
            "likeness": losses.reconstruction(rgb, likeness.target, likeness.weight),
            "double": losses.reconstruction(double_rgb.float(), double.target, double.weight),
            "mask": losses.mask_loss(mask.float(), self._outline(likeness))
            + losses.mask_loss(double_mask.float(), self._outline(double)),
        }
        total = sum(parts.values(), torch.zeros((), device=rgb.device))
        # A code pays for its power in noise: what a decoder knows by itself, such as whose face it paints, is not
        # worth sending.
        parts["power"] = 0.5 * means.float().square().sum(dim=1).mean()
        parts["confusion"] = self._confusion(codes.float())
        total = total + self.config.code_power * parts["power"] + self.config.confusion_weight * parts["confusion"]
        values = {name: float(value.detach()) for name, value in parts.items()}
        return total, values, Painted(rgb, None if swapped is None else swapped[0].float(), codes.float())

    def _outline(self, batch: Batch) -> Tensor:
        """(N, 1, S, S) what a decoder's mask should be.

        Beside a network that finds what covers the face a decoder leaves that to it: a code can only leave out a blob,
        and what it leaves out nobody puts back.
        """
        return batch.mask if self.net.occlusion is None or batch.whole is None else batch.whole

    def _covered(
        self,
        likeness: Batch,
        double: Batch,
        painted: tuple[Tensor, Tensor],
        code_double: Tensor,
        *,
        swapped: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """What finding occluders costs: before the likeness, and before swaps, as it will be used.

        The painter learns nothing by it.
        """
        if self.net.occlusion is None or likeness.hidden is None or double.hidden is None:
            return {}
        if swapped is None:
            with torch.no_grad():
                swapped = self.net.paint(code_double, self.likeness, double.told)
        crops = torch.cat([likeness.warped, double.warped])
        rgb, mask = (torch.cat([a, b]).detach() for a, b in zip(painted, swapped, strict=True))
        logits = self.net.occlusion(crops, rgb, mask)
        hidden = torch.cat([likeness.hidden, double.hidden])
        return {"occlusion": losses.occlusion(logits.float(), hidden, mask.float())}

    def _restored(self, likeness: Batch, rgb: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What restoring a crop's own detail costs; the painter learns nothing by it."""
        if self.net.detail is None:
            return {}
        whole = self.net.detail(likeness.warped, rgb.detach(), mask.detach())
        return {"detail": losses.reconstruction(whole.float(), likeness.target, likeness.weight)}

    def _noise(self, codes: Tensor, step: int, spent: float, rows: Rows | None = None) -> Tensor:
        """Gaussian noise, a function of the step alone, so that a resumed run sees the same.

        It ebbs from `code_noise` to `least_noise` of it: while there is noise the decoder paints the mean of what a
        code might have said, which is blurred.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        level = self.config.code_noise * max(self.config.least_noise, 1 - 1.2 * spent)
        count, length = len(codes) // 2, codes.shape[1]
        rows = rows or Rows(0, count, count)
        noise = torch.randn((2 * rows.total, length), generator=generator).view(2, rows.total, length)
        return level * noise[:, rows.start : rows.stop].reshape(codes.shape).to(codes.device)

    def _confusion(self, codes: Tensor) -> Tensor:
        """What the encoder pays when the code judge can tell: cross entropy to a coin's toss."""
        with _frozen(self.code_judge):
            logits = self.code_judge(codes)
        return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, 0.5))

    def _judge_codes(self, codes: Tensor) -> dict[str, float]:
        """Train the code judge on codes, the likeness's first; returns how many it told apart (0.5: it cannot)."""
        logits = self.code_judge(codes)
        truth = torch.zeros_like(logits)
        truth[: len(truth) // 2] = 1.0
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        self._code_opt.zero_grad(set_to_none=True)
        loss.backward()
        self._advance(self.code_judge, self._code_opt, clip=_JUDGE_CLIP)
        return {"codes_told": float(((logits > 0) == (truth > 0.5)).float().mean())}

    def _persuade(
        self, likeness: Batch, double: Batch, reconstructed: Tensor, swapped: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """What the judge's verdict asks of the painter."""
        with _frozen(self.judge), self._autocast():
            real = self._verdict(likeness.target, likeness.core)
            painted = self._verdict(reconstructed, likeness.core)
            other = self._verdict(swapped, double.core)
        persuade = losses.persuading(painted.coarse, painted.fine, likeness.core)
        persuade = persuade + losses.persuading(other.coarse, other.fine, double.core)
        matching = losses.feature_matching(painted.features, real.features)
        total = self.config.adversary_weight * persuade + self.config.matching_weight * matching
        return total, {"persuade": float(persuade.detach()), "matching": float(matching.detach())}

    def _judge_loss(
        self, likeness: Batch, double: Batch, reconstructed: Tensor, swapped: Tensor, *, penalty: bool
    ) -> Tensor:
        """What the judge learns: the performer's real crops against reconstructions and swaps."""
        with self._autocast():
            real = self._verdict(likeness.target, likeness.core)
            painted = self._verdict(reconstructed.detach(), likeness.core)
            other = self._verdict(swapped.detach(), double.core)
        fakes = losses.judged_painted(painted.coarse, painted.fine, likeness.core)
        fakes = fakes + losses.judged_painted(other.coarse, other.fine, double.core)
        loss = losses.judged_real(real.coarse, real.fine, likeness.core) + 0.5 * fakes
        if penalty:
            loss = loss + self.config.penalty_every * self.config.gradient_penalty * self._r1(likeness)
        return loss

    def _r1(self, real: Batch) -> Tensor:
        """R1 gradient penalty on real crops (Mescheder et al., ICML 2018), on every second one, in float32."""
        crops = real.target[::2].detach().requires_grad_(True)
        verdict = self._verdict(crops, real.core[::2])
        logits = verdict.coarse.mean(dim=(1, 2, 3)).sum() + verdict.fine.mean(dim=(1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(logits, crops, create_graph=True)
        return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()

    def _verdict(self, rgb: Tensor, core: Tensor) -> _Verdict:
        """The judge sees the face alone: hair and background of the double are no clue."""
        coarse, fine, features = self.judge(faces_only(rgb, core), self.likeness)
        return _Verdict(coarse.float(), fine.float(), [f.float() for f in features])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _advance(self, module: nn.Module, optimizer: torch.optim.Optimizer, *, clip: float) -> bool:
        """Step with clipped gradients; False, and nothing done, when they are not finite."""
        self.parts.ranks.average_gradients(module.parameters())
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
        if not math.isfinite(float(norm)):
            return False
        optimizer.step()
        return True

    # -- rates and averages -----------------------------------------------------------------------------------

    def _set_rates(self, step: int, spent: float, scale: float) -> None:
        """Linear warm-up of the painter, then a cosine down to 2 % of its rate; the late judge keeps its own."""
        rise = min(1.0, (step + 1) / self.config.warm_up)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, spent)))
        fall = scale * (_LEAST_RATE + (1 - _LEAST_RATE) * cosine)
        for group in self._painter_opt.param_groups:
            group["lr"] = self.config.rate * group["quicker"] * rise * fall
        for group in self._judge_opt.param_groups:
            group["lr"] = self.config.judge_rate * scale

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average towards the weights; early on it follows closely."""
        decay = min(self.config.ema, (1 + step) / (10 + step))
        for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    @property
    def rates(self) -> dict[str, float]:
        """The learning rates of the last step."""
        return {
            name.removesuffix("_opt"): float(optimizer.param_groups[0]["lr"]) for name, optimizer in self._optimizers()
        }

    # -- checkpoints ------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, by name."""
        packed: dict[str, Tensor] = {}
        for name, module in self._modules():
            packed |= checkpoint.pack(name, module)
        for name, optimizer in self._optimizers():
            packed |= checkpoint.pack_optimizer(name, optimizer)
        return packed

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; raises ModelError when it does not fit."""
        for name, module in self._modules():
            checkpoint.unpack(name, module, tensors)
        for name, optimizer in self._optimizers():
            checkpoint.unpack_optimizer(name, optimizer, tensors)

    def _modules(self) -> Iterator[tuple[str, nn.Module]]:
        yield from (
            ("net", self.net),
            ("average", self.average),
            ("judge", self.judge),
            ("code_judge", self.code_judge),
        )

    def _optimizers(self) -> Iterator[tuple[str, torch.optim.Optimizer]]:
        yield from (("painter_opt", self._painter_opt), ("judge_opt", self._judge_opt), ("code_opt", self._code_opt))


def _groups(net: Autoencoder) -> list[dict[str, Any]]:
    """The painter's weights for its optimiser, in their own order, which checkpoints of moments go by."""
    groups = []
    for quicker, named in itertools.groupby(net.named_parameters(), lambda pair: pair[0].startswith("occlusion.")):
        rate = _OCCLUSION_RATE if quicker else 1.0
        groups.append({"params": [weight for _, weight in named], "quicker": rate})
    return groups


def _placed(module: _Net, device: torch.device) -> _Net:
    # Module.to takes memory_format, but torch's type stubs do not say so for subclasses.
    return module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Nothing learns in `module`, but gradients go through it."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _summed(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in parts) for name in parts[0]}
