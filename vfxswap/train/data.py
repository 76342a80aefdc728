"""Batches: crops drawn from a bank, each draw a pure function of (seed, step, place in the batch).

The random warp is put on the input only; affine and colour changes on input and target alike. Because a
batch depends on nothing but its step, a resumed run sees exactly what an unbroken one would have seen, and
because a crop depends on nothing but its place, several processes can share a batch.

An occluder lies at the same place of the input and of the mask, whatever the face does beneath it: the painted
mask decides which of the plate's pixels stay, and in the plate the occluder is where the input shows it. Warped
along with the face, or bent along with its disguise, it would teach masks that miss it by the difference of the
two faces. The target is the performer without it, for what is painted behind is not seen: errors there count
little. Its shadow is light on the face, and falls on both.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vfxswap import align
from vfxswap.face import expression
from vfxswap.pixels import F32
from vfxswap.train import occluders
from vfxswap.train.bank import Bank
from vfxswap.train.coarse import coarsen

_T = TypeVar("_T")
_Rng = np.random.Generator

_BEHIND = 0.15
"""How much an error behind an occluder counts of what it would count in sight."""

_BENDS = 33
"""Side of the raster on which the input's displacements are worked out; they are smooth."""

_WAVES = 5


@dataclass(frozen=True)
class Batch:
    """(N, C, S, S) float32 tensors on the training device."""

    warped: Tensor
    """What the encoder sees, with occluders."""
    target: Tensor
    """The performer without occluders."""
    mask: Tensor
    """Where the face is and can be seen: without what `hidden` covers."""
    weight: Tensor
    core: Tensor
    hidden: Tensor | None = None
    """(N, 1, S, S) true coverage of the occluders, which lie alike in input and mask, and of what the plate itself had
    before the face, as it lies in the input; None: there are none."""
    told: Tensor | None = None
    """(N, C) what a conditioned network is told of the faces; None: nothing."""
    whole: Tensor | None = None
    """The mask as it would be without the drawn occluders; None: as `mask`."""

    def __len__(self) -> int:
        return int(self.target.shape[0])

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`, channels last."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)

        hidden, whole = (None if x is None else move(x) for x in (self.hidden, self.whole))
        told = None if self.told is None else self.told.to(device, non_blocking=True)
        return Batch(
            move(self.warped),
            move(self.target),
            move(self.mask),
            move(self.weight),
            move(self.core),
            hidden=hidden,
            told=told,
            whole=whole,
        )


@dataclass(frozen=True)
class Augment:
    """How far crops are moved before the network sees them."""

    rotate_deg: float = 8.0
    scale: float = 0.08
    shift: float = 0.04
    flip: float = 0.5
    warp: float = 0.006
    """Standard deviation of the input's control points, as a part of the crop."""
    disguise: float = 0.9
    """Part of the inputs that are bent and coloured towards the other performer."""
    disguise_most: float = 1.25
    """How far, at most: 1 is the other performer's mean shape and skin."""
    color: float = 0.05
    """Standard deviation of the gain of each channel, log, sRGB-encoded values as in the next two."""
    exposure: float = 0.12
    """Standard deviation of the gain of all channels, log."""
    slope: float = 0.1
    """Standard deviation of the gain's rise from the crop's middle to its border, log: light from another side."""
    noise: float = 0.02
    """Largest standard deviation of the noise put on the input: grain the painter must not learn."""
    occlude: float = 0.45
    """Part of the crops that something is held in front of."""
    told_noise: float = 0.1
    """Standard deviation of what the network is told wrongly: a track wobbles, too."""
    coarse: float = 1.0
    """How many times coarser inputs are made, at most (coarse.py)."""


_CODES_PER_STOP = {"acescct": 1 / 17.52}
"""Encodings that are logarithms of light: a gain is an offset of their codes."""

_TOE = (0.0729, 0.1553)
"""ACEScct's codes (S-2016-001) of black and of where its straight toe ends, in which a gain is a factor again."""

_SRGB_POWER = 2.2
_GREY_SLOPE = 2.1
"""Change of light, log, for a change of an sRGB code, log: on the whole, and at middle grey."""

_GREY_CODE = 0.46


def draw(bank: Bank, *, count: int, size: int, seed: int, step: int, augment: Augment, first: int = 0) -> Batch:
    """The batch of `step`: crops of `size` pixels, moved, recoloured, some occluded, the input warped.

    Args:
        bank: the performer.
        count: how many crops.
        size: their side.
        seed: of the run.
        step: its number.
        augment: how far crops are changed. Occluders are drawn last: without them all the rest is the same.
        first: place of the first crop in the batch; two draws of four are one of eight.
    """
    name = zlib.crc32(bank.performer.encode())
    dice = [np.random.default_rng((name, seed, step, first + i)) for i in range(count)]
    chosen = np.searchsorted(bank.ladder, [rng.random() for rng in dice], side="right")
    affine = torch.from_numpy(np.stack([_affine(rng, augment) for rng in dice]))
    stack = _stack(bank, chosen)
    plain = sampled(stack, _grid(affine, size))
    target, mask, weight, core = plain[:, :3], plain[:, 3:4], plain[:, 4:5], plain[:, 5:]
    degree = [rng.uniform(0, augment.disguise_most) * (rng.random() < augment.disguise) for rng in dice]
    bend = torch.tensor(degree, dtype=torch.float32)[:, None, None, None]
    at = _bent(bank, chosen, affine, _waves(dice, augment), bend, size=size)
    warped = veiled(sampled(stack[:, :3], at), bank, chosen, at, bend)
    front = sampled(bank.front[torch.from_numpy(chosen)].float(), at) if bank.covered else None
    gain = np.stack([np.exp(rng.normal(0, augment.exposure) + rng.normal(0, augment.color, 3)) for rng in dice])
    scale = torch.from_numpy(gain.astype(np.float32))[:, :, None, None] * _slope(dice, size, augment)
    grain = [_grain(rng, size=size, augment=augment) for rng in dice]
    told = _told(bank, chosen, affine, dice, augment)
    hidden = torch.zeros_like(mask)
    for i, rng in enumerate(dice):
        if rng.random() < augment.occlude:
            _occlude(rng, warped[i], target[i], hidden[i], bank, crop=int(chosen[i]))
    warped = _lit(warped, scale, bank)
    for i, (noise, sigma) in enumerate(grain):
        warped[i].add_(noise, alpha=sigma * _grain_scale(bank))
    if augment.coarse > 1:
        for crop, rng in zip(warped, dice, strict=True):
            coarsen(rng, crop, most=augment.coarse, grain=_grain_scale(bank))
    target = _lit(target, scale, bank)
    batch = Batch(warped.clamp_(0, 1), target.clamp_(0, 1), mask, weight, core, hidden=hidden, told=told, whole=mask)
    return _fronted(_uncovered(batch), front)


def _told(bank: Bank, chosen: NDArray[np.int64], affine: Tensor, dice: list[_Rng], augment: Augment) -> Tensor | None:
    """(count, C) what the network is told of the crops as they are drawn, mirrored where they are; None: nothing."""
    if bank.told is None:
        return None
    values = bank.told[torch.from_numpy(chosen)].numpy()
    mirrors = (torch.linalg.det(affine[:, :, :2]) < 0).numpy()[:, None]
    seen = np.where(mirrors, expression.mirrored(values), values)
    wrong = np.stack([rng.normal(0, augment.told_noise, seen.shape[1]) for rng in dice])
    return torch.from_numpy((seen + wrong).astype(np.float32))


# -- light ------------------------------------------------------------------------------------------------------------


def _lit(codes: Tensor, gain: Tensor, bank: Bank) -> Tensor:
    """Codes, changed in place, under another light: a gain of sRGB codes, which are close to a power of light."""
    stop = _CODES_PER_STOP.get(bank.encoding)
    return codes.mul_(gain) if stop is None else _shifted(codes, stop * _SRGB_POWER * torch.log2(gain))


def veiled(codes: Tensor, bank: Bank, chosen: NDArray[np.int64], at: Tensor, degree: Tensor) -> Tensor:
    """Codes, changed in place, with the other performer's complexion, to a degree, as they lie `at` their crops."""
    if bank.veil is None:
        return codes
    log_gain = degree * sampled(bank.veil[torch.from_numpy(chosen)].float(), at)
    if bank.encoding not in _CODES_PER_STOP:
        return codes.mul_(log_gain.exp_())
    skin = torch.from_numpy(bank.skin.astype(np.float32))[None, :, None, None]
    return _shifted(codes, skin * torch.expm1(log_gain))


def _shifted(codes: Tensor, offset: Tensor) -> Tensor:
    """Logarithmic codes moved in place by `offset`, less and less towards black, which stays black in any light."""
    black, straight = _TOE
    return codes.add_(((codes - black) / (straight - black)).clamp_(0, 1).mul_(offset))


def _grain_scale(bank: Bank) -> float:
    """How large noise is in this encoding that is 1 in sRGB codes, the same light at middle grey."""
    stop = _CODES_PER_STOP.get(bank.encoding)
    return 1.0 if stop is None else stop * _GREY_SLOPE / (_GREY_CODE * math.log(2))


def _slope(dice: list[_Rng], size: int, augment: Augment) -> Tensor:
    """(count, 1, size, size) gain that rises evenly across the crop, 1 in its middle."""
    rise = torch.from_numpy(np.array([rng.normal(0, augment.slope, (2, 1)) for rng in dice], np.float32))
    x, y = torch.exp(rise * torch.linspace(-1, 1, size)).unbind(dim=1)
    return (y[:, :, None] * x[:, None, :])[:, None]


@functools.cache
def _noise_pool(size: int) -> Tensor:
    """White Gaussian noise, at least eight crops of it; a crop's grain starts anywhere in it."""
    return torch.randn(24 * size * size, generator=torch.Generator().manual_seed(97))


def _grain(rng: _Rng, *, size: int, augment: Augment) -> tuple[Tensor, float]:
    """(3, size, size) noise of one crop, and how large it is in sRGB codes."""
    pool, length = _noise_pool(size), 3 * size * size
    start, sigma = int(rng.integers(len(pool) - length)), float(rng.uniform(0, augment.noise))
    return pool[start : start + length].view(3, size, size), sigma


# -- occluders --------------------------------------------------------------------------------------------------------


def _occlude(rng: _Rng, warped: Tensor, target: Tensor, hidden: Tensor, bank: Bank, *, crop: int) -> None:
    """Lay an occluder over an input (3, S, S), its shadow on input and target, its coverage in `hidden`; in place."""
    layer = occluders.cover(rng, size=int(target.shape[-1]), tone=_srgb_tone(bank, crop))
    color = layer.color
    if bank.encoding in _CODES_PER_STOP:
        straight = np.asarray(color / np.maximum(layer.alpha, 1 / 255), np.float32)
        color = np.asarray(acescct(straight) * layer.alpha, np.float32)
    shade = torch.from_numpy(layer.shade).clamp_(min=1e-3)
    _lit(target, shade, bank)
    _lit(warped, shade, bank)
    alpha = torch.from_numpy(layer.alpha)
    warped.mul_(1 - alpha).add_(torch.from_numpy(color))
    hidden[0] = alpha


def _uncovered(batch: Batch) -> Batch:
    """The batch with what is hidden taken from mask and core, and errors there counting little."""
    hidden = batch.hidden
    if hidden is None or not bool(hidden.any()):
        return batch
    left = 1 - hidden
    return replace(
        batch, mask=batch.mask * left, core=batch.core * left, weight=batch.weight * (_BEHIND + (1 - _BEHIND) * left)
    )


def _fronted(batch: Batch, front: Tensor | None) -> Batch:
    """The batch with what the plate itself had before the face, as it lies in the input, among what is hidden.

    Mask and weight leave it out already, as it lies in the target.
    """
    if front is None:
        return batch
    return replace(batch, hidden=front if batch.hidden is None else torch.maximum(front, batch.hidden))


def acescct(codes: F32) -> F32:
    """Codes of sRGB (IEC 61966-2-1) as ACEScct codes (S-2016-001) of the same light; primaries stay."""
    light = np.where(codes <= 0.04045, codes / 12.92, ((np.maximum(codes, 0) + 0.055) / 1.055) ** 2.4)
    log = (np.log2(np.maximum(light, 0.0078125)) + 9.72) / 17.52
    return np.where(light <= 0.0078125, 10.5402377416545 * light + 0.0729055341958355, log).astype(np.float32)


def _srgb_tone(bank: Bank, crop: int) -> NDArray[np.float64]:
    """(3,) mean sRGB codes of a crop's face."""
    tone: NDArray[np.float64] = bank.tones[crop]
    if bank.encoding not in _CODES_PER_STOP:
        return tone
    light = np.clip(2.0 ** (tone * 17.52 - 9.72), 0, 1)
    return np.asarray(1.055 * light ** (1 / 2.4) - 0.055, np.float64).clip(0, 1)


# -- geometry ---------------------------------------------------------------------------------------------------------


def _stack(bank: Bank, chosen: NDArray[np.int64]) -> Tensor:
    """(n, 6, R, R) float32: what moves together."""
    out = torch.empty(len(chosen), 6, *bank.rgb.shape[2:])
    for i, crop in enumerate(chosen):
        out[i, :3] = bank.rgb[crop]
        for at, plane in enumerate((bank.mask, bank.weight, bank.core), start=3):
            out[i, at] = plane[crop, 0]
    return out


def sampled(stack: Tensor, at: Tensor) -> Tensor:
    """(n, C, S, S) values at (n, 2, S, S) positions of -1..1."""
    return functional.grid_sample(stack, at.permute(0, 2, 3, 1), align_corners=False, padding_mode="border")


def _grid(affine: Tensor, size: int, points: int | None = None) -> Tensor:
    """(n, 2, points, points) where (n, 2, 3) matrices lead; `points` even steps from first to last pixel centre."""
    line = torch.linspace(-1 + 1 / size, 1 - 1 / size, points or size)
    across, down, start = affine[:, :, None, :].unbind(dim=-1)
    return (across * line)[:, :, None, :] + (down * line + start)[:, :, :, None]


def _affine(rng: _Rng, augment: Augment) -> F32:
    """(2, 3) sampling matrix, output -> bank, in normalised -1..1 coordinates."""
    angle = math.radians(rng.normal(0, augment.rotate_deg / 2))
    scale = math.exp(rng.normal(0, augment.scale / 2)) / align.FACESET_MARGIN
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    mirror = -1.0 if rng.random() < augment.flip else 1.0
    dx, dy = rng.normal(0, augment.shift / 2, 2) * 2 / align.FACESET_MARGIN
    return np.array([[c * mirror, -s, dx], [s * mirror, c, dy]], np.float32)


def _waves(dice: list[_Rng], augment: Augment) -> Tensor:
    """(count, 2, _BENDS, _BENDS) smooth random displacement in -1..1 coordinates: what only the input suffers."""
    sigma = augment.warp * 2 / align.FACESET_MARGIN
    points = np.array([rng.normal(0, sigma, (2, _WAVES, _WAVES)) for rng in dice], np.float32)
    spread = _spread(_WAVES, _BENDS, "bicubic")
    return spread @ torch.from_numpy(points) @ spread.T


def _bent(bank: Bank, chosen: NDArray[np.int64], affine: Tensor, waves: Tensor, bend: Tensor, *, size: int) -> Tensor:
    """(count, 2, size, size) where the input looks: waves, and the disguise's bend where they lead."""
    at = _grid(affine, size, _BENDS) + waves
    if bank.bend is not None:
        at = at - 2 * bend * sampled(bank.bend[torch.from_numpy(chosen)], at)
    spread = _spread(_BENDS, size, "bilinear")
    return spread @ at @ spread.T


def bent(bank: Bank, crop: int, *, size: int) -> Tensor:
    """(1, 2, size, size) where a crop's picture looks when it takes the other performer's shape, all the way."""
    at = _grid(torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), size)
    return at if bank.bend is None else at - 2 * sampled(bank.bend[crop : crop + 1], at)


@functools.cache
def _spread(points: int, size: int, mode: str) -> Tensor:
    """(size, points) weights by which values at `points` even positions give those at `size`, ends on ends."""
    unit = torch.eye(points).view(1, points, points, 1)
    wide = functional.interpolate(unit.expand(-1, -1, -1, 2), size=(size, 2), mode=mode, align_corners=True)
    return wide[0, :, :, 0].T.contiguous()


def centred(bank: Bank, indices: tuple[int, ...], *, size: int, coarse: float = 1.0) -> Batch:
    """Crops as the renderer frames them: no warp, no change. For scores and previews.

    Args:
        bank: the performer.
        indices: which crops.
        size: their side.
        coarse: how many times coarser the inputs are made, at most; the crop alone decides how (coarse.py).
    """
    scale = 1.0 / align.FACESET_MARGIN
    matrix = torch.tensor([[scale, 0, 0], [0, scale, 0]]).expand(len(indices), 2, 3)
    x = sampled(_stack(bank, np.array(indices, np.int64)), _grid(matrix, size))
    told = None if bank.told is None else bank.told[list(indices)]
    seen = x[:, :3]
    if coarse > 1:
        seen = seen.clone()
        for crop, index in zip(seen, indices, strict=True):
            coarsen(np.random.default_rng(index), crop, most=coarse, grain=_grain_scale(bank))
    return Batch(warped=seen, target=x[:, :3], mask=x[:, 3:4], weight=x[:, 4:5], core=x[:, 5:6], told=told)


def occluded(bank: Bank, indices: tuple[int, ...], *, size: int, seed: int) -> Batch:
    """`centred` crops with something held in front of each; seed and crop alone decide what. For scores of the mask."""
    plain = centred(bank, indices, size=size)
    warped, target, hidden = plain.warped.clone(), plain.target.clone(), torch.zeros_like(plain.mask)
    for i, crop in enumerate(indices):
        _occlude(np.random.default_rng((seed, crop)), warped[i], target[i], hidden[i], bank, crop=crop)
    return _uncovered(replace(plain, warped=warped, target=target, hidden=hidden))


class Prefetch(Generic[_T]):
    """What `make(step)` gives for one step after another, made in the background while the one before is used.

    Steps may be asked for in any order (a rollback goes back): what was made in advance and is not asked for is
    thrown away. An exception of `make` is raised where its step is asked for. `make` runs in other threads and must
    depend on its step alone.
    """

    def __init__(self, make: Callable[[int], _T], *, ahead: int = 1) -> None:
        """Prepare threads.

        Args:
            make: makes a step's batches.
            ahead: how many steps are made in advance, each in a thread of its own: more than one where drawing takes
                longer than training; 0 makes each when it is asked for, in the caller's thread.
        """
        self._make, self._ahead = make, ahead
        self._pool = ThreadPoolExecutor(max_workers=max(1, ahead), thread_name_prefix="batches")
        self._coming: dict[int, Future[_T]] = {}

    def __call__(self, step: int) -> _T:
        """The batches of `step`; raises what making them raised."""
        if self._ahead == 0:
            return self._make(step)
        wanted = range(step, step + self._ahead + 1)
        for other in [other for other in self._coming if other not in wanted]:
            self._coming.pop(other).cancel()
        for other in wanted:
            if other not in self._coming:
                self._coming[other] = self._pool.submit(self._make, other)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """Forget what was made in advance and end the threads."""
        for coming in self._coming.values():
            coming.cancel()
        self._coming.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
