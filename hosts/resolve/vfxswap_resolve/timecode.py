"""Timecodes, drop frame included."""

from __future__ import annotations

import re

from vfxswap_bridge import BridgeError

_FORM = re.compile(r"(\d+)[:;.](\d+)[:;.](\d+)([:;.])(\d+)")


def to_frames(timecode: str, rate: float) -> int:
    """Frames since 00:00:00:00; `;` before the frames means drop frame.

    Raises:
        BridgeError: not a timecode.
    """
    match = _FORM.fullmatch(timecode.strip())
    if match is None:
        raise BridgeError(f"{timecode!r} is no timecode", "it is written 01:00:00:00")
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    base = round(rate)
    total = ((hours * 60 + minutes) * 60 + seconds) * base + frames
    if match[4] in ";.":
        whole_minutes = hours * 60 + minutes
        total -= _dropped(base) * (whole_minutes - whole_minutes // 10)
    return total


def from_frames(count: int, rate: float, *, drop: bool = False) -> str:
    """The timecode of a frame since 00:00:00:00; after a day it begins anew."""
    base = round(rate)
    if drop:
        lost = _dropped(base)
        tens, rest = divmod(count, base * 600 - 9 * lost)
        minute = base * 60 - lost
        # The first of ten minutes drops nothing.
        count += 9 * lost * tens + (lost * ((rest - lost) // minute) if rest >= base * 60 else 0)
    seconds, frames = divmod(count, base)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{';' if drop else ':'}{frames:02d}"


def moved(timecode: str, by: int, rate: float) -> str:
    """A timecode some frames later, in its own kind of counting."""
    drop = any(mark in timecode[-3:] for mark in ";.")
    return from_frames(to_frames(timecode, rate) + by, rate, drop=drop)


def _dropped(base: int) -> int:
    return 2 * (base // 30)


def same_rate(one: float, other: float) -> bool:
    """23.976 and 24000/1001 are the same, 23.976 and 24 are not."""
    return abs(one - other) < 0.004
