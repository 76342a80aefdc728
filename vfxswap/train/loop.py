"""A training run in a model folder: spends the budget, scores, keeps checkpoints, goes back when it breaks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vfxswap.errors import Cancelled, ModelError, OutputError, ResourceError, VfxSwapError
from vfxswap.events import CancelToken
from vfxswap.models import config_from_json, preset, with_detail
from vfxswap.train import checkpoint, page, score, stopping, uses, warm
from vfxswap.train.adversarial import Pair
from vfxswap.train.bank import Bank
from vfxswap.train.checkpoint import Earlier, Provenance, State, WarmStart
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Augment, Batch, Prefetch, draw
from vfxswap.train.device import compiled, resolve_device, wants_bf16
from vfxswap.train.disguise import disguised, placement
from vfxswap.train.joined import digests, without_broken
from vfxswap.train.journal import METRICS, PREVIEW, PREVIEWS, Journal
from vfxswap.train.memory import Parts, is_out_of_memory, out_of_memory
from vfxswap.train.parallel import Ranks
from vfxswap.train.standing import Clock, Progress, listed, settled
from vfxswap.train.told import conditioned
from vfxswap.trust import Grant
from vfxswap.vfxmodel import Condition, Performers

__all__ = ["METRICS", "PREVIEW", "PREVIEWS", "Progress", "Trainer"]

_LEAST_WARP = 0.15
_MAX_BAD_STEPS = 5
_MAX_ROLLBACKS = 3
_COLLAPSE_DB = 6.0
"""A held-out score that falls this far below the last one is no noise."""

_FIRST_SCORE = 15.0
"""Seconds until a run that is scored by the clock is scored first; early scores come more often."""


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
        ranks: Ranks | None = None,
        source: warm.Source | None = None,
        others: tuple[Grant, ...] = (),
    ) -> None:
        """Set up networks and optimisers, and load the newest checkpoint when there is one.

        Args:
            folder: the model folder; of all processes the same.
            config: the run; preset, seed and encoding of a started folder must not change.
            likeness: the bank of the performer to paint.
            double: the bank of the performer to paint over.
            grant: leave to train with exactly these performers; its consents are kept in every checkpoint.
            device: auto | cpu | cuda.
            warn: called with (code, message) for what a person should know and the run survives.
            ranks: which of several processes this is (parallel.together); only the first writes and warns.
            source: the training that a new run takes its first weights from; of a started folder it is left alone.
            others: leave to train with the performers of the training that this one began from.

        Raises:
            ConsentError: a grant is for something else, or one is missing.
            ModelError: the folder holds a run of another preset, seed, encoding or other performers, or is damaged;
                or the banks are in another encoding than the run; or the source does not fit.
            FacesetError: no crop can be trained on.
        """
        self.performers = Performers(likeness=likeness.performer, double=double.performer)
        Grant.require(grant, use="train", performers=self.performers.by_role())
        self.folder, self.config = folder, config
        self.ranks = ranks or Ranks()
        self._said: list[tuple[str, str]] = []
        self._tell = warn
        self._journal: Journal | None = None
        for bank in (likeness, double):
            if bank.encoding != config.encoding:
                raise ModelError(
                    f"the crops of {bank.performer} are encoded as {bank.encoding}, the run is in {config.encoding}",
                    hint="load the bank with the run's encoding",
                )
        self.provenance = Provenance(
            consents=tuple(ref.entry() for ref in grant.consents),
            data=digests("likeness", likeness) | digests("double", double),
        )
        likeness, double = (without_broken(bank, warn=self._warn) for bank in (likeness, double))
        # From here on a bank's performer is the decoder that paints it.
        double = replace(double, performer=uses.painters(self.performers)[1])
        self.likeness, self.double = disguised(likeness, double), disguised(double, likeness)
        self._placement = placement(likeness, double)
        self.device = resolve_device(device, local=self.ranks.local)
        self.bf16 = wants_bf16(config.precision, self.device)
        use = uses.find(config.use)
        fresh = with_detail(preset(config.preset), width=use.detail)
        begun = checkpoint.load_state(folder)
        # A folder that an earlier version began goes on in its own sizes.
        self.network = fresh if begun is None else config_from_json(begun.architecture, begun.network)
        self._told: dict[str, Condition] = {}
        if self.network.condition:
            self.likeness, self.double, self._told = conditioned(
                self.likeness,
                self.double,
                count=self.network.condition,
                known=_told_before(begun, source, self.performers),
            )
        self.progress = Progress()
        self._augment = Augment(coarse=use.coarse, **({"warp": 0.0, "disguise": 0.0} if use.detail else {}))
        self._batches: Callable[[int], tuple[Batch, Batch]] = self._draw
        self._bad_steps = 0
        self._rollbacks = 0
        self._earlier: tuple[Earlier, ...] = ()
        self._warm_start: WarmStart | None = None
        self._compiled = False
        self.pair = Pair(
            self.network,
            architecture=self.network.architecture,
            likeness=likeness.performer,
            double=double.performer,
            config=config,
            device=self.device,
            bf16=self.bf16,
            parts=Parts(size=config.micro_batch or 0, ranks=self.ranks, warn=self._warn),
        )
        self._begin(source, others)

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
            OutputError, ResourceError: a checkpoint cannot be written; memory does not do for one crop.
        """
        if self.progress.finished:
            if self.ranks.leads:
                checkpoint.tidy(self.folder)
            if not page.says_finished(self.folder):
                self._write_page("finished", message=self.progress.reason)
            return self.progress
        try:
            self._open()
            with Prefetch(self._draw) as self._batches:
                self._spend(cancel, report)
        except VfxSwapError as error:
            # The page is no reason to hide why the run ended.
            with contextlib.suppress(OutputError, ResourceError):
                if isinstance(error, Cancelled):
                    self._write_page("stopped")
                else:
                    self._write_page("broken", message=str(error))
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory() from error
        finally:
            self._batches = self._draw
            if self._journal is not None:
                self._journal.close()
        self._write_page("finished", message=self.progress.reason)
        return self.progress

    def _open(self) -> None:
        """What is done once before the first step."""
        if self.config.compile:
            # Not the judge: its gradient penalty is differentiated twice, which compiled networks cannot be.
            networks = [self.pair.net.encoder, *self.pair.net.decoders.values()]
            self._compiled = compiled(networks, self.device, warn=self._warn)
        self.ranks.wait()  # nobody writes while another process still reads
        if self.ranks.leads:
            self._journal = Journal(self.folder, tensorboard=self.config.tensorboard)
            if checkpoint.load_state(self.folder) is None:
                self._save()  # what a broken run goes back to
            for code, message in self._said:
                self._journal.warned(code, message, step=self.progress.step, seconds=self.progress.seconds)
            self._write_page("running")
        self.ranks.wait()

    def _spend(self, cancel: CancelToken | None, report: Callable[[Progress], None]) -> None:
        """Step until the budget is spent. Nothing is saved among unusable steps: their cause may be in the weights."""
        clock = Clock(self.progress.seconds)
        scored = self.progress.seconds
        while not self.progress.finished or self._bad_steps:
            if self.ranks.any(cancel is not None and cancel.cancelled):
                if not self._bad_steps:
                    self._save()
                raise Cancelled("cancelled", hint="whole files are kept; run the same command again to go on")
            losses = self.train_step()
            self.progress.seconds = self.ranks.first(clock.seconds)
            self._count(losses)
            if not self._bad_steps and (self._score_due(scored) or self.progress.spent >= 1.0):
                self._score_and_save()
                # Scoring is no training: the budget does not pay for it.
                clock = Clock(self.progress.seconds)
                scored = self.progress.seconds
            self._write_page("running", now=False)
            report(self.progress)

    def train_step(self) -> dict[str, float] | None:
        """One step of painter and judge; the losses by name, or None when the step was not usable."""
        progress = self.progress
        likeness, double = self._batches(progress.step)
        return self.pair.step(
            likeness.to(self.device),
            double.to(self.device),
            step=progress.step,
            spent=progress.spent,
            rate_scale=0.5**self._rollbacks,
        )

    def _draw(self, step: int) -> tuple[Batch, Batch]:
        """This process's crops of a step."""
        spent = self.config.spent(step=step, seconds=self.progress.seconds)
        # The warp teaches the encoder to see past shape, but also blurs what the decoder learns: it ebbs.
        warp = self._augment.warp * max(_LEAST_WARP, 1 - 1.1 * spent)
        likeness, double = (
            draw(
                bank,
                count=self.config.batch,
                size=self.network.resolution,
                seed=self.config.seed,
                step=step,
                augment=replace(self._augment, warp=warp),
                first=self.ranks.rank * self.config.batch,
            )
            for bank in (self.likeness, self.double)
        )
        return likeness, double

    def _count(self, losses: dict[str, float] | None) -> None:
        """Count a step; several unusable ones in a row send the run back to its last checkpoint."""
        self.progress.step += 1
        self.progress.spent = self.config.spent(step=self.progress.step, seconds=self.progress.seconds)
        if losses is not None:
            self.progress.losses, self._bad_steps = losses, 0
            if self._journal is not None:
                self._journal.step(losses)
            return
        self._bad_steps += 1
        if self._bad_steps >= _MAX_BAD_STEPS:
            self._roll_back(f"{self._bad_steps} steps in a row gave no finite gradient")

    def _score_due(self, scored: float) -> bool:
        if self.config.score_every_steps is not None:
            return self.progress.step % self.config.score_every_steps == 0
        every = min(60 * self.config.score_every_minutes, max(_FIRST_SCORE, scored / 3))
        return self.progress.seconds - scored >= every

    # -- scores and checkpoints -------------------------------------------------------------------------------

    def _score_and_save(self) -> None:
        """Score on held-out crops; a collapsed run goes back, any other is checkpointed, listed and previewed."""
        last = self.progress.scores.get("likeness_psnr", 0.0)
        scores = self._scores() if self._journal is not None else {}
        now = self.ranks.first(scores.get("likeness_psnr", 0.0))
        if not now >= last - _COLLAPSE_DB:
            self._roll_back(f"held-out PSNR fell from {last:.1f} to {now:.1f} dB", scored=True)
            return
        self.progress.scores, self.progress.scored = scores or {"likeness_psnr": now}, self.progress.step
        self.progress.ended = self._ending(scores)
        if self._journal is None:
            return
        try:
            self._journal.scored(self._state(), rates=self.pair.rates)
            self._journal.sheet(
                self.progress.step,
                self.pair.average,
                likeness=self.likeness,
                double=self.double,
                device=self.device,
                coarse=self._augment.coarse,
            )
        finally:
            # Last: a run that is killed before it goes back and says all this again, after it nothing is missing. And
            # in any case: no picture that cannot be written is worth the weights.
            self._save()
        end = self.progress.seconds / max(self.progress.spent, 1e-6)
        self.progress.outlook = self._journal.outlook(end=end) if self.progress.spent < 1 else None
        self._write_page("running")

    def _ending(self, scores: dict[str, float]) -> str:
        """Why the run may end now, in words; the same for all processes."""
        judging = self.config.adversary_weight == 0 or self.progress.spent >= self.config.adversary_from
        reason = ""
        if self._journal is not None and self.config.stop_early and judging and self.progress.spent < 1.0:
            reason = stopping.done([*self._journal.scores(), scores])
        ends = self.ranks.first(float(bool(reason)))
        return reason or ("another process says so" if ends else "")

    def _scores(self) -> dict[str, float]:
        pair = self.pair
        return score.held_out(
            pair.average,
            pair.judge,
            likeness=self.likeness,
            double=self.double,
            device=self.device,
            coarse=self._augment.coarse,
        )

    def _state(self) -> State:
        return State(
            step=self.progress.step,
            config=self.config,
            architecture=self.network.architecture,
            network=self.network.to_json(),
            performers=self.performers,
            seconds=self.progress.seconds,
            scores=self.progress.scores,
            scored=self.progress.scored,
            precision="bf16" if self.bf16 else "fp32",
            device=self.device.type,
            ended=self.progress.ended,
            rollbacks=self._rollbacks,
            placement=self._placement,
            told=self._told,
            consents=self.provenance.consents,
            data=self.provenance.data,
            earlier=self._earlier,
            warm_start=self._warm_start,
            micro_batch=self.pair.parts.size,
            processes=self.ranks.count,
            compiled=self._compiled,
        )

    def _save(self) -> None:
        """Write a checkpoint from which the run continues as if never broken."""
        if self.ranks.leads:
            checkpoint.save(self.folder, tensors=self.pair.tensors(), state=self._state())

    def _roll_back(self, reason: str, *, scored: bool = False) -> None:
        """Go on from the last checkpoint, or the last one that was scored, with half the rate.

        Raises:
            ModelError: that was done too often.
        """
        state = checkpoint.load_state(self.folder)
        if state is None or self._rollbacks >= _MAX_ROLLBACKS:
            raise ModelError(
                f"{reason} at step {self.progress.step}, after {self._rollbacks} rollbacks",
                path=self.folder,
                hint="the last good checkpoint is kept; train again with another --seed or --precision fp32",
            )
        if scored:
            good = [s for s in checkpoint.kept(self.folder) if s.quality is not None and s.step <= state.step]
            state = good[-1] if good else state
        self._rollbacks += 1
        self._bad_steps = 0
        state, tensors = checkpoint.load_whole(self.folder, state, warn=self._warn)
        self.pair.restore(tensors)
        self._warn(
            "rollback",
            f"{reason} at step {self.progress.step}: back to step {state.step} with 1/{2**self._rollbacks} of the rate",
        )
        self._stand_at(state, seconds=self.progress.seconds)

    def _stand_at(self, state: State, *, seconds: float) -> None:
        self.progress.step, self.progress.seconds = state.step, seconds
        self.progress.scores, self.progress.scored = state.scores, state.scored
        self.progress.spent = self.config.spent(step=state.step, seconds=seconds)

    # -- beginning and going on -------------------------------------------------------------------------------

    def _begin(self, source: warm.Source | None, others: tuple[Grant, ...]) -> None:
        state = checkpoint.load_state(self.folder)
        if state is not None:
            self._resume(state, others)
        elif source is not None:
            self._warm_start, self._earlier = warm.begin(self.pair, source, state=self._state())
        if not self.ranks.same(self.progress.step):
            raise ModelError(
                "the processes do not see the same checkpoint", path=self.folder, hint="use a folder that all can read"
            )

    def _resume(self, state: State, others: tuple[Grant, ...]) -> None:
        started, wanted = settled(state.config, state.performers), settled(self.config, self.performers)
        if started != wanted:
            raise ModelError(
                f"this folder was started with {listed(started)}, not with {listed(wanted)}",
                path=self.folder,
                hint="use another folder or the same arguments",
            )
        state, tensors = checkpoint.load_whole(self.folder, state, warn=self._warn)
        self.pair.restore(tensors)
        self._rollbacks, self._warm_start = state.rollbacks, state.warm_start
        self._earlier = (*state.earlier, *warm.renewed(state, others))
        if self.config.micro_batch == state.config.micro_batch and self.config.batch == state.config.batch:
            self.pair.parts.size = state.micro_batch
        self._stand_at(state, seconds=state.seconds)
        if self.config.stop_early and self.config.budget == state.config.budget:
            self.progress.ended = state.ended  # a larger budget asks for more
        self._note_change(state)

    def _note_change(self, state: State) -> None:
        """Training may go on with other facesets or consents; the model then records both."""
        if state.step and state.processes != self.ranks.count:
            self._warn("changed", f"{self.ranks.count} processes instead of {state.processes}: a step sees other crops")
        before = Provenance(consents=state.consents, data=state.data)
        if before == self.provenance:
            return
        self._earlier = (*self._earlier, Earlier(**before.model_dump(), until=state.step))
        self.progress.scores, self.progress.scored = {}, None  # of other crops: nothing to compare with
        now, then = self.provenance.data, state.data
        roles = sorted({name.split()[0] for name in now.keys() | then.keys() if now.get(name) != then.get(name)})
        roles.sort(reverse=True)  # the likeness first
        what = f"the faceset of the {' and of the '.join(roles)}" if roles else "a consent"
        self._warn("changed", f"{what} is not the one of the first {state.step} steps: the model will record both")

    # -- people -----------------------------------------------------------------------------------------------

    def _warn(self, code: str, message: str) -> None:
        if not self.ranks.leads:
            return
        self._tell(code, message)
        if self._journal is None:
            self._said.append((code, message))
        else:
            self._journal.warned(code, message, step=self.progress.step, seconds=self.progress.seconds)

    def _write_page(self, status: page.Status, *, now: bool = True, message: str = "") -> None:
        if not self.ranks.leads:
            return
        journal = self._journal or Journal(self.folder, tensorboard=False)
        progress = self.progress
        standing = page.Standing(
            status=status,
            spent=progress.spent,
            seconds=progress.seconds,
            step=progress.step,
            rate=progress.step / progress.seconds if progress.seconds else 0.0,
            left=progress.left,
            outlook=progress.outlook,
            message=message,
        )
        journal.write_page(self._state(), standing=standing, now=now)


def _told_before(begun: State | None, source: warm.Source | None, performers: Performers) -> dict[str, Condition]:
    """What standardised what the network was told until now, if it was told anything of these performers."""
    if begun is not None:
        return begun.told
    return source.state.told if source is not None and source.state.performers == performers else {}
