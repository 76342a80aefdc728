"""A process that must not outlive the one that started it, however that one ends.

torchrun puts each of its processes into a session of its own, so an engine that kills a task (SIGKILL to its process
group) does not reach them: they would train on beside the task that takes the killed one's place. Who starts them
holds the other end of their standard input, which the system closes when it is gone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Final

from vfxswap.events import CancelToken

VARIABLE: Final = "VFXSWAP_LIFELINE"
"""Environment variable that says what stands for whoever started this: `stdin`, or nothing."""


def hold(token: CancelToken, environ: Mapping[str, str] | None = None) -> None:
    """Cancel `token` when the standard input ends, where the environment says that it is a lifeline."""
    if (os.environ if environ is None else environ).get(VARIABLE) != "stdin":
        return

    def watch() -> None:
        # Straight from the descriptor: a thread that waits in a buffered reader breaks the interpreter's end.
        while os.read(0, 1):
            pass
        token.cancel()

    threading.Thread(target=watch, daemon=True).start()
