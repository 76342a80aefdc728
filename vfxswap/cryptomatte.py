"""Cryptomatte: the coverage of named objects from ranked (id, coverage) channels.

Source: "Cryptomatte Specification" 1.2.0, Psyop, and the issues its reference plug-ins settle in practice. The
header says, under `cryptomatte/<key>/`, the layer's name, how names become ids and, if one was written, the
manifest (name -> id). Channels `<name>00.R, G, B, A`, `<name>01...` hold two (id, coverage) pairs each, ids as the
bits of float32, ranked by coverage. An object's coverage is the sum over the ranks that have its id. No file is
touched here but a manifest beside the picture.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import mmh3
import numpy as np
from numpy.typing import NDArray

from vfxswap.errors import PlateError
from vfxswap.pixels import F32, AnyArray, Matte

HASH = "MurmurHash3_32"
CONVERSION = "uint32_to_float32"

MAX_MANIFEST = 1 << 28
"""Bytes of a manifest file; a larger one is no manifest."""

_FIELD = re.compile(r"(?:exr/)?cryptomatte/(?P<key>[^/]+)/(?P<field>name|hash|conversion|manifest|manif_file)")
_RANK = re.compile(r"(?P<rank>\d{2,})\.(?P<letter>r|g|b|a|red|green|blue|alpha)", re.IGNORECASE)
_HEX = re.compile(r"<([0-9a-fA-F]{8})>")
_FLOAT = re.compile(r"<([-+0-9.eE]+)>")
_EXPONENT = 0xFF


@dataclass(frozen=True)
class Layer:
    """One Cryptomatte of a file.

    Attributes:
        name: what its channels start with.
        manifest: object name -> id (the bits of its float), or None where the file says none that can be read.
        trouble: why there is no manifest, in words.
        hash: how names became ids.
        conversion: how ids became pixel values.
    """

    name: str
    manifest: Mapping[str, int] | None = field(default=None, repr=False)
    trouble: str = "the file has no manifest"
    hash: str = HASH
    conversion: str = CONVERSION

    def ids(self, objects: Iterable[str]) -> frozenset[int]:
        """The ids of `objects`: names, wildcards (`lamp*`, `tree_[ab]`), `<hex id>` or `<float id>`.

        Without a manifest a name is taken by its hash, so that one which is not there covers nothing.

        Raises:
            PlateError: a name or wildcard that the manifest does not know, or a wildcard without a manifest.
        """
        return frozenset(number for name in objects for number in self._ids_of(name))

    def _ids_of(self, name: str) -> set[int]:
        known = self.matches(name)
        if known:
            return known
        if (number := _literal(name)) is not None:
            return {number}
        if self.manifest is None:
            if _is_wildcard(name):
                raise PlateError(f"wildcard {name!r}, but {self.trouble}", hint="name the objects in full")
            if self.hash != HASH:
                text = f"Cryptomatte {self.name} has hash {self.hash!r}, and {self.trouble}"
                raise PlateError(text, hint="give objects by id: object=<1234abcd>")
            return {name_id(name)}
        raise PlateError(f"no object {name!r} in Cryptomatte {self.name}", hint=_hint(name, self.manifest))

    def matches(self, name: str) -> set[int]:
        """The ids that the manifest has for a name or wildcard; empty without a manifest."""
        manifest = self.manifest or {}
        if name in manifest:
            return {manifest[name]}
        if (number := _literal(name)) is not None:
            return {number} & set(manifest.values())
        return {number for known, number in manifest.items() if fnmatch.fnmatchcase(known, name)}


def name_id(name: str) -> int:
    """The id of a name: MurmurHash3 of its UTF-8 bytes, kept off the exponents of zero, denormals, Inf and NaN."""
    number = mmh3.hash(name.encode("utf-8"), 0, signed=False)
    exponent = number >> 23 & _EXPONENT
    return number ^ 1 << 23 if exponent in (0, _EXPONENT) else number


def layers(attributes: Mapping[str, Any], *, path: Path | None = None) -> tuple[Layer, ...]:
    """The Cryptomattes that a header speaks of, by name.

    Args:
        attributes: of the file's parts together (`exr.PartInfo.attributes`).
        path: the picture, which manifest files lie beside; None reads none.
    """
    found: dict[str, Layer] = {}
    for said in _said(attributes):
        if not said.get("name"):
            continue
        manifest, trouble = _manifest(said, path)
        layer = Layer(said["name"], manifest, trouble, said.get("hash", HASH), said.get("conversion", CONVERSION))
        # Merged files may say a layer twice: the one that knows its objects is the better one.
        if layer.name not in found or found[layer.name].manifest is None:
            found[layer.name] = layer
    return tuple(found[name] for name in sorted(found))


def manifest_files(attributes: Mapping[str, Any], *, path: Path) -> tuple[Path, ...]:
    """The manifest files that `layers` would read."""
    names = [said["manif_file"] for said in _said(attributes) if said.get("manif_file") and not said.get("manifest")]
    return tuple(file for file in (_beside(path, name) for name in dict.fromkeys(names)) if file is not None)


def choose(found: Sequence[Layer], objects: Sequence[str], *, layer: str = "") -> Layer:
    """The Cryptomatte that `layer` names, else the only one, else the one whose manifest has all `objects`.

    Raises:
        PlateError: none, or more than one.
    """
    if not found:
        raise PlateError("no Cryptomatte in the file", hint="render one, or name a --matte channel")
    names = [item.name for item in found]
    there = ", ".join(names)
    if layer:
        chosen = [item for item in found if item.name == layer]
        chosen = chosen or [item for item in found if item.name.lower() == layer.lower()]
        if not chosen:
            near = difflib.get_close_matches(layer, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "fix crypto="
            raise PlateError(f"no Cryptomatte {layer!r}, there are: {there}", hint=hint)
        return chosen[0]
    if len(found) == 1:
        return found[0]
    wanted = ", ".join(objects)
    knowing = [item for item in found if all(item.matches(name) for name in objects)]
    if len(knowing) == 1:
        return knowing[0]
    if knowing:
        there = ", ".join(item.name for item in knowing)
        raise PlateError(f"{wanted} is in several Cryptomattes: {there}", hint="choose one with crypto=NAME")
    known = {name: number for item in found for name, number in (item.manifest or {}).items()}
    lost = next(name for name in objects if not any(item.matches(name) for item in found)) if known else ""
    hint = _hint(lost, known) if lost else "choose one with crypto=NAME"
    raise PlateError(f"none of the Cryptomattes {there} has {wanted}", hint=hint)


def pairs(layer: Layer, names: Iterable[str]) -> list[tuple[str, str]]:
    """The (id, coverage) channels of `layer` among channel `names`, first rank first.

    Raises:
        PlateError: none, or an id without its coverage.
    """
    ranks: dict[int, dict[str, str]] = {}
    for name in names:
        if name[: len(layer.name)].lower() != layer.name.lower():
            continue
        if match := _RANK.fullmatch(name[len(layer.name) :]):
            ranks.setdefault(int(match["rank"]), {}).setdefault(match["letter"][0].lower(), name)
    found = []
    for rank in sorted(ranks):
        for number, coverage in ("rg", "ba"):
            if (number in ranks[rank]) != (coverage in ranks[rank]):
                raise PlateError(
                    f"rank {rank:02d} of Cryptomatte {layer.name} is incomplete: {', '.join(ranks[rank].values())}",
                    hint="copy all of its channels",
                )
            if number in ranks[rank]:
                found.append((ranks[rank][number], ranks[rank][coverage]))
    if not found:
        raise PlateError(
            f"the header speaks of Cryptomatte {layer.name}, but there are no channels {layer.name}00.R ...",
            hint="copy its channels together with the metadata",
        )
    return found


def matte(channels: Mapping[str, AnyArray], layer: Layer, objects: Sequence[str]) -> Matte:
    """The coverage of `objects` together.

    Args:
        channels: name -> (H, W); ids must be float32 as they were written.
        layer: the Cryptomatte they are in.
        objects: as for `Layer.ids`.

    Returns:
        (H, W) float32 in [0, 1]; NaN coverage counts as none.

    Raises:
        PlateError: unknown objects, missing or half-float channels, another conversion than the specification's.
    """
    if layer.conversion != CONVERSION:
        raise PlateError(
            f"Cryptomatte {layer.name} has conversion {layer.conversion!r}", hint=f"only {CONVERSION} is known"
        )
    wanted = np.array(sorted(layer.ids(objects)), np.uint32)
    total: F32 | None = None
    for number, coverage in pairs(layer, channels):
        ids = channels[number]
        if ids.dtype != np.float32:
            raise PlateError(
                f"channel {number} is {ids.dtype}: Cryptomatte ids need 32-bit float", hint="render or convert it again"
            )
        # As bits: two floats that differ can compare equal, such as 0.0 and -0.0.
        hit = _among(np.ascontiguousarray(ids).view(np.uint32), wanted)
        part = np.where(hit, np.asarray(channels[coverage], np.float32), np.float32(0.0))
        total = part if total is None else total + part
    return Matte(np.clip(np.nan_to_num(np.asarray(total, np.float32), nan=0.0), 0.0, 1.0))


def _among(bits: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Where `bits` are any of the ascending `wanted`. Several times faster than np.isin for a handful of ids."""
    if len(wanted) <= 4:
        hit = np.zeros(bits.shape, np.bool_)
        for number in wanted:
            hit |= bits == number
        return hit
    place = np.minimum(np.searchsorted(wanted, bits), len(wanted) - 1)
    return np.asarray(wanted[place] == bits, np.bool_)


def _said(attributes: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    """The metadata of each Cryptomatte, by field."""
    texts: dict[str, dict[str, str]] = {}
    for name, value in attributes.items():
        if (match := _FIELD.fullmatch(name)) and isinstance(value, str):
            texts.setdefault(match["key"], {})[match["field"]] = value
    return texts.values()


def _manifest(said: Mapping[str, str], path: Path | None) -> tuple[dict[str, int] | None, str]:
    """(manifest, "") or (None, why there is none). A broken manifest is no error: ids do without."""
    if said.get("manifest"):
        return _parsed(said["manifest"], "the manifest in the header")
    if not said.get("manif_file") or path is None:
        return None, "the file has no manifest"
    name = said["manif_file"]
    file = _beside(path, name)
    if file is None:
        return None, f"its manifest file {name!r} does not lie in the matte's folder"
    try:
        if file.stat().st_size > MAX_MANIFEST:
            return None, f"its manifest file {name!r} is too large"
        return _parsed(file.read_text(encoding="utf-8"), f"its manifest file {name!r}")
    except (OSError, UnicodeDecodeError) as error:
        return None, f"its manifest file {name!r} cannot be read: {getattr(error, 'strerror', '') or error}"


def _beside(path: Path, name: str) -> Path | None:
    """The regular file `name` in the folder of `path` or below, links followed; None when it is elsewhere."""
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        return None
    file = (path.parent / name.replace("\\", "/")).resolve()
    # The picture may itself be a link into the store where the manifest lies.
    homes = (path.parent.resolve(), path.resolve().parent)
    inside = any(file.is_relative_to(home) for home in homes)
    return file if inside and (file.is_file() or not file.exists()) else None


def _parsed(text: str, source: str) -> tuple[dict[str, int] | None, str]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None, f"{source} is not JSON"
    if not isinstance(data, dict):
        return None, f"{source} is not a JSON object"
    ids = {}
    for name, value in data.items():
        if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{1,8}", value):
            ids[name] = int(value, 16)
    return (ids, "") if ids or not data else (None, f"{source} has no 32-bit ids")


def _literal(name: str) -> int | None:
    """The id in `<1234abcd>`, or in `<2.0726e+26>` as compositing programs print it; None for a name."""
    if match := _HEX.fullmatch(name):
        return int(match[1], 16)
    if match := _FLOAT.fullmatch(name):
        try:
            return int(struct.unpack("<I", struct.pack("<f", float(match[1])))[0])
        except (ValueError, OverflowError):
            return None
    return None


def _is_wildcard(name: str) -> bool:
    return "*" in name or "?" in name  # a bracket may well be part of a name


def _hint(name: str, manifest: Mapping[str, int]) -> str:
    if not manifest:
        return "its manifest is empty"
    same = [known for known in manifest if known.lower() == name.lower()]
    inside = [known for known in manifest if name.strip("*").lower() in known.lower()]
    near = same or difflib.get_close_matches(name, list(manifest), n=3, cutoff=0.6) or sorted(inside)[:3]
    if near:
        return f"did you mean {', '.join(near[:3])}?"
    some = sorted(manifest)[:5]
    return f"there are {', '.join(some)}{' ...' if len(manifest) > len(some) else ''}"
