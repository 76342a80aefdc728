"""One training in several processes (`torchrun`): each takes its own crops, all take the same step.

Gradients are averaged by hand before every optimiser step, as one flat tensor for each network: the pair has
networks that are frozen in turns and passes that skip a decoder, which wrappers of modules do not like. What is not a
number in one process is not a number in all of them afterwards, so all leave out the same step.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from vfxswap.errors import ResourceError, UsageError

_PATIENCE = timedelta(hours=1)
"""How long a process waits for another: the first one scores and writes while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is. The default is a training in one process, for which nothing is sent."""

    rank: int = 0
    count: int = 1
    local: int = 0
    """Its number on this machine: the CUDA device it takes."""

    @property
    def leads(self) -> bool:
        """True for the one process that writes, scores and speaks."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """True when it is true in any process."""
        return bool(self._reduced(torch.tensor(float(flag)), distributed.ReduceOp.MAX) > 0)

    def same(self, value: float) -> bool:
        """True when all processes have the same value."""
        both = self._reduced(torch.tensor([value, -value], dtype=torch.float64), distributed.ReduceOp.MAX)
        return bool(both[0] == -both[1])

    def first(self, value: float) -> float:
        """The value of the first process."""
        own = value if self.leads else 0.0
        return float(self._reduced(torch.tensor(own, dtype=torch.float64), distributed.ReduceOp.SUM))

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of each value over the processes, which all have the same names."""
        if self.count == 1:
            return dict(values)
        total = self._reduced(torch.tensor(list(values.values()), dtype=torch.float64), distributed.ReduceOp.SUM)
        return dict(zip(values, (total / self.count).tolist(), strict=True))

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Put the mean over the processes into every gradient that there is."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        self._reduced(flat, distributed.ReduceOp.SUM)
        flat /= self.count
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def wait(self) -> None:
        """Return when all processes have come here."""
        self._reduced(torch.zeros(()), distributed.ReduceOp.SUM)

    def _reduced(self, x: Tensor, how: distributed.ReduceOp.RedOpType) -> Tensor:
        if self.count == 1:
            return x
        try:
            distributed.all_reduce(x, op=how)
        except RuntimeError as error:
            raise ResourceError(
                "another process of this training has ended", hint="see what it said; run the same command again"
            ) from error
        return x


def launched() -> Ranks:
    """What torchrun told this process; one process without it. Raises UsageError when it makes no sense."""
    try:
        rank, count, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except ValueError as error:
        raise UsageError("RANK, WORLD_SIZE or LOCAL_RANK is not a number", hint="start with torchrun") from error
    return Ranks(rank, count, local) if count > 1 else Ranks()


@contextlib.contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Hold the connection between the processes: gloo for tensors on the CPU, NCCL for those on CUDA devices."""
    if ranks.count == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    try:
        distributed.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ResourceError(f"the processes do not find each other: {error}", hint="start with torchrun") from error
    try:
        yield
        # The first process scores and writes while the others are done: none lets go while another holds on.
        ranks.wait()
    finally:
        distributed.destroy_process_group()
