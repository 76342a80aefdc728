"""Movies: what is in the file, and the colours of its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vfxswap import cli
from vfxswap.cli.common import Run
from vfxswap.color import ColorConfig
from vfxswap.provenance import sidecar

from . import material

av = pytest.importorskip("av", reason="needs PyAV: pip install 'vfxswap[review]'")


@pytest.mark.parametrize(("name", "codec", "bits"), [("a.mp4", "h264", 8), ("a.mov", "prores", 10)])
def test_a_movie(tmp_path: Path, name: str, codec: str, bits: int) -> None:
    shot = material.make(tmp_path, frames=6, outputs=(1001, 1002, 1003, 1005, 1006))
    path = tmp_path / name
    (Path(shot.output) / "swap.1005.exr").write_bytes(b"not a picture")
    assert cli.execute(Run(("review", shot.output, "--plate", shot.plate, "--movie", str(path)))) == 0
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == (codec, 24.0)
        assert stream.metadata["timecode"] == "01:00:41:00" and "ALTERED" in file.metadata["comment"]
        assert f"{bits}le" in stream.pix_fmt or bits == 8
        context = stream.codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)
        frames = [
            frame.reformat(format="rgb24", src_colorspace="ITU709", dst_color_range="JPEG").to_ndarray()
            for frame in file.decode(video=0)
        ]
    assert len(frames) == 6
    config = ColorConfig.load()
    display, views = next(iter(config.displays().items()))
    view = config.to_display(display, views[0])

    def error(frame: int, picture: np.ndarray) -> float:
        expected = np.clip(view.apply(picture.astype(np.float32)), 0, 1) * 255
        return float(np.abs(frames[frame - 1001][: material.HEIGHT] - expected).mean())

    assert max(error(frame, material.comp(frame)) for frame in (1001, 1003, 1006)) < 2.0
    assert error(1004, material.plate(1004)) < 2.0  # without output: the plate, and it says so
    assert frames[4][: material.HEIGHT].max() < 12  # damaged: black, in its place in time
    band = frames[0][-6:-2, -20:].reshape(-1, 3).mean(axis=0)
    assert np.abs(band - [242, 194, 0]).max() < 12
    line = frames[0][material.HEIGHT + 2 : material.HEIGHT + 18]
    assert line.max() > 150 and line[:, -60:].max() > 100


def test_without_the_line_and_side_by_side(tmp_path: Path) -> None:
    shot = material.make(tmp_path, frames=2)
    asked = ("review", shot.output, "--plate", shot.plate, "--shows", "compare", "--no-burn-in", "--fps", "25")
    assert cli.execute(Run((*asked, "--movie", str(tmp_path / "a.mp4")))) == 0
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.average_rate) == (2 * material.WIDTH, 25)
        assert stream.height == material.HEIGHT + 22


@pytest.mark.parametrize(("shows", "holds"), [("comp", True), ("plate", False)])
def test_a_movie_of_swaps_holds_c2pa(tmp_path: Path, shows: str, holds: bool) -> None:
    c2pa = pytest.importorskip("c2pa", reason="needs c2pa-python: pip install 'vfxswap[c2pa]'")
    shot, path = material.make(tmp_path, frames=2), tmp_path / "a.mp4"
    asked = ("review", shot.output, "--plate", shot.plate, "--shows", shows, "--movie", str(path))
    assert cli.execute(Run(asked)) == 0
    with path.open("rb") as file:
        found = c2pa.Reader.try_create("video/mp4", file, context=sidecar.context())
        assert (found is not None) == holds
        if found is not None:
            assert "compositeWithTrainedAlgorithmicMedia" in found.json()
