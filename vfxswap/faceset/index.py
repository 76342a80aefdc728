"""What a faceset is on disk, and reading and writing it.

`faceset.json` holds what people ask for; one row of each array belongs to one crop, in its order:

    landmarks.npy    (N, 478, 3) float64, crop pixels
    embeddings.npy   (N, 128) float64, whose face it is; zeros where unknown
    expressions.npy  (N, 52) float32, ARKit coefficients in 0..1; NaN where unknown
    thumbnails.npy   (N, 24, 24, 3) uint8, sRGB codes; zeros where unknown

and `crops/NAME.exr` the picture: R, G, B in working space, `mask`, half; and `front` where an artist's mattes say it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vfxswap import __version__, align, archive, atomic, documents, exr
from vfxswap.color import ColorConfig, ModelSpace
from vfxswap.errors import FacesetError
from vfxswap.face import mesh
from vfxswap.faceset.crops import (
    BLENDSHAPES,
    IDENTITY,
    THUMBNAIL,
    U8,
    Crop,
    Kind,
    PlateRecord,
    Reason,
    Row,
    Verdict,
    entry,
    quarantined,
)
from vfxswap.pixels import F32, F64, AnyArray, Matte, ModelRgb, WorkingRgb

VERSION: Final = 2
SCHEMA: Final = f"vfxswap.faceset/{VERSION}"
INDEX: Final = "faceset.json"
LANDMARKS: Final = "landmarks.npy"
EMBEDDINGS: Final = "embeddings.npy"
EXPRESSIONS: Final = "expressions.npy"
THUMBNAILS: Final = "thumbnails.npy"
CROPS: Final = "crops"

_NEXT = ".next"
_LARGEST_CROP: Final = 8192
_LOW_TRACK = "track confidence"


@dataclass(frozen=True, eq=False)
class Faceset:
    """A faceset on disk; `load` reads the pictures one at a time."""

    folder: Path
    performer: str
    size: int
    config: ColorConfig
    consents: tuple[dict[str, str], ...]
    crops: tuple[Crop, ...]
    embeddings: F64
    """(N, 128) whose face each crop shows; zeros where unknown."""
    expressions: F32
    """(N, 52) ARKit coefficients of each crop (face.landmarks.BLENDSHAPES); NaN where unknown."""
    thumbnails: U8
    """(N, 24, 24, 3) sRGB codes of each crop."""
    plates: tuple[PlateRecord, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    """What was quarantined by (quarantine.Limits); empty for version 1."""

    def usable(self) -> tuple[Crop, ...]:
        """The crops that are not quarantined."""
        return tuple(crop for crop in self.crops if crop.quarantined is None)

    def rows(self) -> tuple[Row, ...]:
        """The crops with what was measured of each."""
        return tuple(
            Row(*row) for row in zip(self.crops, self.embeddings, self.expressions, self.thumbnails, strict=True)
        )

    def load(self, crop: Crop, *, encoding: str = "srgb") -> tuple[ModelRgb, Matte]:
        """A crop as networks see it: (S, S, 3) encoded at its own exposure, and its (S, S) mask."""
        return self.load_with_front(crop, encoding=encoding)[:2]

    def load_with_front(self, crop: Crop, *, encoding: str = "srgb") -> tuple[ModelRgb, Matte, Matte]:
        """As `load`, and (S, S) coverage of what is before the face in the plate, hair for the most part.

        That is known of plates that came with mattes, 0 of others.
        """
        rgb, mask, front = self._planes(crop)
        return ModelSpace(self.config, crop.gain, encoding).encode(rgb), mask, front

    def linear(self, crop: Crop) -> tuple[WorkingRgb, Matte]:
        """A crop as it is stored: (S, S, 3) float32 in working space, and its (S, S) mask."""
        return self._planes(crop)[:2]

    def _planes(self, crop: Crop) -> tuple[WorkingRgb, Matte, Matte]:
        channels, _ = exr.read_channels(self.folder / CROPS / f"{crop.name}.exr")
        rgb = np.stack([channels[name] for name in "RGB"], axis=-1).astype(np.float32)
        mask = channels["mask"].astype(np.float32)
        front = channels["front"].astype(np.float32) if "front" in channels else np.zeros_like(mask)
        return WorkingRgb(rgb), Matte(mask), Matte(front)

    def digest(self) -> str:
        """sha256 of the index and landmarks: what a model records of its training data."""
        index = (self.folder / INDEX).read_bytes()
        wanted = json.loads(index).get("sha256", {}).get(LANDMARKS)
        return archive.sha256(index + _array_bytes(self.folder, LANDMARKS, wanted))


# ------------------------------------------------------------------------------------------------ reading


def _file_name(name: str) -> str:
    """A crop's name is that of a file in the faceset's own folder, and of nothing else."""
    separators = "/\\:" if os.name == "nt" else "/"
    if not name or any(sign in name for sign in separators) or documents.path_problem(f"{name}.vfxcrop"):
        raise ValueError(f"{name[:80]!r} is not the name of a file in the faceset")
    return name


class _Entry(BaseModel):
    """A crop in `faceset.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_file_name)]
    plate: str
    frame: int
    timecode: str | None = None
    gain: float
    pose_deg: tuple[float, float, float]
    confidence: float
    quarantined: str | None = None
    reasons: tuple[Reason, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    verdict: Verdict | None = None
    note: str = ""
    key: str = ""
    source_sha256: str = ""
    sha256: str = ""


class _Index(BaseModel):
    """`faceset.json`, version 2."""

    model_config = ConfigDict(allow_inf_nan=False)

    performer: str
    size: int = Field(gt=0, le=_LARGEST_CROP)
    config: str | None
    context: dict[str, str] = Field(default_factory=dict)
    consents: tuple[dict[str, str], ...]
    limits: dict[str, float] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)
    plates: tuple[PlateRecord, ...] = ()
    crops: tuple[_Entry, ...]


def load(folder: Path) -> Faceset:
    """Open a faceset; version 1 is brought up to date in memory.

    Raises:
        FacesetError: missing, damaged, newer, or of another alignment.
    """
    path = folder / INDEX
    try:
        data = documents.json_value(documents.read_text(path, most=documents.LARGE))
    except FileNotFoundError:
        raise FacesetError(f"no faceset in {folder}", hint="make one with vfxswap faceset build") from None
    except (ValueError, OSError) as error:
        raise FacesetError("faceset is damaged", path=path, hint="build it again") from error
    index = _checked(data, path)
    try:
        return _assembled(folder, index)
    except (ValueError, OSError, EOFError) as error:
        raise FacesetError(f"faceset is damaged: {error}", path=path, hint="build it again") from error


def _checked(data: object, path: Path) -> _Index:
    """The index of this version, whatever version it was written by."""
    head: dict[str, Any] = data if isinstance(data, dict) else {}
    number = documents.version_of(head.get("schema"), kind="faceset")
    newer = number is not None and number > VERSION
    if number is None or newer or head.get("template") != align.TEMPLATE:
        said = [repr(head.get(name))[:80] for name in ("schema", "template")]
        raise FacesetError(
            f"faceset has schema {said[0]} and alignment {said[1]},"
            f" this vfxswap reads {SCHEMA!r} and {align.TEMPLATE!r}",
            path=path,
            hint="update vfxswap" if newer else "build it again",
        )
    try:
        for version in range(number, VERSION):
            head = _MIGRATIONS[version](head)
        return _Index.model_validate(head)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            what = str(error)
        raise FacesetError(f"faceset is incomplete: {what}", path=path, hint="build it again") from error


def _with_reasons(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one reason in words, and no list of plates: their number is in the names of their crops."""
    plates: dict[int, str] = {}
    crops = []
    for old in data["crops"]:
        text = old["quarantined"]
        kind: Kind = "unreadable" if str(text).startswith(_LOW_TRACK) else "extreme"
        crops.append({**old, "reasons": [] if text is None else [{"kind": kind, "text": text}]})
        number = str(old["name"]).rpartition(".")[0].rpartition("-")[2]
        if number.isdigit():
            plates.setdefault(int(number), str(old["plate"]))
    records = [{"id": number, "pattern": pattern} for number, pattern in sorted(plates.items())]
    return {**data, "crops": crops, "plates": records}


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_reasons}


def _assembled(folder: Path, index: _Index) -> Faceset:
    count = len(index.crops)
    landmarks = _array(folder, LANDMARKS, index, (count, mesh.COUNT, 3)).astype(np.float64)
    return Faceset(
        folder=folder,
        performer=index.performer,
        size=index.size,
        config=ColorConfig.load(index.config, context=index.context),
        consents=index.consents,
        crops=tuple(
            Crop(**{**dict(entry), "quarantined": quarantined(entry.reasons, entry.verdict, entry.note)}, landmarks=at)
            for entry, at in zip(index.crops, landmarks, strict=True)
        ),
        embeddings=_array(folder, EMBEDDINGS, index, (count, IDENTITY)).astype(np.float64),
        expressions=_array(folder, EXPRESSIONS, index, (count, BLENDSHAPES), unknown=np.nan).astype(np.float32),
        thumbnails=_array(folder, THUMBNAILS, index, (count, THUMBNAIL, THUMBNAIL, 3)).astype(np.uint8),
        plates=index.plates,
        limits=index.limits,
    )


def _array(folder: Path, name: str, index: _Index, shape: tuple[int, ...], *, unknown: float = 0.0) -> AnyArray:
    """An array of the faceset; `unknown` everywhere where the index does not know of it."""
    if name not in index.sha256 and name != LANDMARKS:
        return np.full(shape, unknown)
    found = archive.npy_array(_array_bytes(folder, name, index.sha256.get(name)))
    if found.shape != shape:
        raise ValueError(f"{name} holds {found.shape}, not {shape}")
    if not (np.isfinite(found) | np.isnan(unknown)).all():
        raise ValueError(f"{name} holds values that are not numbers")
    return found


def _array_bytes(folder: Path, name: str, sha256: str | None) -> bytes:
    """The file's bytes; those of `write` cut off between its two steps, where the index says so."""
    data = (folder / name).read_bytes() if (folder / name).exists() else b""
    if sha256 is None or archive.sha256(data) == sha256:
        return data
    with contextlib.suppress(OSError):
        data = (folder / (name + _NEXT)).read_bytes()
    if archive.sha256(data) != sha256:
        raise ValueError(f"{name} is not the one that the index was written with")
    return data


# ------------------------------------------------------------------------------------------------ writing


def write(
    folder: Path,
    *,
    performer: str,
    size: int,
    config: ColorConfig,
    consents: Sequence[Mapping[str, str]],
    plates: Sequence[PlateRecord],
    limits: Mapping[str, float],
    rows: Sequence[Row],
) -> Faceset:
    """Write index and arrays, all or nothing, and open what was written.

    The arrays come first under another name; replacing the index makes them count, and only then they get theirs. A
    process that dies in between leaves either the old faceset or the new one (`_array_bytes`).

    Args:
        folder: of the faceset; the crops' pictures are there already.
        performer: whose face it is.
        size: side of a crop.
        config: the OCIO config of the crops' working space.
        consents: id and sha256 of every consent it was built with.
        plates: where the crops come from.
        limits: what was quarantined by.
        rows: the crops.

    Raises:
        OutputError, ResourceError.
    """
    arrays = {
        LANDMARKS: _stacked([row.crop.landmarks for row in rows], (mesh.COUNT, 3), np.float64),
        EMBEDDINGS: _stacked([row.embedding for row in rows], (IDENTITY,), np.float64),
        EXPRESSIONS: _stacked([row.expression for row in rows], (BLENDSHAPES,), np.float32),
        THUMBNAILS: _stacked([row.thumbnail for row in rows], (THUMBNAIL, THUMBNAIL, 3), np.uint8),
    }
    files = {name: archive.npy_bytes(array) for name, array in arrays.items()}
    index = {
        "schema": SCHEMA,
        "template": align.TEMPLATE,
        "margin": align.FACESET_MARGIN,
        "vfxswap": __version__,
        "performer": performer,
        "size": size,
        "config": config.id,
        "context": dict(config.context),
        "working_space": config.working_space,
        "consents": [dict(consent) for consent in consents],
        "limits": dict(limits),
        "sha256": {name: archive.sha256(data) for name, data in sorted(files.items())},
        "plates": [plate.model_dump(mode="json") for plate in plates],
        "crops": [entry(row.crop) for row in rows],
    }
    for name, data in files.items():
        atomic.write_bytes(folder / (name + _NEXT), data)
    atomic.write_text(folder / INDEX, json.dumps(index, indent=1, allow_nan=False))
    for name in files:
        os.replace(folder / (name + _NEXT), folder / name)
    return load(folder)


def _stacked(rows: Sequence[AnyArray], shape: tuple[int, ...], kind: Any) -> AnyArray:
    return np.array(rows, kind).reshape(len(rows), *shape)
