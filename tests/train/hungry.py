"""One step of a pair in a process that may take only so many bytes more than it has; what came of it as JSON.

python hungry.py BATCH [BYTES]
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from vfxswap.errors import ResourceError
from vfxswap.models import preset
from vfxswap.train.adversarial import Pair
from vfxswap.train.config import TrainConfig
from vfxswap.train.data import Batch
from vfxswap.train.memory import Parts, is_out_of_memory, out_of_memory

SIZE = 64


def batch(count: int, seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)

    def draw(channels: int) -> torch.Tensor:
        return torch.rand(count, channels, SIZE, SIZE, generator=random)

    return Batch(warped=draw(3), target=draw(3), mask=draw(1), weight=draw(1), core=draw(1))


def pair(said: list[str]) -> Pair:
    return Pair(
        preset("test"),
        architecture="autoencoder",
        likeness="ben",
        double="anna",
        config=TrainConfig(preset="test", steps=10, precision="fp32", seed=3),
        device=torch.device("cpu"),
        bf16=False,
        parts=Parts(warn=lambda code, message: said.append(f"{code}: {message}")),
    )


def size_now() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def main(count: int, more: int | None) -> None:
    torch.set_num_threads(1)
    said: list[str] = []
    likeness, double = batch(count, 1), batch(count, 2)
    # What a first step loads for good is not to be held against the second.
    pair([]).step(batch(1, 1), batch(1, 2), step=1, spent=0.9)
    one = pair(said)
    if more is not None:
        resource.setrlimit(resource.RLIMIT_AS, (size_now() + more, size_now() + more))
    try:
        losses = one.step(likeness, double, step=1, spent=0.9)
    except (RuntimeError, MemoryError, ResourceError) as error:
        # As in Trainer.run: what fails outside of the parts is no smaller for being halved.
        if not isinstance(error, ResourceError) and not is_out_of_memory(error):
            raise
        said_so = error if isinstance(error, ResourceError) else out_of_memory()
        print(json.dumps({"error": str(said_so), "code": said_so.exit_code}))
        return
    print(json.dumps({"losses": losses, "at_once": one.parts.size, "said": said}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
