"""OpenImageIO's headers, made fit for writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import OpenImageIO as oiio  # noqa: N813

from vfxswap.exr.edits import Attribute
from vfxswap.exr.frame import Frame
from vfxswap.exr.raster import Raster
from vfxswap.exr.reading import OIIO_TYPES
from vfxswap.exr.values import ACES_FLAG, PartInfo, multi_view

# Hints that describe how the source file was laid out; on a one-level copy they make files nobody can read.
_LAYOUT = ("openexr:levelmode", "openexr:roundingmode", "textureformat", "openexr:chunkCount")
_DWA_LEVEL = "openexr:dwaCompressionLevel"


def cleaned(spec: Any, info: PartInfo, notes: list[str]) -> Any:
    """A copy of `spec` that can be written; what had to go is added to `notes`."""
    clean = oiio.ImageSpec(spec)
    for name in _LAYOUT:
        clean.erase_attribute(name)
    if info.mipmapped:
        notes.append("mip or rip levels below the first were dropped")
    if "thumbnail_width" in info.attributes:
        notes.append("the preview picture was dropped: it shows the plate")
    if info.attributes.get(ACES_FLAG) == 1:
        clean.erase_attribute(ACES_FLAG)
        # OpenImageIO refuses to write the flag unless the whole file is strict ST 2065-4.
        notes.append(f"{ACES_FLAG} was dropped: the output is not a strict ST 2065-4 file")
    if info.lossy:
        clean.attribute("compression", "zip")
        notes.append(f"{info.compression} loses again at every save: written as zip")
    if (level := info.attributes.get(_DWA_LEVEL)) is not None:
        # By this name OpenImageIO keeps it with dwa alone.
        clean.erase_attribute(_DWA_LEVEL)
        clean.attribute(_DWA_LEVEL.partition(":")[2], level)
    if "DateTime" not in info.attributes:
        # An empty one keeps OpenImageIO from writing the time of day, which would differ in every run.
        clean.attribute("DateTime", "")
    return clean


def set_channels(spec: Any, raster: Raster, notes: list[str]) -> None:
    """Give `spec` the channels of `raster`, and a compression that keeps them."""
    mixed = len(set(raster.formats)) > 1
    spec.nchannels = len(raster.names)
    spec.channelnames = tuple(raster.names)
    spec.format = oiio.FLOAT if mixed else OIIO_TYPES[raster.formats[0]]
    spec.channelformats = tuple(OIIO_TYPES[kind] for kind in raster.formats) if mixed else ()
    spec.alpha_channel = raster.names.index("A") if "A" in raster.names else -1
    spec.z_channel = raster.names.index("Z") if "Z" in raster.names else -1
    if compression(spec) == "pxr24" and "float" in raster.formats:
        spec.attribute("compression", "zip")
        notes.append("pxr24 rounds float channels: written as zip")


def set_attributes(spec: Any, attributes: Mapping[str, Attribute] | None) -> None:
    """Set header attributes; tuples become int or float arrays."""
    for key, value in (attributes or {}).items():
        if isinstance(value, tuple):
            kind = "int" if all(isinstance(item, int) for item in value) else "float"
            spec.attribute(key, f"{kind}[{len(value)}]", value)
        else:
            spec.attribute(key, value)


def compression(spec: Any) -> str:
    """The compression of `spec` as OpenImageIO names it."""
    return str(spec.get_string_attribute("compression"))


def view_name(frame: Frame, name: str) -> str:
    """`name` with the view put before the channel where views share a part: "face.R" -> "face.left.R"."""
    views = multi_view(frame.part)
    if len(views) < 2 or frame.view == views[0]:
        return name
    layer, _, channel = name.rpartition(".")
    return ".".join(filter(None, (layer, frame.view, channel)))
