"""The adversarial loop: one network paints the face, a second judges it against the performer's real crops.

Each step: both performers' crops are reconstructed by their own decoders; after a warm-up the discriminator
is shown the likeness's real crops beside painted ones (reconstructions and swaps of the double), and its
verdict goes back into the likeness's decoder.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfxswap import atomic
from vfxswap.errors import ModelError
from vfxswap.events import CancelToken
from vfxswap.models import ARCHITECTURES, preset
from vfxswap.models.discriminator import Discriminator
from vfxswap.train import checkpoint, losses, preview, score
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Augment, Bank, Batch, draw
from vfxswap.train.score import faces_only

METRICS = "metrics.jsonl"
PREVIEW = "preview.png"
_MAX_BAD_STEPS = 5


@dataclass
class Progress:
    """Where a run stands. `spent` is 0..1 of the budget."""

    step: int = 0
    seconds: float = 0.0
    spent: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA when there is one; raises ModelError when CUDA is asked for and missing."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is visible to torch", hint="use --device cpu or install a CUDA build of torch")
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> bool:
    """True for bfloat16: on CUDA, and on CPUs whose matrix units make it faster than float32."""
    if name != "auto":
        return name == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


class Trainer:
    """A run in a model folder: made new, or continued from its newest checkpoint."""

    def __init__(
        self,
        folder: Path,
        *,
        config: TrainConfig,
        likeness: Bank,
        double: Bank,
        device: str = "auto",
        record: dict[str, Any] | None = None,
    ) -> None:
        """Set up networks and optimisers, and load the newest checkpoint when there is one.

        Args:
            folder: the model folder.
            config: the run; architecture and seed of a started folder must not change.
            likeness, double: the two performers' banks.
            device: auto | cpu | cuda.
            record: facts kept in every checkpoint (consents, facesets), unchanged by training.

        Raises:
            ModelError: the folder holds a run of another preset or other performers.
        """
        self.folder, self.config = folder, config
        self.banks = {"likeness": likeness, "double": double}
        self.performers = (likeness.performer, double.performer)
        self.device = resolve_device(device)
        self.bf16 = resolve_precision(config.precision, self.device)
        self.record = record or {}
        self.augment = Augment()
        torch.manual_seed(config.seed)
        net_config = preset(config.preset)
        build = ARCHITECTURES["autoencoder"]
        self.net = build(net_config, self.performers).to(self.device, memory_format=torch.channels_last)
        self.average = build(net_config, self.performers).to(self.device, memory_format=torch.channels_last)
        self.average.load_state_dict(self.net.state_dict())
        self.average.requires_grad_(False)
        self.judge = Discriminator((likeness.performer,)).to(self.device, memory_format=torch.channels_last)
        self.painter_opt = torch.optim.AdamW(
            self.net.parameters(), lr=config.rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.judge_opt = torch.optim.AdamW(self.judge.parameters(), lr=config.judge_rate, betas=(0.0, 0.99))
        self.progress = Progress()
        self.bad_steps = 0
        self._resume()

    # -- the loop ---------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        cancel: CancelToken | None = None,
        report: Callable[[Progress], None] = lambda _progress: None,
    ) -> Progress:
        """Train to the end of the budget, scoring and checkpointing on the way; a cancelled run saves first."""
        started, before = time.monotonic(), self.progress.seconds
        scored_at = before
        while not self._finished():
            if cancel is not None and cancel.cancelled:
                self.save()
                cancel.check()
            self.progress.losses = self.train_step()
            self.progress.step += 1
            self.progress.seconds = before + time.monotonic() - started
            self.progress.spent = self._spent()
            if self._score_due(scored_at):
                self.score_and_save()
                # Scoring is no training: the budget does not pay for it.
                started = time.monotonic() - (self.progress.seconds - before)
                scored_at = self.progress.seconds
            report(self.progress)
        self.score_and_save()
        return self.progress

    def _spent(self) -> float:
        if self.config.steps is not None:
            return self.progress.step / self.config.steps
        return self.progress.seconds / (60.0 * (self.config.minutes or 60.0))

    def _finished(self) -> bool:
        return self._spent() >= 1.0

    def _score_due(self, scored_at: float) -> bool:
        if self.config.score_every_steps is not None:
            return self.progress.step % self.config.score_every_steps == 0
        return self.progress.seconds - scored_at >= 60 * self.config.score_every_minutes

    def train_step(self) -> dict[str, float]:
        """One step of painter and, after the warm-up, of the judge. Returns the losses by name."""
        step, config = self.progress.step, self.config
        spent = self._spent()
        adversarial = spent >= config.adversary_from and config.adversary_weight > 0
        self._set_rates(step, spent)
        size = self.net.config.resolution
        batches = {
            role: draw(bank, count=config.batch, size=size, seed=config.seed, step=step, augment=self.augment).to(
                self.device
            )
            for role, bank in self.banks.items()
        }
        total, parts, shown = self._paint(batches, swap=adversarial)
        if adversarial:
            judged, more = self._persuade(batches["likeness"], shown)
            total, parts = total + judged, parts | more
        self.painter_opt.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if not self._usable(float(norm)):
            return parts
        self.painter_opt.step()
        self._follow()
        if adversarial:
            parts |= self._judge_step(batches["likeness"], shown, penalty=step % config.penalty_every == 0)
        return parts

    def _paint(self, batches: dict[str, Batch], *, swap: bool) -> tuple[Tensor, dict[str, float], dict[str, Tensor]]:
        """Reconstruction losses of both performers, and the pictures the judge will see."""
        likeness, double = batches["likeness"], batches["double"]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            codes = self.net.encoder(torch.cat([likeness.warped, double.warped]))
            code_like, code_double = codes.chunk(2)
            like_rgb, like_mask = self.net.decoders[self.performers[0]](code_like)
            double_rgb, double_mask = self.net.decoders[self.performers[1]](code_double)
            shown: dict[str, Tensor] = {"weight": likeness.core}
            if swap:
                # The verdict on a swap teaches the decoder alone: the encoder must not learn to please the judge
                # by forgetting the double's expression.
                shown["swap"] = self.net.decoders[self.performers[0]](code_double.detach())[0].float()
                shown["swap_weight"] = double.core
        shown["painted"] = like_rgb = like_rgb.float()
        parts = {
            "likeness": losses.reconstruction(like_rgb, likeness.target, likeness.weight),
            "double": losses.reconstruction(double_rgb.float(), double.target, double.weight),
            "mask": losses.mask_loss(like_mask.float(), likeness.mask)
            + losses.mask_loss(double_mask.float(), double.mask),
        }
        total = parts["likeness"] + parts["double"] + parts["mask"]
        return total, {name: float(value.detach()) for name, value in parts.items()}, shown

    def _persuade(self, real: Batch, shown: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """What the judge's verdict asks of the painter."""
        self.judge.requires_grad_(False)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            _, _, wanted = self._verdict(real.target, shown["weight"])
            *painted, features = self._verdict(shown["painted"], shown["weight"])
            *swapped, _ = self._verdict(shown["swap"], shown["swap_weight"])
        self.judge.requires_grad_(True)
        persuade = losses.persuading(_pair(painted), shown["weight"]) + losses.persuading(
            _pair(swapped), shown["swap_weight"]
        )
        matching = losses.feature_matching([f.float() for f in features], [f.float() for f in wanted])
        total = self.config.adversary_weight * persuade + self.config.matching_weight * matching
        return total, {"persuade": float(persuade.detach()), "matching": float(matching.detach())}

    def _judge_step(self, real: Batch, shown: dict[str, Tensor], *, penalty: bool) -> dict[str, float]:
        """Train the judge on the performer's real crops against reconstructions and swaps."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            *true, _ = self._verdict(real.target, shown["weight"])
            *painted, _ = self._verdict(shown["painted"].detach(), shown["weight"])
            *swapped, _ = self._verdict(shown["swap"].detach(), shown["swap_weight"])
        loss = losses.judged_real(_pair(true), shown["weight"]) + 0.5 * (
            losses.judged_painted(_pair(painted), shown["weight"])
            + losses.judged_painted(_pair(swapped), shown["swap_weight"])
        )
        if penalty and self.config.gradient_penalty > 0:
            loss = loss + self.config.penalty_every * self.config.gradient_penalty * self._r1(real, shown["weight"])
        self.judge_opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.judge.parameters(), 10.0)
        self.judge_opt.step()
        return {"judge": float(loss.detach())}

    def _r1(self, real: Batch, weight: Tensor) -> Tensor:
        """R1 gradient penalty on real crops (Mescheder et al., ICML 2018), on half the batch, in float32."""
        half = max(1, len(real) // 2)
        crops = real.target[:half].detach().requires_grad_(True)
        verdict, pixels, _ = self._verdict(crops, weight[:half])
        (gradient,) = torch.autograd.grad(
            verdict.mean(dim=(1, 2, 3)).sum() + pixels.mean(dim=(1, 2, 3)).sum(), crops, create_graph=True
        )
        return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()

    def _verdict(self, rgb: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The judge sees the face alone: hair and background of the double are no clue."""
        verdict, fine, features = self.judge(faces_only(rgb, weight), self.performers[0])
        return verdict.float(), fine.float(), features

    # -- rates, averages, guards ------------------------------------------------------------------------------

    def _set_rates(self, step: int, spent: float) -> None:
        """Linear warm-up, then a cosine down to 2 % of the rate."""
        rise = min(1.0, (step + 1) / self.config.warm_up)
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, spent)))
        for group in self.painter_opt.param_groups:
            group["lr"] = self.config.rate * rise * fall
        for group in self.judge_opt.param_groups:
            group["lr"] = self.config.judge_rate * fall

    def _follow(self) -> None:
        """Exponential moving average of the weights: what is scored and exported."""
        decay = min(self.config.ema, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.net.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)

    def _usable(self, norm: float) -> bool:
        """False for a step whose gradient is not finite: it is skipped; several in a row end the run."""
        if math.isfinite(norm):
            self.bad_steps = 0
            return True
        self.bad_steps += 1
        if self.bad_steps >= _MAX_BAD_STEPS:
            raise ModelError(
                f"{self.bad_steps} steps in a row gave no finite gradient at step {self.progress.step}",
                hint="continue from the last checkpoint with a lower rate",
            )
        return False

    # -- scores and checkpoints -------------------------------------------------------------------------------

    def score_and_save(self) -> None:
        """Score on held-out crops, write the preview sheet and a line of metrics, and checkpoint."""
        self.progress.scores = score.held_out(
            self.average, self.judge, likeness=self.banks["likeness"], double=self.banks["double"], device=self.device
        )
        atomic.make_folder(self.folder)
        preview.write_sheet(
            self.folder / PREVIEW,
            self.average,
            likeness=self.banks["likeness"],
            double=self.banks["double"],
            device=self.device,
        )
        line = {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "losses": self.progress.losses,
            "scores": self.progress.scores,
        }
        with (self.folder / METRICS).open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        self.save()

    def save(self) -> None:
        """Write a checkpoint from which the run continues as if never broken."""
        tensors = checkpoint.pack("net", self.net) | checkpoint.pack("average", self.average)
        tensors |= checkpoint.pack("judge", self.judge)
        tensors |= checkpoint.pack_optimizer("painter_opt", self.painter_opt)
        tensors |= checkpoint.pack_optimizer("judge_opt", self.judge_opt)
        state = {
            "schema": "vfxswap.training/1",
            "config": self.config.model_dump(),
            "architecture": "autoencoder",
            "network": self.net.config.to_json(),
            "performers": {"likeness": self.performers[0], "double": self.performers[1]},
            "seconds": self.progress.seconds,
            "scores": self.progress.scores,
            "precision": "bf16" if self.bf16 else "fp32",
            "device": self.device.type,
            **self.record,
        }
        checkpoint.save(self.folder, step=self.progress.step, tensors=tensors, state=state)

    def _resume(self) -> None:
        state = checkpoint.load_state(self.folder)
        if state is None:
            return
        started = (state["config"]["preset"], state["performers"])
        wanted = (self.config.preset, {"likeness": self.performers[0], "double": self.performers[1]})
        if started != wanted:
            raise ModelError(
                f"this folder was started with {started}, not {wanted}",
                path=self.folder,
                hint="use another folder or the same arguments",
            )
        tensors = checkpoint.load_tensors(self.folder, state)
        checkpoint.unpack("net", self.net, tensors)
        checkpoint.unpack("average", self.average, tensors)
        checkpoint.unpack("judge", self.judge, tensors)
        checkpoint.unpack_optimizer("painter_opt", self.painter_opt, tensors)
        checkpoint.unpack_optimizer("judge_opt", self.judge_opt, tensors)
        self.progress = Progress(step=int(state["step"]), seconds=float(state["seconds"]), scores=state["scores"])
        self.progress.spent = self._spent()


def _pair(logits: list[Any]) -> tuple[Tensor, Tensor]:
    return logits[0], logits[1]
