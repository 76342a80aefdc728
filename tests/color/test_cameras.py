"""Plates in linear and camera log spaces: values against published curves and primaries, and back into the file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vfxswap import color, exr
from vfxswap.color import ColorConfig
from vfxswap.errors import ColorError
from vfxswap.pixels import F64, AnyArray, WorkingRgb

STUDIO = ColorConfig.load(color.STUDIO_CONFIG)
RNG = np.random.default_rng(5)

Chromaticity = tuple[float, float]
Primaries = tuple[Chromaticity, Chromaticity, Chromaticity]

D65: Chromaticity = (0.3127, 0.3290)
ACES_WHITE: Chromaticity = (0.32168, 0.33767)  # S-2014-004
AP1: Primaries = ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044))

# Which adaptation a space takes to the ACES white is the config's choice; cameras follow their own documents.
CAT02 = np.array([[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def linear(code: F64) -> F64:
    return code


def logc4(code: F64) -> F64:
    """ARRI LogC4 -> relative scene light: ARRI LogC4 Logarithmic Color Space Specification, 2022."""
    a = (2.0**18 - 16.0) / 117.45
    b, c = (1023.0 - 95.0) / 1023.0, 95.0 / 1023.0
    s = 7.0 * np.log(2.0) * 2.0 ** (7.0 - 14.0 * c / b) / (a * b)
    t = (2.0 ** (14.0 * (-c / b) + 6.0) - 64.0) / a
    return np.where(code < 0, code * s + t, (2.0 ** (14.0 * (code - c) / b + 6.0) - 64.0) / a)


def slog3(code: F64) -> F64:
    """Sony S-Log3 -> reflection: Technical Summary for S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3, 2014."""
    cut = 171.2102946929
    line = (code * 1023.0 - 95.0) * 0.01125 / (cut - 95.0)
    return np.where(code >= cut / 1023.0, 10.0 ** ((code * 1023.0 - 420.0) / 261.5) * 0.19 - 0.01, line)


SPACES: dict[str, tuple[Primaries, Chromaticity, Callable[[F64], F64], F64]] = {
    "ACEScg": (AP1, ACES_WHITE, linear, CAT02),
    "ACES2065-1": (((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770)), ACES_WHITE, linear, CAT02),
    "Linear Rec.709 (sRGB)": (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65, linear, BRADFORD),
    "Linear P3-D65": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65, linear, BRADFORD),
    "Linear Rec.2020": (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65, linear, BRADFORD),
    "ARRI LogC4": (((0.7347, 0.2653), (0.1424, 0.8576), (0.0991, -0.0308)), D65, logc4, CAT02),
    "S-Log3 S-Gamut3.Cine": (((0.766, 0.275), (0.225, 0.800), (0.089, -0.087)), D65, slog3, CAT02),
}
LOGS = ("ARRI LogC4", "S-Log3 S-Gamut3.Cine")


def white_xyz(at: Chromaticity) -> F64:
    return np.array([at[0] / at[1], 1.0, (1.0 - at[0] - at[1]) / at[1]])


def to_xyz(primaries: Primaries, white: Chromaticity) -> F64:
    """(3, 3) linear RGB -> XYZ: SMPTE RP 177, columns scaled so that RGB (1, 1, 1) is the white."""
    columns = np.array([[x / y, 1.0, (1.0 - x - y) / y] for x, y in primaries]).T
    return np.asarray(columns * np.linalg.solve(columns, white_xyz(white)))


def to_ap1(primaries: Primaries, white: Chromaticity, cat: F64) -> F64:
    """(3, 3) linear RGB -> AP1, adapted by von Kries scaling of the cones of `cat`."""
    gains = np.diag((cat @ white_xyz(ACES_WHITE)) / (cat @ white_xyz(white)))
    return np.asarray(
        np.linalg.inv(to_xyz(AP1, ACES_WHITE)) @ np.linalg.inv(cat) @ gains @ cat @ to_xyz(primaries, white)
    )


def scene(count: int = 3000) -> WorkingRgb:
    """(count, 3) ACEScg colours of a picture, 2^-10 to 2^6: surfaces and lights, none purer than paint."""
    rgb = RNG.uniform(0.15, 1.0, (count, 3)) * 2.0 ** RNG.uniform(-10, 6, (count, 1))
    return WorkingRgb(rgb.astype(np.float32))


def stops(a: AnyArray, b: AnyArray) -> float:
    """The largest difference of two positive pictures in stops."""
    return float(np.abs(np.log2(a.astype(np.float64)) - np.log2(b.astype(np.float64))).max())


@pytest.mark.parametrize("space", SPACES)
def test_values_are_the_published_ones(space):
    primaries, white, curve, cat = SPACES[space]
    codes = RNG.uniform(-0.05, 1.0, (3000, 3)).astype(np.float32)
    wanted = curve(codes.astype(np.float64)) @ to_ap1(primaries, white, cat).T
    found = STUDIO.to_working(space).apply(codes)
    # Relative to the pixel's largest channel: the matrix mixes them.
    assert float((np.abs(found - wanted).max(axis=1) / np.abs(wanted).max(axis=1)).max()) < 5e-6


def test_what_the_camera_makers_say_of_grey():
    """18 % grey: LogC4 0.278396 and S-Log3 420/1023 (both documents' tables)."""
    grey = np.full((1, 3), 0.18, np.float32)
    np.testing.assert_allclose(STUDIO.from_working("ARRI LogC4").apply(grey), 0.278396, atol=2e-6)
    np.testing.assert_allclose(STUDIO.from_working("S-Log3 S-Gamut3.Cine").apply(grey), 420 / 1023, atol=2e-6)


@pytest.mark.parametrize("space", SPACES)
def test_float_files_come_back(space):
    """File -> working -> file -> working, in stops of light."""
    plate = scene()
    file = STUDIO.from_working(space).apply(plate)
    back = STUDIO.from_working(space).apply(STUDIO.to_working(space).apply(file))
    assert stops(STUDIO.to_working(space).apply(back), plate) < (3e-4 if space in LOGS else 3e-6)


@pytest.mark.parametrize(("kind", "same"), [(np.float16, 0.999), (np.float32, 0.0)])
@pytest.mark.parametrize("space", SPACES)
def test_files_come_back(tmp_path, space, kind, same):
    """The same through an EXR: a half plate that nobody touched has its own bits again, all but a few in 10,000."""
    rgb = STUDIO.from_working(space).apply(scene(4096)).astype(kind).reshape(64, 64, 3)
    channels = {letter: np.ascontiguousarray(rgb[..., i]) for i, letter in enumerate("RGB")}
    exr.write_channels(tmp_path / "plate.exr", channels=channels, attributes={})
    read, _ = exr.read_channels(tmp_path / "plate.exr")
    held = np.stack([read[letter] for letter in "RGB"], axis=-1)
    assert held.dtype == kind
    np.testing.assert_array_equal(held, rgb)
    working = STUDIO.to_working(space).apply(held)
    back = STUDIO.from_working(space).apply(working).astype(kind)
    assert float((back == rgb).mean()) >= same
    # What does not come back bit for bit is one step of half away.
    assert float(np.abs(back.astype(np.float64) - rgb).max()) <= (2.0**-10 * float(np.abs(rgb).max()))


@pytest.mark.parametrize(
    ("space", "error"), [("ACEScg", 0.0008), ("ARRI LogC4", 0.006), ("S-Log3 S-Gamut3.Cine", 0.012)]
)
def test_what_half_costs(space, error):
    """A half file holds 2^-6 to 2^4 to within `error` stops (docs/color.md)."""
    grey = np.repeat(2.0 ** np.linspace(-6, 4, 2000)[:, None], 3, axis=1).astype(np.float32)
    half = STUDIO.from_working(space).apply(grey).astype(np.float16)
    assert stops(STUDIO.to_working(space).apply(half), grey) < error


def test_linear_is_told_from_log():
    for space in SPACES:
        assert STUDIO.is_linear(space) is (space not in LOGS), space
    for other in ("ACEScct", "sRGB - Texture", "Raw", "sRGB - Display", "CIE XYZ-D65 - Display-referred"):
        assert STUDIO.is_linear(other) is False, other
    assert STUDIO.is_linear("scene_linear")
    with pytest.raises(ColorError, match="no colour space 'LogC5'"):
        STUDIO.is_linear("LogC5")
