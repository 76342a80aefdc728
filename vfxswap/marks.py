"""The mark that pictures of swaps carry where people see them: review pages, contact sheets, strips, previews, movies.

Masters carry none: their pixels are for the compositor, and the manifest says what they are (docs/provenance.md).

How to mark, by what is written:

- a picture: write `altered_png(rgb)`; of one that is a PNG already and shows its mark, `tagged_png(png)`.
- a page: `HTML_META` in its head, `HTML` first in its body. It needs no style sheet, and pictures in it need no band.
- a movie: `stamped(rgb)` for every frame.

Then, for pictures and movies, `provenance.embed(path, shows=manifests)` puts C2PA into the file, where it can hold it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import cv2
import numpy as np

from vfxswap.errors import OutputError
from vfxswap.pixels import AnyArray

ALTERED: Final = "ALTERED: face replaced"
SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's name for pictures in which a trained model replaced something."""

HTML: Final = (
    '<p role="note" style="margin:0;padding:.4em 1em;background:#f2c200;color:#111;font:600 15px sans-serif">'
    f"{ALTERED}</p>"
)
"""The line for the top of a page that shows swaps."""

HTML_META: Final = f'<meta name="digitalsourcetype" content="{SOURCE_TYPE.rpartition("/")[2]}">'
"""The same for machines, in the page's head; a page of ours holds no addresses."""

_BAND, _INK = (242, 194, 0), (17, 17, 17)
_LEAST = 22
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)


def stamped(picture: AnyArray) -> AnyArray:
    """(H + band, W, 3) uint8 RGB: the picture with a line below it that says that it is altered.

    The band is as high as can be read, an even number of rows for movies' sake; its words are smaller than that only
    where they would not fit the width.

    Args:
        picture: (H, W, 3) uint8, RGB, as displayed.
    """
    width = picture.shape[1]
    height = max(_LEAST, picture.shape[0] // 80 * 2)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, round(height * 0.55))
    (long, _), _ = cv2.getTextSize(ALTERED, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, (width - 8) / max(1, long))
    band = np.full((height, width, 3), _BAND, np.uint8)
    at = (4, round(height * 0.72))
    cv2.putText(band, ALTERED, at, cv2.FONT_HERSHEY_SIMPLEX, max(scale, 0.1), _INK, 1, cv2.LINE_AA)
    return np.concatenate([np.asarray(picture, np.uint8), band], axis=0)


def altered_png(picture: AnyArray) -> bytes:
    """A PNG of the picture under `stamped`, whose metadata say the same: XMP and the keyword Disclaimer.

    Args:
        picture: (H, W, 3) uint8, RGB.

    Raises:
        OutputError: it cannot be encoded.
    """
    done, data = cv2.imencode(".png", np.ascontiguousarray(stamped(picture)[..., ::-1]))
    if not done:
        raise OutputError("the picture could not be encoded as PNG")
    return tagged_png(data.tobytes())


def tagged_png(png: bytes) -> bytes:
    """`png` with the metadata of an altered picture (PNG specification, 11.3.3: tEXt and iTXt), pixels untouched."""
    head = len(_SIGNATURE) + 25  # IHDR comes first and is always as long
    text = _chunk(b"tEXt", b"Disclaimer\0" + ALTERED.encode())
    xmp = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _XMP.encode())
    return png[:head] + text + xmp + png[head:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
