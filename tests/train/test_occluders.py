"""What is held in front of faces, and the masks that know of it."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch

from vfxswap.train import occluders
from vfxswap.train.data import Augment, acescct, centred, draw, occluded
from vfxswap.train.drawing import Lamp, capsule

from . import synthetic

TONE = np.array([0.7, 0.5, 0.4])
STILL = Augment(rotate_deg=0, scale=0, shift=0, flip=0, warp=0, disguise=0, color=0, exposure=0, slope=0, noise=0)


def laid(seed: int, size: int = 64) -> occluders.Layer:
    return occluders.cover(np.random.default_rng(seed), size=size, tone=TONE)


def test_the_dice_alone_decide() -> None:
    first, again, other = laid(3), laid(3), laid(4)
    assert np.array_equal(first.color, again.color)
    assert np.array_equal(first.alpha, again.alpha)
    assert not np.array_equal(first.alpha, other.alpha)


def test_sprites_are_functions_of_their_number() -> None:
    drawn = occluders.sprite.__wrapped__(11, size=48)
    assert np.array_equal(drawn.rgba, occluders.sprite(11, size=48).rgba)
    assert not drawn.rgba.flags.writeable


def test_layers_have_the_ranges_they_say() -> None:
    for seed in range(60):
        layer = laid(seed)
        assert layer.color.shape == (3, 64, 64)
        assert layer.alpha.shape == layer.shade.shape == (64, 64)
        for plane in (layer.color, layer.alpha, layer.shade):
            assert plane.dtype == np.float32
            assert plane.min() >= 0
            assert plane.max() <= 1 + 1e-6
        # Premultiplied: no more of a colour than of the thing.
        assert (layer.color <= layer.alpha + 1e-6).all()


def test_every_kind_is_drawn_and_none_fills_or_misses_its_sprite() -> None:
    rng = np.random.default_rng(1)
    for kind in occluders._KINDS:
        for _ in range(8):
            codes, alpha = kind(rng, 64, Lamp.placed(rng))
            assert codes.shape == (64, 64, 3)
            assert np.isfinite(codes).all()
            assert 0 <= alpha.min() <= alpha.max() <= 1
            assert 0.002 < alpha.mean() < 0.98


def test_occluders_differ_in_size_and_edges_are_soft() -> None:
    alphas = [laid(seed, 96).alpha for seed in range(80)]
    areas = np.array([alpha.mean() for alpha in alphas])
    assert np.percentile(areas, 10) < 0.06
    assert np.percentile(areas, 90) > 0.25
    soft = [((alpha > 0.05) & (alpha < 0.95)).sum() for alpha in alphas if alpha.max() > 0.9]
    assert min(soft) > 5


def test_arms_leave_the_picture() -> None:
    # Whatever ends at a sprite's border goes on: an occluder never ends in a straight cut there.
    arm = next(s for s in (occluders.sprite(i, size=64) for i in range(50)) if s.skin)
    assert arm.rgba[-1, :, 3].max() > 200
    assert arm.rgba[0, :, 3].max() < 40


def lamp(way: tuple[float, float, float], *, fill: float = 0.1, soft: float = 0.05) -> Lamp:
    unit = np.array(way) / np.linalg.norm(way)
    return Lamp(way=unit, key=np.ones(3), fill=np.full(3, fill), wrap=0.0, soft=soft)


def rod(x: float, radius: float) -> np.ndarray:
    return capsule(64, np.array([x, -0.9]), np.array([x, 0.9]), radius, radius)[1]


def test_a_lamp_lights_the_side_that_faces_it() -> None:
    height = rod(0.0, 0.3)
    from_left, from_right = (lamp((side, 0.0, 1.0)).gain(height)[32, :, 1] for side in (-1.0, 1.0))
    left, right = np.s_[25:29], np.s_[35:39]
    assert from_left[left].mean() > 1.5 * from_left[right].mean()
    np.testing.assert_allclose(from_left, from_right[::-1], atol=0.02)
    # Where the lamp does not reach there is what fills the shadows, in codes, and never less.
    assert from_left.min() >= (0.6 * 0.1) ** (1 / 2.2) - 1e-6
    assert lamp((0.0, 0.0, 1.0)).gain(np.zeros((64, 64), np.float32)) == pytest.approx(1.1 ** (1 / 2.2), abs=1e-4)


def test_a_finger_throws_its_shadow_on_the_next() -> None:
    alone, pair = rod(0.2, 0.12), np.maximum(rod(0.2, 0.12), rod(-0.15, 0.2))
    light = lamp((-1.0, 0.0, 0.25))
    lit = np.s_[32, 35:38]  # the left side of the finger at 0.2, which the other stands before
    assert light.gain(pair)[lit].mean() < 0.75 * light.gain(alone)[lit].mean()
    away = lamp((1.0, 0.0, 0.25))
    np.testing.assert_allclose(away.gain(pair)[32, 39:42], away.gain(alone)[32, 39:42], atol=1e-6)


def test_a_shadow_falls_away_from_the_lamp() -> None:
    cover = (rod(0.0, 0.2) > 0).astype(np.float32)
    shade = lamp((-1.0, 0.0, 1.0)).shadow(cover, distance=0.3, dark=0.6)
    columns = np.flatnonzero(shade[32] < 0.7)
    before = np.flatnonzero(cover[32])
    assert columns.mean() - before.mean() == pytest.approx(0.3 * 32, abs=1.5)
    assert shade.min() == pytest.approx(0.4, abs=0.02)
    far = lamp((-1.0, 0.0, 1.0), soft=0.4).shadow(cover, distance=0.6, dark=0.6)
    assert np.abs(np.diff(far[32])).max() < np.abs(np.diff(shade[32])).max(), "farther off it is softer"


def test_some_occluders_only_throw_a_shadow() -> None:
    layers = [laid(seed, 48) for seed in range(200)]
    alone = [layer for layer in layers if not layer.alpha.any()]
    assert 0.05 < len(alone) / len(layers) < 0.2
    assert any(layer.shade.min() < 0.8 for layer in alone)
    assert not any(layer.color.any() for layer in alone)


def test_shadows_are_hard_and_soft() -> None:
    """How far a shadow's edge reaches, in parts of the sprite: a lamp's is sharp, the sky's is not."""
    widths = []
    for number in range(150):
        shade = occluders.sprite(number, size=64).shade.astype(float) / 255
        depth = 1 - shade.min()
        if depth > 0.2:
            widths.append(depth / np.abs(np.diff(shade, axis=1)).max() / 64)
    assert np.percentile(widths, 10) < 0.05
    assert np.percentile(widths, 90) > 0.12


def test_glints_are_light_and_throw_no_shadow() -> None:
    glints = [one for one in (occluders.sprite(i, size=48) for i in range(200)) if one.glint]
    assert len(glints) > 4
    assert max(one.rgba[..., 3].max() for one in glints) > 230
    for one in glints:
        assert (one.shade == 255).all()
        alpha = one.rgba[..., 3].astype(int)
        bright = alpha > 40
        assert (one.rgba[bright][:, :3].astype(int) >= 0.85 * alpha[bright][:, None] - 2).all()


def test_half_of_the_hands_are_the_performers() -> None:
    hands = [i for i in range(occluders.POOL) if occluders.sprite(i, size=32).skin]
    assert 0.3 < len(hands) / occluders.POOL < 0.55
    pale, dark = (
        [occluders.cover(np.random.default_rng(s), size=32, tone=TONE * k) for s in range(80)] for k in (1, 0.3)
    )
    changed = [not np.array_equal(a.color, b.color) for a, b in zip(pale, dark, strict=True)]
    assert 0.1 < np.mean(changed) < 0.4
    assert all(np.array_equal(a.alpha, b.alpha) for a, b in zip(pale, dark, strict=True))


@pytest.mark.parametrize("warp", [0.0, 0.05])
def test_the_mask_ends_where_the_input_shows_the_occluder(warp: float) -> None:
    """Also under the warp, which moves the face beneath: what the plate shows of the occluder stays."""
    bank = synthetic.bank(synthetic.BEN)
    plain = dataclasses.replace(STILL, occlude=0, warp=warp)
    # Nothing but the occluder: a grey performer whose face fills the crop.
    grey = dataclasses.replace(bank, rgb=torch.full_like(bank.rgb, 0.5), mask=torch.ones_like(bank.mask))
    shown = 0
    for step in range(12):
        bare, batch = (
            draw(grey, count=4, size=64, seed=1, step=step, augment=dataclasses.replace(plain, occlude=part))
            for part in (0.0, 1.0)
        )
        assert batch.hidden is not None
        assert torch.allclose(batch.mask, bare.mask * (1 - batch.hidden), atol=1e-6)
        # Grey under the shadow, which the target shows; the rest of the difference is the occluder.
        seen = (batch.warped - batch.target).abs().amax(dim=1, keepdim=True)
        assert float(seen[batch.hidden == 0].max()) < 1e-6
        shown += int((seen > 0.02).sum())
        assert float((batch.hidden[seen > 0.02] > 0.02).float().mean()) == 1.0
    assert shown > 5000


def test_an_occluder_changes_nothing_but_itself_and_its_shadow() -> None:
    bank = synthetic.bank(synthetic.BEN)
    full, none = Augment(occlude=1), Augment(occlude=0)
    for step in range(6):
        with_, without = (draw(bank, count=4, size=64, seed=2, step=step, augment=a) for a in (full, none))
        assert with_.hidden is not None
        assert without.hidden is not None
        assert float(without.hidden.max()) == 0
        # Where codes are clipped a shadow cannot be told.
        clear = (with_.hidden == 0) & (without.target < 0.99) & (without.warped < 0.99)
        # A shadow only darkens, and falls on the target as well.
        assert (with_.target <= without.target + 1e-6).all()
        unlit = clear & ((with_.target - without.target).abs() < 1e-7)
        assert torch.allclose(with_.warped[unlit], without.warped[unlit], atol=1e-6)
        assert torch.equal(with_.core[with_.hidden == 1], torch.zeros_like(with_.core[with_.hidden == 1]))


def test_errors_behind_an_occluder_count_little() -> None:
    bank = synthetic.bank(synthetic.BEN)
    with_, without = (
        draw(bank, count=8, size=64, seed=2, step=0, augment=dataclasses.replace(STILL, occlude=part))
        for part in (1.0, 0.0)
    )
    assert with_.hidden is not None
    behind = with_.hidden > 0.999
    assert int(behind.sum()) > 100
    ratio = with_.weight[behind] / without.weight[behind]
    assert float(ratio.max()) < 0.2
    assert float(ratio.min()) > 0.1
    assert torch.equal(with_.weight[with_.hidden == 0], without.weight[with_.hidden == 0])


def test_the_wanted_part_of_the_crops_is_occluded() -> None:
    bank = synthetic.bank(synthetic.BEN)
    hidden = [draw(bank, count=8, size=32, seed=1, step=i, augment=Augment()).hidden for i in range(40)]
    part = np.mean([float((h.amax(dim=(1, 2, 3)) > 0).float().mean()) for h in hidden if h is not None])
    assert 0.25 < part < 0.43


def test_held_out_crops_can_be_occluded_for_scores() -> None:
    bank = synthetic.bank(synthetic.BEN)
    plain, first, again = (
        centred(bank, (5, 15), size=64),
        occluded(bank, (5, 15), size=64, seed=3),
        occluded(bank, (5, 15), size=64, seed=3),
    )
    assert torch.equal(first.warped, again.warped)
    assert first.hidden is not None
    assert torch.allclose(first.mask, plain.mask * (1 - first.hidden))
    assert float((first.warped - plain.warped).abs().max()) > 0.05


def test_the_same_occluder_is_as_bright_in_logarithmic_codes() -> None:
    codes = np.linspace(0, 1, 33, dtype=np.float32)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(acescct(codes), synthetic.encoded(codes, "acescct"), atol=0.002)
    ben, log = (synthetic.bank(synthetic.BEN, encoding=name) for name in ("srgb", "acescct"))
    augment = dataclasses.replace(STILL, occlude=1)
    seen, wanted = (draw(bank, count=8, size=64, seed=4, step=0, augment=augment) for bank in (log, ben))
    assert seen.hidden is not None
    assert wanted.hidden is not None
    assert torch.equal(seen.hidden, wanted.hidden)
    solid = (wanted.hidden > 0.999).expand_as(wanted.warped)
    expected = synthetic.encoded(wanted.warped.permute(0, 2, 3, 1).numpy(), "acescct").transpose(0, 3, 1, 2)
    # A crop's own tone is a mean of codes, which is another light in another encoding.
    assert float((seen.warped - torch.from_numpy(expected.copy()))[solid].abs().median()) < 0.01


def test_laying_one_costs_little() -> None:
    for seed in range(100):
        laid(seed)
    started = time.process_time()
    for seed in range(100):
        laid(seed)
    # A quarter of a millisecond for 128 pixels where it was measured; the bar is 1.5 ms, and machines are slow.
    assert (time.process_time() - started) / 100 < 0.003
