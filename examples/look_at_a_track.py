"""Track a plate and print what it says of each frame: where the face is, how it is turned, how sure the tracker is.

python examples/look_at_a_track.py PLATE [FRAMES]
"""

from __future__ import annotations

import sys

import vfxswap


def main(plate: str, frames: str = "") -> int:
    """Print a line for each frame of the most prominent face."""
    try:
        track = vfxswap.track_shot(plate, frames=frames)
    except vfxswap.VfxSwapError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for frame, face in track.face(None).items():
        x0, y0, x1, y1 = face.box
        pitch, yaw, roll = face.pose_deg
        print(
            f"{frame}: {x1 - x0:.0f} x {y1 - y0:.0f} pixels at {x0:.0f},{y0:.0f},"
            f" pitch {pitch:.0f} yaw {yaw:.0f} roll {roll:.0f} degrees, confidence {face.confidence:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
