"""The UV pass: every pixel names the point of the face it shows."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vfxswap.face import mesh
from vfxswap.face.uv import uv_pass
from vfxswap.geometry import Window
from vfxswap.pixels import F64

FRAME = Window(0, 0, 440, 400)


def posed(yaw: float, *, size: float = 20.0, pitch: float = 0.0) -> F64:
    """(478, 3) of the canonical face turned to the image's right; `size` plate pixels per centimetre."""
    vertices = mesh.canonical().vertices
    c, s, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    turned = (
        vertices @ (np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])).T
    )
    points = np.stack([turned[:, 0], -turned[:, 1], -turned[:, 2]], axis=-1) * size + [221.3, 201.7, 0.0]
    return np.concatenate([points, np.full((10, 3), 1e5)])


def texture() -> F64:
    return mesh.canonical().uv * [1.0, -1.0] + [0.0, 1.0]


def at_points(image, points: F64, window: Window):
    """Values of the pixels in which (N, 2) points lie."""
    column, row = (np.floor(points - [window.x, window.y])).astype(int).T
    return image[row, column]


def by_asking_every_triangle(points: F64, window: Window) -> F64:
    """The same pass, slowly: barycentric coordinates of every pixel in every triangle that faces us."""
    y, x = np.mgrid[0 : window.height, 0 : window.width] + 0.5
    x, y = x + window.x, y + window.y
    out, nearest = np.zeros((window.height, window.width, 3)), np.full((window.height, window.width), np.inf)
    for triangle in mesh.canonical().triangles:
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[triangle]
        whole = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if whole >= 0:
            continue
        b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / whole
        c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / whole
        a = 1 - b - c
        z = a * az + b * bz + c * cz
        won = (a >= 0) & (b >= 0) & (c >= 0) & (z < nearest)
        nearest[won] = z[won]
        out[won, :2] = np.stack([a, b, c], axis=-1)[won] @ texture()[triangle]
        out[won, 2] = 1
    return out


def test_every_visible_point_of_the_mesh_shows_its_own_coordinates():
    points = posed(0.0)
    image = uv_pass(points, window=FRAME)
    assert image.dtype == np.float32
    assert image.shape == (400, 440, 3)
    inner = np.setdiff1d(np.arange(468), (*mesh.OVAL, *mesh.NOSTRILS))
    found = at_points(image, points[inner, :2], FRAME)
    assert (found[:, 2] == 1).all()
    close = np.abs(found[:, :2] - texture()[inner]).max(axis=1) < 0.012  # a pixel is about 0.003
    assert close.mean() > 0.95, "but for a few hidden under the nose"
    low, high = texture().min(axis=0), texture().max(axis=0)
    covered = image[image[..., 2] == 1]
    assert (covered[:, :2] >= low - 1e-6).all()
    assert (covered[:, :2] <= high + 1e-6).all()


def test_v_runs_up_and_u_to_the_right_of_the_picture():
    image = uv_pass(posed(0.0), window=FRAME)
    column, row = image[100:330, 221], image[200, 100:340]
    assert (column[:, 2] == 1).all()
    assert column[0, 1] > 0.7 > 0.25 > column[-1, 1]
    assert row[0, 0] < 0.3 < 0.7 < row[-1, 0]


def test_there_is_nothing_where_no_face_is():
    image = uv_pass(posed(0.0), window=FRAME)
    assert set(np.unique(image[..., 2])) == {0.0, 1.0}
    assert (image[image[..., 2] == 0] == 0).all()
    assert image[:20].max() == image[:, :40].max() == 0
    assert uv_pass(posed(0.0), window=Window(2000, 0, 50, 60)).max() == 0
    assert uv_pass(posed(0.0), window=Window(0, 0, 0, 0)).shape == (0, 0, 3)


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.5, 0.2), (-1.2, -0.3), (1.57, 0.0)])
def test_it_is_what_asking_every_triangle_gives(yaw, pitch):
    points = posed(yaw, pitch=pitch, size=6.0)
    window = Window(150, 140, 140, 130)
    image, slow = uv_pass(points, window=window), by_asking_every_triangle(points, window)
    differs = np.abs(image - slow).max(axis=-1) > 1e-4
    assert differs.sum() <= 2, "only where two triangles meet in depth or a centre lies on an edge"
    assert image[..., 2].sum() > 3000


def test_a_profile_hides_the_far_side():
    for yaw, hidden in ((1.3, 1), (-1.3, -1)):
        image = uv_pass(posed(yaw), window=FRAME)
        u = image[..., 0][image[..., 2] == 1]
        beyond = (u - 0.5) * hidden
        # Beyond the ridge of nose, lips and chin there is at most a sliver to see.
        assert (beyond > 0.1).sum() < 0.002 * len(u)
        assert (beyond < -0.1).mean() > 0.5


def test_a_head_seen_from_behind_shows_nothing():
    assert uv_pass(posed(np.pi), window=FRAME)[..., 2].sum() < 40, "no more than folds of nostrils and lips"


def test_corners_at_pixel_centres_leave_no_crack():
    points = posed(0.0)
    points[:, :2] = np.round(points[:, :2]) + 0.5
    cover = uv_pass(points, window=FRAME)[..., 2]
    inside = cover[:, :].copy()
    for row in inside:
        columns = np.flatnonzero(row)
        if len(columns):
            assert len(columns) == columns[-1] - columns[0] + 1
    assert cover.sum() > 50_000


def test_a_part_of_the_window_is_the_same_part_of_the_picture():
    points = posed(0.4)
    whole = uv_pass(points, window=FRAME)
    for part in (Window(190, 150, 60, 50), Window(-30, -40, 300, 300), Window(300, 100, 400, 90)):
        cut = part.intersect(FRAME)
        image = uv_pass(points, window=part)
        np.testing.assert_allclose(image[cut.slices(part)], whole[cut.slices(FRAME)], atol=1e-6)


def test_a_large_face_is_quick():
    points = posed(0.2, size=48.0) * 1.0
    window = Window.around(points[:468, :2])
    assert window.height > 800
    uv_pass(points, window=window)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        uv_pass(points, window=window)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5
