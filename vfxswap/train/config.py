"""What a training run is asked to do. Written into every checkpoint; a resumed run reads it back."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vfxswap.color import encodings
from vfxswap.errors import UsageError
from vfxswap.train import uses

Precision = Literal["auto", "fp32", "bf16"]


class TrainConfig(BaseModel):
    """One training run. `steps` or `minutes` is the budget; the schedule follows the part of it that is spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "tiny"
    use: str = "swap"
    """What for (uses.py)."""
    blend: tuple[float, ...] = ()
    """Weight of each performer of a likeness that is made of several, in their order; empty: all alike."""
    encoding: str = "srgb"
    """What the network sees and paints (color.ModelSpace); checkpoints from before it could be chosen are srgb."""
    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    """60 when neither is given."""
    batch: int = Field(default=8, ge=1)
    """Crops of each performer in a step, in each process."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Crops of each performer computed at once; all without, fewer by itself when memory is short."""
    rate: float = Field(default=6e-4, gt=0)
    judge_rate: float = Field(default=4e-4, gt=0)
    seed: int = Field(default=1, ge=0)
    precision: Precision = "auto"
    warm_up: int = Field(default=100, ge=1)
    """Steps over which the rate rises."""
    adversary_from: float = Field(default=0.6, ge=0, le=1)
    """Part of the budget after which the discriminator joins."""
    adversary_weight: float = Field(default=0.03, ge=0)
    code_noise: float = Field(default=0.35, ge=0)
    """Standard deviation of the noise that codes travel with at first."""
    least_noise: float = Field(default=0.4, ge=0, le=1)
    """The part of it that is left when it has ebbed, at five sixths of the budget and later."""
    code_power: float = Field(default=3e-5, ge=0)
    """Price of a code's power; codes travel with unit noise."""
    confusion_weight: float = Field(default=0.04, ge=0)
    """How much the encoder pays when its codes tell the performers apart."""
    matching_weight: float = Field(default=0.2, ge=0)
    gradient_penalty: float = Field(default=1.0, ge=0)
    """R1 weight, applied every `penalty_every` steps."""
    penalty_every: int = Field(default=16, ge=1)
    ema: float = Field(default=0.998, ge=0, lt=1)
    score_every_minutes: float = Field(default=3.0, gt=0)
    score_every_steps: int | None = Field(default=None, ge=1)
    """Instead of minutes: for runs that must not depend on the clock."""
    stop_early: bool = True
    """End before the budget when a probe cannot tell and the score stands still (stopping.py)."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that stay, beside the best."""
    compile: bool = False
    """torch.compile the networks."""
    tensorboard: bool = False
    """Write event files as well."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        if name not in encodings():
            raise ValueError(f"unknown model encoding {name!r}, choose one of {', '.join(encodings())}")
        return name

    @field_validator("use")
    @classmethod
    def _known_use(cls, name: str) -> str:
        try:
            uses.find(name)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return name

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        steps, minutes = data.get("steps"), data.get("minutes")
        if steps is not None and minutes is not None:
            raise ValueError("steps and minutes are both given")
        return data if steps is not None or minutes is not None else {**data, "minutes": 60.0}

    @property
    def budget(self) -> tuple[int | None, float | None]:
        """Steps or minutes."""
        return self.steps, self.minutes

    def spent(self, *, step: int, seconds: float) -> float:
        """The part of the budget that `step` steps and `seconds` of training use up; 1 and more: finished."""
        return step / self.steps if self.steps is not None else seconds / (60.0 * (self.minutes or 1.0))
