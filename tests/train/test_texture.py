"""One performer's complexion laid over another's crops."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from vfxswap.face import mesh
from vfxswap.train import texture
from vfxswap.train.bank import Bank

from . import synthetic


def stained(bank: Bank) -> Bank:
    """The performer with a dark red stain on the right cheek, wherever it is in each crop, and another face tone."""
    rgb = bank.rgb.float().numpy().copy()
    side = rgb.shape[-1]
    for i, crop in enumerate(bank.crops):
        spot = np.zeros((side, side), np.float32)
        outline = crop.landmarks[[50, 187, 205, 36, 101], :2] * side / bank.source_size
        cv2.fillConvexPoly(spot, np.round(outline).astype(np.int32), 1.0)
        soft = cv2.GaussianBlur(spot, (0, 0), 1.0)
        rgb[i] *= 1 - soft * np.array([0.1, 0.5, 0.5], np.float32)[:, None, None]
    return replace(bank, rgb=torch.from_numpy((0.8 * rgb).astype(np.float16)))


def cheek(bank: Bank, i: int, points: tuple[int, ...] = (50, 187, 205, 36, 101)) -> tuple[int, int]:
    x, y = (bank.crops[i].landmarks[list(points), :2].mean(axis=0) * texture.SIDE / bank.source_size).astype(int)
    return y, x


def test_nobody_has_another_complexion_than_their_own() -> None:
    bank = synthetic.bank(synthetic.BEN)
    assert np.abs(texture.veils(bank, bank)).max() < 1e-6


def test_a_stain_goes_where_the_cheek_is_in_every_pose() -> None:
    plain = synthetic.bank(synthetic.BEN, count=25)
    other = stained(plain)
    veils = texture.veils(plain, other)
    assert veils.shape == (25, 3, texture.SIDE, texture.SIDE)
    for i in (6, 12, 18):
        y, x = cheek(plain, i)
        red, green, _ = veils[i, :, y, x] - veils[i, :, 2, 2]
        assert green < red - 0.15 and green < -0.25, f"crop {i}"
        y, x = cheek(plain, i, (280, 411, 425, 266, 330))
        assert np.abs(veils[i, :, y, x] - veils[i, :, 2, 2]).max() < 0.12, "the other cheek has none"


def test_laid_over_the_crops_the_veil_makes_them_look_alike() -> None:
    plain = synthetic.bank(synthetic.BEN, count=25)
    other = stained(plain)
    veils = texture.veils(plain, other)
    before, after = [], []
    for i in range(0, 25, 3):
        gain = cv2.resize(np.exp(veils[i]).transpose(1, 2, 0), plain.rgb.shape[-2:])
        ours, theirs = (bank.rgb[i].float().numpy().transpose(1, 2, 0) for bank in (plain, other))
        inside = plain.mask[i, 0].numpy() > 0.5
        before.append(np.abs(ours - theirs)[inside].mean())
        after.append(np.abs(ours * gain - theirs)[inside].mean())
    assert np.mean(after) < 0.4 * np.mean(before)


def test_away_from_the_face_there_is_only_the_tone() -> None:
    ben, anna = synthetic.bank(synthetic.BEN), synthetic.bank(synthetic.ANNA)
    veils = texture.veils(ben, anna)
    np.testing.assert_allclose(veils[0][:, 0, 0], np.log(anna.skin / ben.skin), atol=1e-5)


def test_what_moves_in_eyes_and_mouth_is_changed_less() -> None:
    plain = synthetic.bank(synthetic.BEN, count=25)
    rgb = plain.rgb.float()
    i = 12
    y, x = cheek(plain, i, mesh.LEFT_EYE)
    dark = replace(plain, rgb=rgb.clone())
    for k in range(25):
        v, u = cheek(plain, k, mesh.LEFT_EYE)
        v, u = (n * rgb.shape[-1] // texture.SIDE for n in (v, u))
        dark.rgb[k, :, v - 3 : v + 4, u - 5 : u + 6] *= 0.5
    veil = texture.veils(plain, replace(dark, rgb=dark.rgb.half()))[i]
    assert -0.5 < (veil[:, y, x] - veil[:, 2, 2]).mean() < -0.05
