"""A training run in a model folder: spends the budget, scores, keeps checkpoints, goes back when it breaks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vfxswap import atomic
from vfxswap.errors import ModelError
from vfxswap.events import CancelToken
from vfxswap.models import preset
from vfxswap.train import checkpoint, preview, score
from vfxswap.train.adversarial import Pair
from vfxswap.train.bank import Bank
from vfxswap.train.checkpoint import Earlier, Provenance, State
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Augment, draw
from vfxswap.train.device import resolve_device, wants_bf16
from vfxswap.train.disguise import disguised, placement
from vfxswap.trust import Grant
from vfxswap.vfxmodel import Performers

METRICS = "metrics.jsonl"
PREVIEW = "preview.png"
ARCHITECTURE = "autoencoder"

_LEAST_WARP = 0.15
_MAX_BAD_STEPS = 5
_MAX_ROLLBACKS = 3
_COLLAPSE_DB = 6.0
"""A held-out score that falls this far below the last one is no noise."""


@dataclass
class Progress:
    """Where a run stands. `spent` is 0..1 of the budget."""

    step: int = 0
    seconds: float = 0.0
    spent: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


class Trainer:
    """A run in a model folder: made new, or continued from its newest checkpoint."""

    def __init__(
        self,
        folder: Path,
        *,
        config: TrainConfig,
        likeness: Bank,
        double: Bank,
        grant: Grant,
        device: str = "auto",
        warn: Callable[[str, str], None] = lambda _code, _message: None,
    ) -> None:
        """Set up networks and optimisers, and load the newest checkpoint when there is one.

        Args:
            folder: the model folder.
            config: the run; preset, seed and encoding of a started folder must not change.
            likeness: the bank of the performer to paint.
            double: the bank of the performer to paint over.
            grant: leave to train with exactly these performers; its consents are kept in every checkpoint.
            device: auto | cpu | cuda.
            warn: called with (code, message) for what a person should know and the run survives.

        Raises:
            ConsentError: the grant is for something else.
            ModelError: the folder holds a run of another preset, seed, encoding or other performers, or is damaged;
                or the banks are in another encoding than the run.
        """
        self.performers = Performers(likeness=likeness.performer, double=double.performer)
        grant.require(use="train", performers=self.performers.by_role())
        self.folder, self.config = folder, config
        for bank in (likeness, double):
            if bank.encoding != config.encoding:
                raise ModelError(
                    f"the crops of {bank.performer} are encoded as {bank.encoding}, the run is in {config.encoding}",
                    hint="load the bank with the run's encoding",
                )
        self.provenance = Provenance(
            consents=tuple({"id": ref.id, "sha256": ref.sha256} for ref in grant.consents),
            data={"likeness": likeness.digest, "double": double.digest},
        )
        self.likeness, self.double = disguised(likeness, double), disguised(double, likeness)
        self._placement = placement(likeness, double)
        self.device = resolve_device(device)
        self.bf16 = wants_bf16(config.precision, self.device)
        self.network = preset(config.preset)
        self.progress = Progress()
        self._warn = warn
        self._augment = Augment()
        self._bad_steps = 0
        self._rollbacks = 0
        self._earlier: tuple[Earlier, ...] = ()
        self.pair = Pair(
            self.network,
            architecture=ARCHITECTURE,
            likeness=likeness.performer,
            double=double.performer,
            config=config,
            device=self.device,
            bf16=self.bf16,
        )
        self._resume()

    # -- the loop ---------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        cancel: CancelToken | None = None,
        report: Callable[[Progress], None] = lambda _progress: None,
    ) -> Progress:
        """Train to the end of the budget, scoring and checkpointing on the way.

        Args:
            cancel: polled between steps; a cancelled run saves a checkpoint first.
            report: called after every step.

        Raises:
            Cancelled: `cancel` asked for it. ModelError: the run broke and lower rates did not help.
            OutputError, ResourceError: a checkpoint cannot be written.
        """
        if checkpoint.load_state(self.folder) is None:
            self._save()  # what a broken run goes back to
        started, before = time.monotonic(), self.progress.seconds
        scored = before
        # Nothing is saved among unusable steps, whose cause may already be in the weights.
        while self.progress.spent < 1.0 or self._bad_steps:
            if cancel is not None and cancel.cancelled:
                if not self._bad_steps:
                    self._save()
                cancel.check()
            losses = self.train_step()
            self.progress.seconds = before + time.monotonic() - started
            self._count(losses)
            if not self._bad_steps and (self._score_due(scored) or self.progress.spent >= 1.0):
                self._score_and_save()
                # Scoring is no training: the budget does not pay for it.
                started = time.monotonic() - (self.progress.seconds - before)
                scored = self.progress.seconds
            report(self.progress)
        return self.progress

    def train_step(self) -> dict[str, float] | None:
        """One step of painter and judge; the losses by name, or None when the step was not usable."""
        progress, size = self.progress, self.network.resolution
        # The warp teaches the encoder to see past shape, but also blurs what the decoder learns: it ebbs.
        warp = self._augment.warp * max(_LEAST_WARP, 1 - 1.1 * progress.spent)
        augment = replace(self._augment, warp=warp)
        likeness, double = (
            draw(bank, count=self.config.batch, size=size, seed=self.config.seed, step=progress.step, augment=augment)
            for bank in (self.likeness, self.double)
        )
        return self.pair.step(
            likeness.to(self.device),
            double.to(self.device),
            step=progress.step,
            spent=progress.spent,
            rate_scale=0.5**self._rollbacks,
        )

    def _count(self, losses: dict[str, float] | None) -> None:
        """Count a step; several unusable ones in a row send the run back to its last checkpoint."""
        self.progress.step += 1
        self.progress.spent = self.config.spent(step=self.progress.step, seconds=self.progress.seconds)
        if losses is not None:
            self.progress.losses, self._bad_steps = losses, 0
            return
        self._bad_steps += 1
        if self._bad_steps >= _MAX_BAD_STEPS:
            self._roll_back(f"{self._bad_steps} steps in a row gave no finite gradient")

    def _score_due(self, scored: float) -> bool:
        if self.config.score_every_steps is not None:
            return self.progress.step % self.config.score_every_steps == 0
        return self.progress.seconds - scored >= 60 * self.config.score_every_minutes

    # -- scores and checkpoints -------------------------------------------------------------------------------

    def _score_and_save(self) -> None:
        """Score on held-out crops; a collapsed run goes back, any other is checkpointed, listed and previewed."""
        pair, last = self.pair, self.progress.scores.get("likeness_psnr", 0.0)
        banks = {"likeness": self.likeness, "double": self.double}
        scores = score.held_out(pair.average, pair.judge, **banks, device=self.device)
        if not scores["likeness_psnr"] >= last - _COLLAPSE_DB:
            self._roll_back(f"held-out PSNR fell from {last:.1f} to {scores['likeness_psnr']:.1f} dB")
            return
        self.progress.scores = scores
        self._save()
        line = {
            "step": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "losses": self.progress.losses,
            "scores": scores,
        }
        try:
            with (self.folder / METRICS).open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
        except OSError as error:
            raise atomic.writing_error(error, self.folder / METRICS) from error
        preview.write_sheet(self.folder / PREVIEW, pair.average, **banks, device=self.device)

    def _save(self) -> None:
        """Write a checkpoint from which the run continues as if never broken."""
        state = State(
            step=self.progress.step,
            config=self.config,
            architecture=ARCHITECTURE,
            network=self.network.to_json(),
            performers=self.performers,
            seconds=self.progress.seconds,
            scores=self.progress.scores,
            precision="bf16" if self.bf16 else "fp32",
            device=self.device.type,
            rollbacks=self._rollbacks,
            placement=self._placement,
            consents=self.provenance.consents,
            data=self.provenance.data,
            earlier=self._earlier,
        )
        checkpoint.save(self.folder, tensors=self.pair.tensors(), state=state)

    def _roll_back(self, reason: str) -> None:
        """Go on from the last checkpoint with half the rate; raises ModelError when that was done too often."""
        state = checkpoint.load_state(self.folder)
        if state is None or self._rollbacks >= _MAX_ROLLBACKS:
            raise ModelError(
                f"{reason} at step {self.progress.step}, after {self._rollbacks} rollbacks",
                path=self.folder,
                hint="the last good checkpoint is kept; train again with another --seed or --precision fp32",
            )
        self._rollbacks += 1
        self._bad_steps = 0
        self.pair.restore(checkpoint.load_tensors(self.folder, state))
        self._warn(
            "rollback",
            f"{reason} at step {self.progress.step}: back to step {state.step} with 1/{2**self._rollbacks} of the rate",
        )
        self.progress.step, self.progress.scores = state.step, state.scores
        self.progress.spent = self.config.spent(step=state.step, seconds=self.progress.seconds)

    def _resume(self) -> None:
        state = checkpoint.load_state(self.folder)
        if state is None:
            return
        started, wanted = _settled(state.config, state.performers), _settled(self.config, self.performers)
        if started != wanted:
            raise ModelError(
                f"this folder was started with {_listed(started)}, not with {_listed(wanted)}",
                path=self.folder,
                hint="use another folder or the same arguments",
            )
        self.pair.restore(checkpoint.load_tensors(self.folder, state))
        self._rollbacks, self._earlier = state.rollbacks, state.earlier
        self.progress = Progress(step=state.step, seconds=state.seconds, scores=state.scores)
        self.progress.spent = self.config.spent(step=state.step, seconds=state.seconds)
        self._note_change(state)

    def _note_change(self, state: State) -> None:
        """Training may go on with other facesets or consents; the model then records both."""
        before = Provenance(consents=state.consents, data=state.data)
        if before == self.provenance:
            return
        self._earlier = (*self._earlier, Earlier(**before.model_dump(), until=state.step))
        self.progress.scores = {}  # of other crops: nothing to compare with
        roles = [role for role, digest in self.provenance.data.items() if state.data.get(role) != digest]
        what = f"the faceset of the {' and of the '.join(roles)}" if roles else "a consent"
        self._warn("changed", f"{what} is not the one of the first {state.step} steps: the model will record both")


def _settled(config: TrainConfig, performers: Performers) -> dict[str, str]:
    """What a begun run cannot change."""
    people = f"{performers.likeness} over {performers.double}"
    return {"preset": config.preset, "seed": str(config.seed), "encoding": config.encoding, "": people}


def _listed(settled: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in settled.items())
