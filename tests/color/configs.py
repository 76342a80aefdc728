"""Small OCIO configs as shows write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# A studio's own config, without names that ours would know: one sRGB-encoded space and a file rule.
OWN = """ocio_profile_version: 2
search_path: ""
roles: {default: scene, scene_linear: scene%(role)s}
file_rules:
  - !<Rule> {name: graded, colorspace: picture, pattern: "*graded*", extension: "exr"}
  - !<Rule> {name: Default, colorspace: picture}
displays: {monitor: [!<View> {name: raw, colorspace: scene}]}
colorspaces:
  - !<ColorSpace> {name: scene}
  - !<ColorSpace>
    name: picture
    from_scene_reference: !<ExponentWithLinearTransform> {gamma: 2.4, offset: 0.055, direction: inverse}
"""

# One of a show: shots have grades of their own, the plates' space is inactive, names are parsed strictly.
SHOW = """ocio_profile_version: 2
environment: {SHOT: s010}
search_path: luts
strictparsing: true
inactive_colorspaces: [plate]
roles: {default: data, scene_linear: scene, plates: plate, aces_interchange: ap0}
file_rules:
  - !<Rule> {name: element, colorspace: plates, regex: ".*/elements/.*[.]exr"}
  - !<Rule> {name: Default, colorspace: data}
displays: {monitor: [!<View> {name: raw, colorspace: scene}]}
colorspaces:
  - !<ColorSpace> {name: scene, encoding: scene-linear, aliases: [lin_show]}
  - !<ColorSpace> {name: data, isdata: true}
  - !<ColorSpace>
    name: ap0
    from_scene_reference: !<BuiltinTransform> {style: ACEScg_to_ACES2065-1}
  - !<ColorSpace>
    name: plate
    to_scene_reference: !<FileTransform> {src: "grade_${SHOT}.spi1d", interpolation: linear}
"""

# The first version of OCIO: no file rules, spaces are named in file names, curves are LUTs.
OLD = """ocio_profile_version: 1
search_path: luts
strictparsing: %(strict)s
roles: {default: raw, scene_linear: lnf%(role)s}
displays: {monitor: [!<View> {name: raw, colorspace: lnf}]}
colorspaces:
  - !<ColorSpace> {name: lnf}
  - !<ColorSpace> {name: raw, isdata: true}
  - !<ColorSpace>
    name: picture
    to_reference: !<FileTransform> {src: srgb.spi1d, interpolation: linear}
  - !<ColorSpace>
    name: lgf
    from_reference: !<LogTransform> {base: 10}
"""


def write_show(folder: Path, *, grades: dict[str, float], text: str = SHOW) -> Path:
    """The show's config and a LUT for each shot that multiplies by its grade."""
    luts = folder / "luts"
    luts.mkdir(parents=True)
    for shot, factor in grades.items():
        write_lut(luts / f"grade_{shot}.spi1d", factor)
    path = folder / "show.ocio"
    path.write_text(text)
    return path


def write_old(folder: Path, *, strict: bool = True, role: str = "") -> Path:
    """The config of OCIO 1 and its LUT, sRGB -> linear."""
    (folder / "luts").mkdir(parents=True)
    code = np.linspace(0, 1, 4096)
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    lines = "\n".join(map(str, light))
    (folder / "luts" / "srgb.spi1d").write_text(f"Version 1\nFrom 0 1\nLength 4096\nComponents 1\n{{\n{lines}\n}}\n")
    path = folder / "old.ocio"
    path.write_text(OLD % {"strict": str(strict).lower(), "role": role})
    return path


def write_lut(path: Path, factor: float) -> None:
    """A straight line through 0, as a LUT."""
    path.write_text(f"Version 1\nFrom 0 4\nLength 2\nComponents 1\n{{\n0\n{4 * factor}\n}}\n")
