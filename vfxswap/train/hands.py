"""Hands: palm, fingers and wrist as rods, in skin, under a lamp."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F32, F64
from vfxswap.train.drawing import Lamp, any_color, capsule, covered, mixed, noise, painted, plane

SKIN = np.array([0.72, 0.55, 0.47])
"""sRGB codes of the skin that hands are drawn in."""

_POSES = {"open": 0.35, "together": 0.15, "fist": 0.1, "point": 0.15, "loose": 0.25}
"""How often hands do what: skin that shows between spread fingers is the hardest to tell."""


def hand(rng: np.random.Generator, size: int, lamp: Lamp) -> tuple[F32, F32]:
    """(S, S, 3) sRGB codes and (S, S) coverage of a hand; its arm leaves the picture at the lower border."""
    rods = _bones(rng)
    distance, height = np.full((size, size), 9, np.float32), np.zeros((size, size), np.float32)
    codes = painted(size, SKIN) * np.exp(0.03 * noise(rng, size, cells=5))[..., None]
    back, lines = rng.random() < 0.5, rng.uniform(0.1, 0.35)
    for start, end, first, last, tip in rods:
        d, h, along, _ = capsule(size, start, end, first, last)
        above = h > height
        distance, height = np.minimum(distance, d), np.maximum(height, h)
        if tip is None:
            continue
        # Fingers show their joints, redder tips and, from behind, nails.
        joint = np.exp(-(((along - 0.02) * np.hypot(*(end - start)) / 0.012) ** 2)) * above
        codes = mixed(codes, SKIN * [0.62, 0.5, 0.48], np.asarray(lines * joint, np.float32))
        if tip:
            red = np.clip(along - 0.3, 0, 1) * above * 0.35
            codes = mixed(codes, SKIN * [1.08, 0.85, 0.85], np.asarray(red, np.float32))
            if back:
                codes = _nail(codes, start, end, last, above)
    # The hollow where two rods meet is dark: little light gets in.
    deep = np.clip(height / 0.05, 0, 1)
    soft = np.asarray(cv2.GaussianBlur(height, (0, 0), 0.008 * size), np.float32)
    codes = codes * lamp.gain(soft) * (0.78 + 0.22 * deep)[..., None]
    if rng.random() < 0.4:
        codes = _sleeved(rng, codes, size)
    return np.asarray(codes, np.float32), covered(distance)


def _nail(codes: F32, start: F64, end: F64, radius: float, above: NDArray[np.bool_]) -> F32:
    x, y = plane(codes.shape[0])
    way = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    dx, dy = x - (end[0] + 0.1 * radius * way[0]), y - (end[1] + 0.1 * radius * way[1])
    u, v = dx * way[0] + dy * way[1], -dx * way[1] + dy * way[0]
    inside = np.clip((1 - np.hypot(u / (0.75 * radius), v / (0.6 * radius))) * 4, 0, 1) * above
    return mixed(codes, SKIN * [1.15, 1.1, 1.12], np.asarray(0.6 * inside, np.float32))


def _sleeved(rng: np.random.Generator, codes: F32, size: int) -> F32:
    _, y = plane(size)
    edge = covered(np.asarray(rng.uniform(0.55, 0.85) + 0.02 * noise(rng, size, cells=3, octaves=1) - y, np.float32))
    cloth = painted(size, any_color(rng)) * np.exp(0.12 * noise(rng, size, cells=6))[..., None]
    shading = codes.mean(axis=2, keepdims=True) / SKIN.mean()
    return np.asarray(codes + edge[..., None] * (cloth * shading - codes), np.float32)


def _bones(rng: np.random.Generator) -> list[tuple[F64, F64, float, float, bool | None]]:
    """Rods of a hand: start, end, radii, and whether it is a fingertip (None: not a finger)."""
    pose = rng.choice(list(_POSES), p=list(_POSES.values()))
    spread = {"open": rng.uniform(0.12, 0.34), "together": rng.uniform(0, 0.04)}.get(pose, rng.uniform(0.03, 0.12))
    thick, grow = rng.uniform(0.85, 1.15), rng.uniform(1.1, 1.55)
    wrist = np.array([0.0, 0.5]) * grow
    rods: list[tuple[F64, F64, float, float, bool | None]] = [
        (wrist, np.array([0.0, 2.0]), 0.19 * grow * thick, 0.23 * grow * thick, None)
    ]
    lean = rng.normal(0, 0.12)
    for finger, (x, y, length) in enumerate(
        ((-0.21, -0.02, 0.42), (-0.07, -0.07, 0.48), (0.07, -0.05, 0.45), (0.2, 0.03, 0.35))
    ):
        at, radius = np.array([x, y]) * grow, 0.073 * grow * thick * (1 - 0.12 * (finger == 3))
        rods.append((wrist + np.array([0.45 * x, -0.06]), at, 0.13 * grow * thick, 0.095 * grow * thick, None))
        straight = {"open": rng.uniform(0.85, 1), "together": rng.uniform(0.8, 1), "fist": rng.uniform(0.15, 0.3)}.get(
            pose, rng.uniform(0.4, 1)
        )
        if pose == "point":
            straight = 1.0 if finger == 0 else rng.uniform(0.15, 0.3)
        angle, curl = lean + (finger - 1.5) * spread + rng.normal(0, 0.04), rng.normal(0, 0.08)
        for bone, part in enumerate((0.45, 0.3, 0.25)):
            # A bent finger points at the camera or away from it: its outer bones look shorter.
            seen = length * grow * part * straight ** (0.6 + 0.5 * bone)
            after = at + seen * np.array([math.sin(angle), -math.cos(angle)])
            slim = 1 - 0.1 * bone
            rods.append((at, after, radius * slim, radius * (slim - 0.08), bone == 2))
            at, angle = after, angle + curl
    at, angle = np.array([-0.17, 0.32]) * grow, -rng.uniform(0.25, 1.2)
    for bone, part in enumerate((0.26, 0.17)):
        after = at + part * grow * np.array([math.sin(angle), -math.cos(angle)])
        rods.append((at, after, (0.105 - 0.02 * bone) * grow * thick, (0.085 - 0.02 * bone) * grow * thick, bone == 1))
        at, angle = after, angle + rng.uniform(0, 0.5)
    return rods
