"""A batch in as few parts as memory allows.

Gradients are summed over the parts, each weighted by its share of the batch. All losses are means over crops, so the
sum is the gradient of the whole batch but for rounding.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from vfxswap.errors import ResourceError
from vfxswap.train.data import Batch
from vfxswap.train.parallel import Ranks

_T = TypeVar("_T")
_SIGNS = re.compile(
    "can't allocate memory|out of memory|bad_alloc|could not create a memory|could not create a primitive$"
)
"""What torch, CUDA, C++ and (the last two) oneDNN say. Of a primitive that it does not have oneDNN says more."""


@dataclass(frozen=True)
class Rows:
    """Which crops of a step's whole batch (of each performer, over all processes) these are: `start` to `stop`."""

    start: int
    stop: int
    total: int


@dataclass
class Parts:
    """Splits batches; the parts are halved whenever one does not fit.

    Attributes:
        size: crops of each performer at once; 0: all.
        ranks: which crops of the step are this process's.
        warn: called with (code, message) when the parts get smaller.
    """

    size: int = 0
    ranks: Ranks = field(default_factory=Ranks)
    warn: Callable[[str, str], None] = field(default=lambda _code, _message: None)

    def run(self, count: int, work: Callable[[slice, float], _T], *, clear: Callable[[], None]) -> list[_T]:
        """What `work(part, share of the batch)` gives for each part of `count` crops, in order.

        Args:
            count: crops of each performer in this process.
            work: computes a part and adds to the gradients.
            clear: forgets the gradients; called before every attempt.

        Raises:
            ResourceError: not even one crop fits.
        """
        while True:
            clear()
            found, failed = self._attempt(count, work)
            # All processes take parts of one size: they would wait for each other otherwise.
            if not self.ranks.any(failed):
                return found
            found.clear()
            self._halve(count)

    def rows(self, part: slice, count: int) -> Rows:
        """A part of this process's `count` crops as rows of the whole step."""
        first = self.ranks.rank * count
        return Rows(first + part.start, first + part.stop, count * self.ranks.count)

    def _attempt(self, count: int, work: Callable[[slice, float], _T]) -> tuple[list[_T], bool]:
        size = min(self.size or count, count)
        found: list[_T] = []
        try:
            for start in range(0, count, size):
                part = slice(start, min(start + size, count))
                found.append(work(part, (part.stop - part.start) / count))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return found, True
        return found, False

    def _halve(self, count: int) -> None:
        # Out of the except block: its traceback holds on to the tensors of the failed part.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = min(self.size or count, count)
        if size == 1:
            raise out_of_memory()
        self.size = -(-size // 2)
        self.warn(
            "memory",
            f"out of memory with {size} crops of each performer at once: now {self.size} at a time, "
            f"the batch is still {count}",
        )


def part_of(batch: Batch, part: slice) -> Batch:
    """Some crops of a batch, without copying them."""
    tensors = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return dataclasses.replace(batch, **{n: t[part] for n, t in tensors.items() if isinstance(t, Tensor)})


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch raises when memory is short, on CUDA and on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _SIGNS.search(str(error).strip()) is not None


def out_of_memory() -> ResourceError:
    """The error when nothing smaller is left to try."""
    return ResourceError(
        "out of memory", hint="close other programs, choose a smaller --preset, or train on a larger machine"
    )
