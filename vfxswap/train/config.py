"""What a training run is asked to do. Written into the model folder; a resumed run reads it back."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["auto", "fp32", "bf16"]


class TrainConfig(BaseModel):
    """One training run. `steps` or `minutes` is the budget; the schedule follows the part of it that is spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "tiny"
    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch: int = Field(default=8, ge=1)
    """Crops of each performer in a step."""
    rate: float = Field(default=6e-4, gt=0)
    judge_rate: float = Field(default=4e-4, gt=0)
    seed: int = 1
    precision: Precision = "auto"
    warm_up: int = Field(default=100, ge=1)
    """Steps over which the rate rises."""
    adversary_from: float = Field(default=0.4, ge=0, le=1)
    """Part of the budget after which the discriminator joins."""
    adversary_weight: float = Field(default=0.01, ge=0)
    matching_weight: float = Field(default=0.2, ge=0)
    gradient_penalty: float = Field(default=1.0, ge=0)
    """R1 weight, applied every `penalty_every` steps."""
    penalty_every: int = Field(default=16, ge=1)
    ema: float = Field(default=0.998, ge=0, lt=1)
    score_every_minutes: float = Field(default=3.0, gt=0)
    score_every_steps: int | None = Field(default=None, ge=1)
    """Instead of minutes: for runs that must not depend on the clock."""
