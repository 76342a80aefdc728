"""EXR in and out, bit for bit. The only package that imports OpenImageIO.

Pixels stay half where the file is half. Everything that the caller did not change (parts, channels, views,
attributes, windows, NaN payloads, -0.0) is written back unchanged, and the same frame gives the same bytes in
every run. What cannot be kept is refused by name or reported.

Windows here are in FILE coordinates, where the display window may start anywhere; `Frame.origin_window` is the
data window in plate coordinates (geometry.py).
"""

from __future__ import annotations

from vfxswap.exr.edits import HALF_MAX, Attribute, Edit, Patch, WriteReport, to_half
from vfxswap.exr.fingerprints import Fingerprint, file_sha256, fingerprint, pixel_sha256
from vfxswap.exr.frame import Frame
from vfxswap.exr.output import Record
from vfxswap.exr.reading import check, probe, read, read_channels
from vfxswap.exr.values import Channel, FrameInfo, PartInfo
from vfxswap.exr.writing import write_channels, write_frame, write_patch

__all__ = [
    "HALF_MAX",
    "Attribute",
    "Channel",
    "Edit",
    "Fingerprint",
    "Frame",
    "FrameInfo",
    "PartInfo",
    "Patch",
    "Record",
    "WriteReport",
    "check",
    "file_sha256",
    "fingerprint",
    "pixel_sha256",
    "probe",
    "read",
    "read_channels",
    "to_half",
    "write_channels",
    "write_frame",
    "write_patch",
]
