"""Swap the demo's shot from Python, with a line for every frame that is done.

    python examples/swap_a_shot.py OUTPUT [FRAMES]

FRAMES, such as 1003-1005, selects what is rendered; tracking and measuring cover the whole shot all the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vfxswap
from vfxswap.events import Event, FrameDone, Warned

DEMO = Path(__file__).parent / "demo"


def tell(event: Event) -> None:
    """Print what a person wants to know."""
    if isinstance(event, FrameDone):
        print(f"{event.status}: {event.path}")
    elif isinstance(event, Warned):
        print(f"warning: {event.message}")


def main(output: Path, frames: str = "") -> int:
    """Swap the shot; 0 when every frame came out."""
    try:
        report = vfxswap.swap_shot(
            DEMO / "plate" / "plate.####.exr",
            model=DEMO / "ben_over_anna.vfxmodel",
            output=output / "talk.####.exr",
            consents=sorted((DEMO / "trust").glob("*.consent.json")),
            keyring=DEMO / "trust" / "keyring",
            shot="demo/rendered/talk",
            only=frames,
            layers="ingredients",
            parameters=vfxswap.SwapParameters(relight=0.8, edge_feather=3.0),
            on_event=tell,
        )
    except vfxswap.VfxSwapError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{report.rendered} rendered, {report.skipped} there already, {len(report.failed)} failed")
    return 3 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
