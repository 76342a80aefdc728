"""Reads and rewrites EXR files in a process of its own, one per line of standard input, and says what came of each.

A line in is `[source, target]`, a line out `[outcome, word]`: "kept" with the notes of the report, "refused" with the
error's text, or "escaped" with an exception that users should never see.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from vfxswap import exr
from vfxswap.errors import VfxSwapError


def work(source: Path, target: Path) -> tuple[str, str]:
    try:
        frame = exr.read(source)
        edit = exr.Edit(frame=frame, rgb=frame.rgb, window=frame.origin_window)
        return "kept", "; ".join(exr.write_frame(frame, target, edits=[edit]).notes)
    except VfxSwapError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - that there is none is what the test looks for
        return "escaped", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
    for line in sys.stdin:
        print(json.dumps(work(*(Path(name) for name in json.loads(line)))), flush=True)
