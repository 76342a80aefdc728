"""What a viewer shows: the displays and views of a config."""

from __future__ import annotations

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest

from vfxswap.color import PINNED_CONFIG, ColorConfig
from vfxswap.errors import ColorError


def test_a_view_is_what_ocio_itself_makes_of_it() -> None:
    config = ColorConfig.load(PINNED_CONFIG)
    display, views = next(iter(config.displays().items()))
    assert (display, views[0]) == ("sRGB - Display", "ACES 1.0 - SDR Video")
    assert all("Raw" not in names for names in config.displays().values())
    light = np.random.default_rng(1).uniform(-0.1, 8, (7, 5, 3)).astype(np.float32)
    expected = light.copy()
    transform = ocio.DisplayViewTransform("ACEScg", display, views[0])
    ocio.Config.CreateFromFile(PINNED_CONFIG).getProcessor(transform).getDefaultCPUProcessor().applyRGB(expected)
    assert config.to_display(display, views[0]).apply(light) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    "pair", [("sRGB - Display", "Film"), ("Cinema 9", "Un-tone-mapped"), ("sRGB - Display", "Raw")]
)
def test_unknown_views_are_refused_with_those_there_are(pair: tuple[str, str]) -> None:
    with pytest.raises(ColorError, match="no view") as caught:
        ColorConfig.load(PINNED_CONFIG).to_display(*pair)
    assert "Un-tone-mapped" in caught.value.hint
