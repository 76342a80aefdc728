"""The .vfxmodel package: an ONNX network and a manifest that says what it is. Opened with a Grant only.

The consented hash is that of the ONNX bytes, not of the package: the manifest names the consents, so the
package's own hash could not be in them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vfxswap import archive, graph, infer
from vfxswap.errors import ModelError
from vfxswap.pixels import F32, AnyArray, Matte, ModelRgb
from vfxswap.trust import Grant

KIND: Final = "model"
VERSION: Final = 1
NETWORK: Final = "network.onnx"


class Performers(BaseModel):
    """Whose faces a model holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    likeness: str
    double: str

    def by_role(self) -> dict[Literal["likeness", "double"], str]:
        """As the consent gate wants them."""
        return {"likeness": self.likeness, "double": self.double}


class Condition(BaseModel):
    """What a network is told beside its crop: which numbers, and what they are for the double at rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """Name and version of the numbers (face.expression.KIND)."""
    rest: tuple[float, ...]
    spread: tuple[float, ...]
    """What the numbers are standardised with: (number - rest) / spread."""


class ModelCard(BaseModel):
    """What a model's manifest says. Everything a renderer needs to know, and where the model comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    resolution: int = Field(ge=16, le=4096)
    template: str
    """Name of the crop's alignment (align.TEMPLATE)."""
    encoding: str
    """Encoding id of model space (color.ModelSpace)."""
    exposure: str
    """How the shot's gain is found."""
    placement: tuple[float, float] = (0.0, 0.0)
    """(x, y) in crop sides by which the painted crop is moved, so that the likeness's eyes, nose and mouth lie where
    the double's do; the alignment itself looks at the whole head."""
    condition: Condition | None = None
    """What the network is told of the double's face beside the crop; None: nothing."""
    layout: str = "NCHW float32 RGB 0..1: crop -> rgb, mask"
    performers: Performers
    consents: tuple[dict[str, str], ...]
    """Ids and record hashes of the consents it was trained under."""
    data: dict[str, str]
    """sha256 of each faceset it was trained on."""
    metrics: dict[str, float] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    storage: str = "fp16"
    precision: Literal["fp32", "int8"] = "fp32"
    """What it computes in. Two precisions of one network have two hashes, so a shot never mixes them unseen."""
    onnx_sha256: str = ""

    def origin(self) -> tuple[dict[str, str], ...]:
        """Every consent that the model stands on, those of earlier trainings that it went on from included."""
        earlier = self.training.get("earlier") or ()
        found = [*self.consents, *(consent for part in earlier for consent in part.get("consents", ()))]
        return tuple(dict(pairs) for pairs in dict.fromkeys(tuple(sorted(consent.items())) for consent in found))

    def painting(self) -> str:
        """Everything about the model that its pixels depend on: the network, its colour and where its crop goes."""
        told = "" if self.condition is None else f" {self.condition.model_dump_json()}"
        return f"{self.onnx_sha256} {self.encoding} {self.placement}{told}"


def write(path: Path, *, card: ModelCard, onnx: bytes) -> None:
    """Write a .vfxmodel atomically; the ONNX hash is put into the manifest here."""
    whole = card.model_copy(update={"onnx_sha256": archive.sha256(onnx)})
    archive.write(
        path, kind=KIND, version=VERSION, manifest=json.loads(whole.model_dump_json()), members={NETWORK: onnx}
    )


def read_card(path: Path) -> ModelCard:
    """The manifest of a .vfxmodel, its hashes verified; raises ModelError for anything else."""
    return _read(path)[0]


def _read(path: Path) -> tuple[ModelCard, bytes]:
    if path.suffix != ".vfxmodel" and path.exists():
        raise ModelError(f"{path.name} is not a .vfxmodel", path=path, hint="make one with vfxswap export")
    manifest, members = archive.read(path, kind=KIND, version=VERSION, error=ModelError)
    manifest.pop("schema", None)
    try:
        card = ModelCard.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ModelError(f"manifest field {field}: {first['msg']}", path=path, hint="export the model again") from error
    if NETWORK not in members or archive.sha256(members[NETWORK]) != card.onnx_sha256:
        raise ModelError("the network does not match the manifest", path=path, hint="export the model again")
    return card, members[NETWORK]


class Painting(NamedTuple):
    """What a network makes of a crop.

    Attributes:
        rgb: (S, S, 3) the likeness in model space.
        mask: (S, S) what can be seen of it.
        outline: (S, S) the whole face, whatever is before it; None of networks that do not tell.
        front: (S, S) what is before it, where the crop has it; None of networks that do not tell.
    """

    rgb: ModelRgb
    mask: Matte
    outline: Matte | None = None
    front: Matte | None = None


class Painter(Protocol):
    """What measuring and rendering need of a model."""

    @property
    def card(self) -> ModelCard:
        """What it says of itself."""

    @property
    def resolution(self) -> int:
        """Side of its crops in pixels."""

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        """(S, S, 3) crop of the double in model space -> the likeness over it.

        `told` is (C,) what a model with a `card.condition` is told (face.expression.told), None for the others.
        """


class SwapModel:
    """A loaded model: paints the likeness over crops of the double."""

    def __init__(self, path: Path, *, grant: Grant, device: infer.Device = "auto") -> None:
        """Verify, check the grant and load.

        Args:
            path: the .vfxmodel.
            grant: leave to swap with exactly this model's network and performers, from a gate that was asked about
                the consents it was trained under (`ModelCard.origin`).
            device: where it runs.

        Raises:
            ConsentError: the grant is for something else. ModelError: not a model, damaged, or too new.
        """
        self.card, onnx = _read(path)
        Grant.require(
            grant,
            use="swap",
            performers=self.card.performers.by_role(),
            model_sha256=self.card.onnx_sha256,
            origin=self.card.origin(),
        )
        graph.check(onnx)
        self._session = infer.session(onnx, device=device)
        self.provider = self._session.provider

    @property
    def resolution(self) -> int:
        """Side of its crops in pixels."""
        return self.card.resolution

    def swap(self, crop: ModelRgb, told: F32 | None = None) -> Painting:
        """(S, S, 3) crop of the double in model space -> the likeness over it.

        `told` is (C,) what a model with a `card.condition` is told, None for the others; else ModelError.
        """
        feeds: dict[str, AnyArray] = {"crop": np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)}
        if told is not None:
            feeds["condition"] = np.ascontiguousarray(told[None], np.float32)
        painted = self._session.run(feeds)
        size = self.resolution
        if [array.shape for array in painted] not in _shapes(size):
            shapes = ", ".join(str(array.shape) for array in painted[:4])
            raise ModelError(f"the network failed: it paints {shapes} on {size} pixels", hint="export the model again")
        if not all(np.isfinite(array).all() for array in painted):
            raise ModelError("the network painted values that are not numbers", hint="try --device cpu, or train again")
        rgb, *mattes = (np.clip(array[0], 0.0, 1.0).astype(np.float32) for array in painted)
        return Painting(ModelRgb(rgb.transpose(1, 2, 0)), *(Matte(plane[0]) for plane in mattes))


def _shapes(size: int) -> list[list[tuple[int, ...]]]:
    """Of what a network may give: picture and mask, and outline and front beside them."""
    least: list[tuple[int, ...]] = [(1, 3, size, size), (1, 1, size, size)]
    return [least, [*least, (1, 1, size, size), (1, 1, size, size)]]
