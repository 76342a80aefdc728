"""Where a run stands, and what of it is settled."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vfxswap.train.config import TrainConfig
from vfxswap.train.forecast import Forecast
from vfxswap.vfxmodel import Performers


@dataclass
class Progress:
    """Where a run stands. `spent` is 0..1 of the budget."""

    step: int = 0
    seconds: float = 0.0
    spent: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    scored: int | None = None
    """Step of the scores."""
    ended: str = ""
    """Why the run ended before its budget was spent, in words."""
    outlook: Forecast | None = None
    """What the held-out PSNR of the likeness will come to."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return bool(self.ended) or self.spent >= 1.0

    @property
    def reason(self) -> str:
        """Why a finished run ended."""
        return f"ended early: {self.ended}" if self.ended else "the budget is spent"

    @property
    def left(self) -> float:
        """Seconds of training to the end of the budget, at the speed so far."""
        return max(0.0, self.seconds / max(self.spent, 1e-6) - self.seconds)


class Clock:
    """Seconds of training, counted on from `before`."""

    def __init__(self, before: float) -> None:
        self._before, self._started = before, time.monotonic()

    @property
    def seconds(self) -> float:
        """Until now."""
        return self._before + time.monotonic() - self._started


def settled(config: TrainConfig, performers: Performers) -> dict[str, str]:
    """What a begun run cannot change."""
    people = f"{performers.likeness} over {performers.double}"
    weights = " ".join(f"{weight:g}" for weight in config.blend)
    return {
        "preset": config.preset,
        "seed": str(config.seed),
        "encoding": config.encoding,
        "use": config.use,
        **({"weights": weights} if weights else {}),
        "": people,
    }


def listed(values: dict[str, str]) -> str:
    """The same in words."""
    return ", ".join(f"{name} {value}".strip() for name, value in values.items())
