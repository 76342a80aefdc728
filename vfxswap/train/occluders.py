"""Synthetic occluders with their true coverage: hands, bars, strands of hair, things, glints of light.

A pool of sprites is drawn from formulas, without any picture. Each is a pure function of its number and raster;
`cover` lays one or two of them over a crop, turned, scaled, mirrored and recoloured by the caller's dice.

Sprites are premultiplied sRGB codes: edges mix in codes, as a plate's grain and scaling do in a viewer, not as light
would. At a one-pixel edge that moves the half-way contour by a small part of a pixel, which no mask shows. What reaches
a sprite's border goes on beyond it, so arms and bars leave the picture however small the sprite is laid down.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vfxswap.pixels import F32, F64
from vfxswap.train.drawing import Lamp, any_color, box, capsule, covered, mixed, noise, painted, plane
from vfxswap.train.hands import SKIN, hand

Bytes = NDArray[np.uint8]

POOL = 1024
"""How many sprites there are."""

_DARK, _LIGHT = np.array([0.32, 0.20, 0.15]), np.array([0.93, 0.79, 0.71])
_HAIR = np.array([[0.07, 0.06, 0.05], [0.25, 0.16, 0.10], [0.45, 0.31, 0.19], [0.75, 0.62, 0.42], [0.6, 0.6, 0.6]])

_ONLY_SHADOW = 0.18
"""Part of the occluders that stay out of the picture and only throw their shadow into it."""

_TWO = 0.15
"""Part of the occluded crops that get a second occluder."""


@dataclass(frozen=True)
class Sprite:
    """One occluder.

    Attributes:
        rgba: (T, T, 4) premultiplied sRGB codes and coverage.
        shade: (T, T) the codes' gain behind it: its soft shadow; 255 is none.
        skin: it takes the tone of a skin.
        glint: it is mirrored light: as bright as can be, without a shadow.
    """

    rgba: Bytes
    shade: Bytes
    skin: bool
    glint: bool


@dataclass(frozen=True)
class Layer:
    """What lies over a crop; float32, crop raster.

    Attributes:
        color: (3, S, S) premultiplied sRGB codes.
        alpha: (S, S) coverage.
        shade: (S, S) gain of the sRGB codes behind.
    """

    color: F32
    alpha: F32
    shade: F32


def cover(rng: np.random.Generator, *, size: int, tone: F64) -> Layer:
    """Lay an occluder, sometimes two, over a crop of `size` pixels.

    Args:
        rng: where all chance comes from; nothing else decides.
        size: side of the crop.
        tone: (3,) sRGB codes of the performer's skin: half of the hands are theirs.
    """
    layer = _laid(rng, size, tone)
    if rng.random() >= _TWO:
        return layer
    over = _laid(rng, size, tone)
    left = 1 - over.alpha
    return Layer(
        over.color + layer.color * (left * over.shade),
        over.alpha + layer.alpha * left,
        layer.shade * over.shade,
    )


def _laid(rng: np.random.Generator, size: int, tone: F64) -> Layer:
    found = sprite(int(rng.integers(POOL)), size=min(256, size))
    side = found.shade.shape[0]
    angle, scale = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(math.log(0.75), math.log(1.5)))
    wide = scale * math.exp(rng.normal(0, 0.12)) * (1 if rng.random() < 0.5 else -1)
    place = np.clip(rng.normal(0, 0.3, 2), -0.7, 0.7) * size / 2
    c, s, grow = math.cos(angle), math.sin(angle), size / side
    turn = np.array([[c * wide, -s * scale], [s * wide, c * scale]]) * grow
    # From pixel centres of the crop back to those of the sprite.
    back = np.linalg.inv(turn)
    offset = (side - 1) / 2 - back @ ((size - 1) / 2 + place)
    matrix = np.concatenate([back, offset[:, None]], axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rgba = cv2.warpAffine(found.rgba, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    shade = cv2.warpAffine(found.shade, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.05, 3))
    if found.glint:
        gain = np.ones(3)
    if found.skin:
        gain = gain * (tone if rng.random() < 0.5 else _DARK + (_LIGHT - _DARK) * rng.random()) / SKIN
    planes = cv2.split(rgba)
    if rng.random() < _ONLY_SHADOW:
        return Layer(np.zeros((3, size, size), np.float32), np.zeros((size, size), np.float32), _unit(shade))
    alpha = _unit(planes[3])
    color = np.stack([np.minimum(_unit(planes[i], gain[i]), alpha) for i in range(3)])
    return Layer(color, alpha, _unit(shade))


def _unit(codes: Any, gain: float = 1.0) -> F32:
    """Codes of eight bits as float32 of 0..`gain`."""
    return np.asarray(np.multiply(codes, np.float32(gain / 255), dtype=np.float32), np.float32)


@functools.lru_cache(maxsize=2 * POOL)
def sprite(number: int, *, size: int) -> Sprite:
    """The occluder of a number at (size, size): always the same."""
    rng = np.random.default_rng([20, number])
    draw = _KINDS[int(rng.choice(len(_KINDS), p=_CHANCE))]
    lamp = Lamp.placed(rng)
    codes, alpha = draw(rng, size, lamp)
    rgba = np.dstack([np.clip(codes, 0, 1) * alpha[..., None], alpha]).astype(np.float32)
    rgba = _blurred(rng, rgba)
    out = np.round(np.clip(rgba, 0, 1) * 255).astype(np.uint8)
    shade = np.round(_shadow(rng, rgba[..., 3], lamp) * 255).astype(np.uint8)
    if draw is _glint:
        shade[:] = 255
    for array in (out, shade):
        array.setflags(write=False)
    return Sprite(out, shade, draw is hand, draw is _glint)


def _blurred(rng: np.random.Generator, rgba: F32) -> F32:
    """Out of focus or moving, sometimes; a lens's softness always."""
    side, chance = rgba.shape[0], rng.random()
    if chance < 0.15:
        reach = max(3, int(side * rng.uniform(0.03, 0.09))) | 1
        kernel = np.zeros((reach, reach), np.float32)
        angle, middle = rng.uniform(0, math.pi), (reach - 1) / 2
        ends = middle + np.array([-1, 1])[:, None] * middle * np.array([math.cos(angle), math.sin(angle)])
        cv2.line(kernel, tuple(map(int, ends[0].round())), tuple(map(int, ends[1].round())), 1.0, 1, cv2.LINE_AA)
        return np.asarray(cv2.filter2D(rgba, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)
    sigma = rng.uniform(0.6, 2.5) * side / 128 if chance < 0.35 else rng.uniform(0.25, 0.6)
    return np.asarray(cv2.GaussianBlur(rgba, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _shadow(rng: np.random.Generator, alpha: F32, lamp: Lamp) -> F32:
    """Gain of what lies behind, near or further off; none, sometimes."""
    return lamp.shadow(alpha, distance=0.6 * rng.random() ** 2, dark=max(0.0, rng.uniform(-0.25, 0.8)))


# -- bars, strands ----------------------------------------------------------------------------------------------------


def _bar(rng: np.random.Generator, size: int, lamp: Lamp) -> tuple[F32, F32]:
    """A pole, a rail, a cable; or a stand with a microphone on it."""
    x, y = plane(size)
    radius = math.exp(rng.uniform(math.log(0.02), math.log(0.16)))
    bent = rng.normal(0, 0.12) * np.cos(y * rng.uniform(0.5, 1.6)) if rng.random() < 0.3 else np.zeros_like(y)
    off = (x - bent) / radius
    round_ = np.sqrt(np.clip(1 - off**2, 0, 1))
    distance = np.asarray((np.abs(off) - 1) * radius, np.float32)
    shine = rng.uniform(0, 0.6) * np.exp(-(((off - rng.uniform(-0.6, 0.6)) / rng.uniform(0.08, 0.4)) ** 2))
    flat = rng.random() < 0.25
    light = 0.35 + 0.65 * (np.clip(0.7 + 0.2 * off, 0, 1) if flat else round_) + rng.normal(0, 0.15) * y
    codes = painted(size, any_color(rng)) * np.asarray(light, np.float32)[..., None]
    codes = mixed(codes, [0.95, 0.95, 0.93], np.asarray(shine, np.float32))
    if rng.random() < 0.3:
        band = covered(np.asarray(np.abs(y - rng.uniform(-0.5, 0.5)) - rng.uniform(0.03, 0.15), np.float32))
        codes = mixed(codes, any_color(rng), band * 0.9)
    if rng.random() < 0.35:
        head = rng.uniform(0.12, 0.26)
        ball, height, _, _ = capsule(size, np.array([0.0, 0.0]), np.array([0.0, head * 0.7]), head, head * 0.7)
        mesh = 0.75 + 0.25 * np.sign(np.sin(x * 90) * np.sin(y * 90))
        knob = painted(size, any_color(rng) * 0.7) * mesh[..., None] * lamp.gain(height)
        part = covered(ball)
        codes = codes + part[..., None] * (knob - codes)
        distance = np.minimum(np.maximum(distance, -y), ball)
    return np.asarray(codes, np.float32), covered(distance)


def _strands(rng: np.random.Generator, size: int, _lamp: Lamp) -> tuple[F32, F32]:
    """Hair that hangs in from the upper border: single strands or a lock, thin enough to let light through."""
    fine = 3
    side = size * fine
    alpha, tone = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    lock = rng.random() < 0.5
    count = int(rng.integers(25, 90) if lock else rng.integers(4, 16))
    root, end = rng.uniform(-0.4, 0.4), np.array([rng.uniform(-0.6, 0.6), rng.uniform(0.1, 1.0)])
    bow, width = rng.normal(0, 0.35, 2), (0.09 if lock else 0.35)
    along = np.linspace(0, 1, 24)[:, None]
    opaque = rng.uniform(0.35, 0.95)
    for _ in range(count):
        start = np.array([root + rng.normal(0, width), -1.1])
        stop = end + rng.normal(0, width, 2)
        middle = (start + stop) / 2 + bow + rng.normal(0, width * 0.6, 2)
        path = (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * stop
        points = np.round((path + 1) / 2 * side * 16).astype(np.int32)[:, None]
        thick = int(rng.integers(1, 3 if size < 96 else 5))
        one = np.zeros((side, side), np.uint8)
        cv2.polylines(one, [points], False, 255, thick, cv2.LINE_AA, 4)
        here = one.astype(np.float32) * np.float32(opaque / 255)
        tone += here * (np.float32(rng.normal(0, 0.25)) - tone)
        alpha += here * (1 - alpha)
    alpha, tone = (
        np.asarray(cv2.resize(a, (size, size), interpolation=cv2.INTER_AREA), np.float32) for a in (alpha, tone)
    )
    gloss = rng.uniform(0, 0.5) * np.exp(-(((plane(size)[1] - rng.uniform(-0.6, 0.6)) / 0.25) ** 2))
    color = _HAIR[rng.integers(len(_HAIR))] * math.exp(rng.normal(0, 0.15))
    return np.asarray(painted(size, color) * np.exp(tone + gloss)[..., None], np.float32), alpha


# -- light ------------------------------------------------------------------------------------------------------------


def _glint(rng: np.random.Generator, size: int, _lamp: Lamp) -> tuple[F32, F32]:
    """Small spots of mirrored light, hot on wet or oily skin: the plate's, like whatever is before the face."""
    x, y = plane(size)
    light = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 6))):
        at, turn = rng.normal(0, 0.3, 2), rng.uniform(0, math.pi)
        wide = math.exp(rng.uniform(math.log(0.02), math.log(0.1)))
        long = wide * math.exp(abs(rng.normal(0, 0.5)))
        u = (x - at[0]) * math.cos(turn) + (y - at[1]) * math.sin(turn)
        v = (y - at[1]) * math.cos(turn) - (x - at[0]) * math.sin(turn)
        hot = math.exp(rng.uniform(math.log(1.0), math.log(30.0)))
        light += np.float32(hot) * np.exp(-0.5 * ((u / long) ** 2 + (v / wide) ** 2)).astype(np.float32)
    # Of the light that leaves a spot the mirrored part is this much, beside skin of middle grey.
    part = light / (light + 0.3)
    tint = np.clip(1 + rng.normal(0, 0.03, 3), 0, 1)
    return painted(size, tint), np.asarray(np.clip((part - 0.5) / 0.4, 0, 1), np.float32)


# -- things -----------------------------------------------------------------------------------------------------------


def _cup(rng: np.random.Generator, size: int, _lamp: Lamp) -> tuple[F32, F32]:
    x, y = plane(size)
    half, tall = rng.uniform(0.2, 0.38), rng.uniform(0.28, 0.5)
    taper = half * (1 - rng.uniform(0, 0.3) * (y + tall) / (2 * tall))
    rim = rng.uniform(0.05, 0.12)
    wall = np.maximum(np.abs(x) - taper, np.abs(y + rim * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1))) - tall)
    lid = (np.hypot(x / half, (y + tall) / rim) - 1) * rim
    ring = np.abs(np.hypot((x - half) / 0.8, y) - 0.18) - 0.045
    distance = np.minimum(wall, lid) if rng.random() < 0.4 else np.minimum(np.minimum(wall, lid), ring)
    off = np.clip(x / taper, -1, 1)
    light = 0.55 + 0.45 * np.sqrt(1 - off**2) + rng.normal(0, 0.25) * off
    codes = painted(size, any_color(rng)) * np.asarray(light, np.float32)[..., None]
    if rng.random() < 0.5:
        codes = mixed(codes, any_color(rng), covered(np.asarray(np.abs(y - 0.1) - rng.uniform(0.05, 0.2), np.float32)))
    inside = covered(np.asarray(lid + 0.02, np.float32))
    return mixed(codes, any_color(rng) * 0.5, inside), covered(np.asarray(distance, np.float32))


def _slab(rng: np.random.Generator, size: int, _lamp: Lamp) -> tuple[F32, F32]:
    """A telephone, a book, a card: a rounded board with a pane or lines of print."""
    x, y = plane(size)
    half = (rng.uniform(0.2, 0.45), rng.uniform(0.35, 0.7))
    distance = box(size, half, rng.uniform(0.005, 0.09))
    slope = 1 + rng.normal(0, 0.2) * x + rng.normal(0, 0.2) * y
    codes = painted(size, any_color(rng)) * slope.astype(np.float32)[..., None]
    codes = codes * np.exp(0.04 * noise(rng, size, cells=8))[..., None]
    kind = rng.random()
    if kind < 0.45:
        pane = covered(box(size, (half[0] - 0.03, half[1] - rng.uniform(0.03, 0.1)), 0.02))
        glow = any_color(rng) * rng.uniform(0.1, 1.0) + 0.25 * np.clip(noise(rng, size, cells=4), -1, 1)[..., None]
        codes = codes + pane[..., None] * (np.asarray(glow, np.float32) - codes)
    elif kind < 0.8:
        rows = (np.sin(y * rng.uniform(30, 60)) > 0.2) & (noise(rng, size, cells=24, octaves=1) > -0.6)
        print_ = rows * covered(box(size, (half[0] * 0.8, half[1] * rng.uniform(0.3, 0.85)), 0.01))
        codes = mixed(codes, any_color(rng), np.asarray(0.8 * print_, np.float32))
    return np.asarray(codes, np.float32), covered(distance)


def _lump(rng: np.random.Generator, size: int, lamp: Lamp) -> tuple[F32, F32]:
    """A rounded thing of any outline with a grain of its own: fruit, cloth, a stone, a paw."""
    x, y = plane(size)
    angle, away = np.arctan2(y, x), np.hypot(x / rng.uniform(0.7, 1.4), y)
    outline = np.full_like(x, rng.uniform(0.22, 0.5))
    for wave in range(2, 7):
        outline *= 1 + rng.normal(0, 0.28 / wave) * np.cos(wave * angle + rng.uniform(0, 6.3))
    distance = np.asarray((away - outline) * 0.8, np.float32)
    height = np.sqrt(np.clip(1 - (away / outline) ** 2, 0, 1)) * rng.uniform(0.1, 0.4)
    grain = noise(rng, size, cells=int(rng.integers(3, 24)))
    height = np.asarray(height + 0.01 * rng.uniform(0, 1.5) * grain, np.float32)
    return _patterned(rng, grain) * lamp.gain(height), covered(distance)


def _sheet(rng: np.random.Generator, size: int, lamp: Lamp) -> tuple[F32, F32]:
    """A flat piece with straight edges that may leave the picture below: cloth, board, collar."""
    turn = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 7))))
    corners = np.stack([np.cos(turn), np.sin(turn)], axis=1) * rng.uniform(0.3, 0.8, (len(turn), 1))
    if rng.random() < 0.4:
        edge = rng.uniform(-0.2, 0.6, 2)
        corners = np.array([[-3, edge[0]], [3, edge[1]], [3, 3], [-3, 3]])
    fine = 4
    image = np.zeros((size * fine, size * fine), np.uint8)
    cv2.fillPoly(image, [np.round((corners + 1) / 2 * size * fine).astype(np.int32)], 255)
    alpha = np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)
    grain = noise(rng, size, cells=int(rng.integers(2, 12)))
    folds = np.asarray(rng.uniform(0, 0.05) * grain, np.float32)
    return _patterned(rng, grain) * lamp.gain(folds), alpha


def _patterned(rng: np.random.Generator, grain: F32) -> F32:
    """Plain, mottled, striped or checked."""
    size = grain.shape[0]
    x, y = plane(size)
    codes = painted(size, any_color(rng))
    kind, pitch, warp = rng.random(), rng.uniform(8, 40), 0.15 * grain
    if kind < 0.3:
        part = np.clip(grain, 0, 1) * rng.uniform(0.3, 1)
    elif kind < 0.5:
        part = np.clip(np.sin((x + warp * 0.3) * pitch) * 4, 0, 1)
    elif kind < 0.6:
        part = np.clip(np.sin(x * pitch) * np.sin(y * pitch) * 6, 0, 1)
    else:
        return np.asarray(codes * np.exp(0.08 * grain)[..., None], np.float32)
    return mixed(codes, any_color(rng), np.asarray(part, np.float32))


_KINDS = (hand, _bar, _strands, _glint, _cup, _slab, _lump, _sheet)
_CHANCE = (0.40, 0.12, 0.12, 0.08, 0.07, 0.07, 0.07, 0.07)
