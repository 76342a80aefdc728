"""Colour spaces: file <-> working space <-> what networks see. The only file that imports PyOpenColorIO.

Convert crops, never whole frames: every `apply` costs time in proportion to the pixels. Processors are
built without OCIO's fast approximations of log and pow, so that a round trip is exact to float rounding and
the same on every processor.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813

from vfxswap.errors import ColorError
from vfxswap.pixels import F32, F64, ModelRgb, WorkingRgb

PINNED_CONFIG = "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4"
"""Used when neither an argument nor $OCIO names a config. Never `ocio://default`: that changes with OCIO."""

SCENE_LINEAR = ocio.ROLE_SCENE_LINEAR
MIDDLE_GREY = 0.18
"""Where exposure normalisation puts the skin (or, before any detection, the picture)."""

MAX_STOPS = 8.0
"""No first exposure guess is further than this from the plate as it is."""

MAX_RATIO = 64.0
"""Highlight restoration never brightens by more than 6 stops: a sun glint is no reason to paint a sun."""

GATE = (0.7, 1.0)
"""Encoded brightness of the prediction between which the plate's highlight energy comes back."""

_REC709_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709, luminance of linear R, G, B


@dataclass(frozen=True)
class Transform:
    """A cached CPU processor from one colour space to another."""

    source: str
    target: str
    _processor: Any = field(repr=False, compare=False)

    @property
    def is_noop(self) -> bool:
        """True when pixels come out as they went in."""
        return bool(self._processor.isNoOp())

    def apply(self, rgb: F32) -> F32:
        """Convert (..., 3) pixels of any float type; returns a new float32 array."""
        result = np.array(rgb, dtype=np.float32, order="C", copy=True)
        if result.shape[-1:] != (3,):
            raise ColorError(f"pixels of shape {result.shape} have no R, G, B as their last axis")
        if result.size and not self.is_noop:
            self._processor.applyRGB(result)
        return result


@dataclass(frozen=True)
class _Encoding:
    """A model encoding: a linear space (aliases, best first), and the curve that encodes it."""

    linear: tuple[str, ...]
    encoded: tuple[str, ...]
    builtin: str


_ENCODINGS: dict[str, _Encoding] = {
    "srgb": _Encoding(
        linear=("lin_rec709_scene", "lin_rec709", "lin_srgb", "Utility - Linear - sRGB", "Utility - Linear - Rec.709"),
        encoded=("srgb_rec709_scene", "sRGB - Texture", "srgb_tx", "Utility - sRGB - Texture", "color_picking"),
        builtin="lin_rec709_scene",
    ),
    "acescct": _Encoding(
        linear=("lin_ap1_scene", "lin_ap1", "ACEScg", "ACES - ACEScg"),
        encoded=("acescct_ap1", "ACEScct", "ACES - ACEScct"),
        builtin="lin_ap1_scene",
    ),
}


def encodings() -> tuple[str, ...]:
    """The names of the model encodings."""
    return tuple(_ENCODINGS)


def _curve_transform(encoding: str) -> Any:
    """The OCIO transform encoded -> linear.

    Sources: sRGB, IEC 61966-2-1, its pieces joined as OCIO joins them, the straight one continued below 0;
    ACEScct, S-2016-001.
    """
    if encoding == "srgb":
        return ocio.ExponentWithLinearTransform(
            gamma=[2.4, 2.4, 2.4, 1.0], offset=[0.055, 0.055, 0.055, 0.0], negativeStyle=ocio.NEGATIVE_LINEAR
        )
    return ocio.BuiltinTransform("CURVE - ACEScct-LOG_to_LINEAR")


class ColorConfig:
    """An OCIO config. Immutable: the only state is a cache of processors."""

    def __init__(self, config: Any, identifier: str) -> None:
        """Wrap a loaded config; use `load`."""
        self._config = config
        self._cache: dict[tuple[str, ...], Transform] = {}
        self.id = identifier
        """The URI of a built-in config or the path of a file."""
        self.working_space = self._canonical(SCENE_LINEAR)
        """The colour space of the role scene_linear."""
        if not self.working_space:
            raise ColorError(f"OCIO config {identifier} has no scene_linear role", hint="choose a config with one")

    def __repr__(self) -> str:
        """The config's id."""
        return f"ColorConfig({self.id!r})"

    @staticmethod
    def load(explicit: str | Path | None = None) -> ColorConfig:
        """The config `explicit` (path or ocio:// URI), else `$OCIO`, else the pinned built-in one.

        Raises:
            ColorError: missing or unusable config.
        """
        from_environment = os.environ.get("OCIO", "").strip()
        name = str(explicit) if explicit else from_environment or PINNED_CONFIG
        origin = "" if explicit else " (from $OCIO)" if from_environment else ""
        try:
            config = ocio.Config.CreateFromFile(name)
        except ocio.ExceptionMissingFile as error:
            raise ColorError(f"OCIO config not found: {name}{origin}", hint="fix --ocio or $OCIO") from error
        except ocio.Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise ColorError(f"OCIO config {name}{origin} cannot be used: {reason}", hint="fix the config") from error
        if name.startswith("ocio://"):
            name = f"ocio://{config.getName()}"  # ocio://default and friends are recorded as what they are now
        return ColorConfig(config, name)

    @property
    def hash(self) -> str:
        """OCIO's cache id of the config: two configs that convert alike have the same one."""
        return str(self._config.getCacheID())

    def names(self) -> tuple[str, ...]:
        """The names of all colour spaces, active and inactive."""
        spaces = self._config.getColorSpaceNames(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL)
        return tuple(str(name) for name in spaces)

    def file_space(self, *, explicit: str | None = None, tagged: str | None = None, path: str = "") -> str:
        """The colour space of a file: explicit, else its tag, else file rules, else scene_linear.

        File rules are skipped where only the Default rule matches: in the ACES configs it says ACES2065-1, which
        would misread every untagged ACEScg plate. A tag that the config does not know is skipped as well.

        Args:
            explicit: colour space, alias or role that the user named.
            tagged: what the file says (`Frame.file_color_space`): an interop id or a name.
            path: the file's path, for the rules.

        Raises:
            ColorError: the config does not know `explicit`.
        """
        if explicit:
            return self._known(explicit)
        if tagged:
            # Configs older than the interop ids know "lin_ap1_scene" as "lin_ap1".
            for name in (tagged, tagged.removesuffix("_scene")):
                if space := self._canonical(name):
                    return space
        if path and not self._config.filepathOnlyMatchesDefaultRule(path):
            space, _ = self._config.getColorSpaceFromFilepath(path)
            return self._known(str(space))
        return self.working_space

    def to_working(self, space: str) -> Transform:
        """`space` -> working space. Raises ColorError for unknown names."""
        return self._between(self._known(space), self.working_space)

    def from_working(self, space: str) -> Transform:
        """Working space -> `space`. Raises ColorError for unknown names."""
        return self._between(self.working_space, self._known(space))

    def working_to_model_linear(self, encoding: str = "srgb") -> Transform:
        """Working space -> the encoding's linear space (Rec.709 for srgb): a matrix, so nothing is clipped."""
        return self._linear(encoding, inverse=False)

    def model_linear_to_working(self, encoding: str = "srgb") -> Transform:
        """The inverse of `working_to_model_linear`."""
        return self._linear(encoding, inverse=True)

    def working_to_model(self, encoding: str = "srgb") -> Transform:
        """Working space -> encoded (sRGB-encoded Rec.709 for srgb), unclipped."""
        return self._joined(encoding, inverse=False)

    def model_to_working(self, encoding: str = "srgb") -> Transform:
        """The inverse of `working_to_model`."""
        return self._joined(encoding, inverse=True)

    def model_curve(self, encoding: str = "srgb", *, decode: bool) -> Transform:
        """The encoding's curve alone: encoded -> linear when `decode`, else linear -> encoded."""
        transform = _curve_transform(_checked(encoding))
        names = (encoding, f"{encoding} linear") if decode else (f"{encoding} linear", encoding)
        direction = ocio.TRANSFORM_DIR_FORWARD if decode else ocio.TRANSFORM_DIR_INVERSE
        return self._cached(
            ("curve", *names), names, lambda: ocio.Config.CreateRaw().getProcessor(transform, direction)
        )

    def luminance_weights(self) -> F64:
        """(3,) weights of the working space's R, G, B in relative luminance (white is 1)."""
        matrix = self.working_to_model_linear().apply(np.eye(3, dtype=np.float32)).astype(np.float64)
        return np.asarray(matrix @ _REC709_WEIGHTS, np.float64)

    # ------------------------------------------------------------------------------------------- internals

    def _canonical(self, name: str) -> str:
        """The colour space that `name` (name, alias or role) stands for, or ""."""
        space = self._config.getColorSpace(name)
        return "" if space is None else str(space.getName())

    def _known(self, name: str) -> str:
        if space := self._canonical(name):
            return space
        known = [*self.names(), *(str(role) for role in self._config.getRoleNames())]
        for space in self.names():
            known += [str(alias) for alias in self._config.getColorSpace(space).getAliases()]
        lowered = {item.lower(): item for item in known}
        near = difflib.get_close_matches(name.lower(), lowered, n=4, cutoff=0.5)
        near = near or [item for item in lowered if name.lower() in item][:4]
        wanted = ", ".join(lowered[item] for item in near) or ", ".join(self.names()[:6]) + ", ..."
        raise ColorError(f"no colour space {name!r} in OCIO config {self.id}", hint=f"did you mean: {wanted}")

    def _between(self, source: str, target: str) -> Transform:
        return self._cached((source, target), (source, target), lambda: self._config.getProcessor(source, target))

    def _linear(self, encoding: str, *, inverse: bool) -> Transform:
        names = (f"{encoding} linear", self.working_space) if inverse else (self.working_space, f"{encoding} linear")
        return self._cached(("linear", *names), names, lambda: self._linear_processor(encoding, inverse=inverse))

    def _linear_processor(self, encoding: str, *, inverse: bool) -> Any:
        """By name, else through OCIO's built-in spaces, else the encoded space and the curve undone."""
        recipe = _ENCODINGS[_checked(encoding)]
        for name in recipe.linear:
            if space := self._canonical(name):
                pair = (space, self.working_space) if inverse else (self.working_space, space)
                return self._config.getProcessor(*pair)
        try:
            if inverse:
                return ocio.Config.GetProcessorFromBuiltinColorSpace(recipe.builtin, self._config, self.working_space)
            return ocio.Config.GetProcessorToBuiltinColorSpace(self._config, self.working_space, recipe.builtin)
        except ocio.Exception:
            return self._encoded_processor(encoding, recipe, inverse=inverse)

    def _encoded_processor(self, encoding: str, recipe: _Encoding, *, inverse: bool) -> Any:
        space = next(filter(None, map(self._canonical, recipe.encoded)), "")
        if not space:
            raise ColorError(
                f"OCIO config {self.id} has neither a space for the encoding {encoding} nor an interchange role",
                hint="use an ACES config, or add the role aces_interchange",
            )
        curve = _curve_transform(encoding)
        steps = [ocio.ColorSpaceTransform(self.working_space, space), curve]
        direction = ocio.TRANSFORM_DIR_INVERSE if inverse else ocio.TRANSFORM_DIR_FORWARD
        return self._config.getProcessor(ocio.GroupTransform(steps), direction)

    def _joined(self, encoding: str, *, inverse: bool) -> Transform:
        first = self._linear(encoding, inverse=inverse)
        curve = self.model_curve(encoding, decode=inverse)
        steps = (curve, first) if inverse else (first, curve)
        return Transform(steps[0].source, steps[1].target, _Chain(steps))

    def _cached(self, key: tuple[str, ...], names: tuple[str, str], build: Any) -> Transform:
        if key not in self._cache:
            try:
                processor = build().getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
            except ocio.Exception as error:
                text = " ".join(str(error).split())[:300]
                raise ColorError(f"OCIO cannot convert {names[0]} to {names[1]}: {text}", hint="fix --ocio") from error
            self._cache[key] = Transform(*names, processor)
        return self._cache[key]


@dataclass(frozen=True)
class _Chain:
    """Transforms one after the other, with the interface of a CPU processor."""

    steps: tuple[Transform, ...]

    def isNoOp(self) -> bool:  # noqa: N802 - OCIO's name
        return all(step.is_noop for step in self.steps)

    def applyRGB(self, pixels: F32) -> None:  # noqa: N802 - OCIO's name
        for step in self.steps:
            if not step.is_noop:
                step._processor.applyRGB(pixels)


def _checked(encoding: str) -> str:
    if encoding not in _ENCODINGS:
        raise ColorError(f"unknown model encoding {encoding!r}", hint=f"use one of {', '.join(_ENCODINGS)}")
    return encoding


@dataclass(frozen=True)
class ModelSpace:
    """The space that networks see: exposure `gain`, then Rec.709 and the sRGB curve (or ACEScct).

    `gain` is linear and belongs to the shot, never to a frame (unless an exposure curve says so).
    """

    config: ColorConfig
    gain: float
    encoding: str = "srgb"

    def __post_init__(self) -> None:
        """Refuse gains and encodings that cannot mean anything."""
        _checked(self.encoding)
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ColorError(f"exposure gain {self.gain} is not a positive number", hint="measure the shot again")

    def linear(self, rgb: WorkingRgb) -> F32:
        """(..., 3) working -> exposure-normalised linear (Rec.709 for srgb), unclipped."""
        result = self.config.working_to_model_linear(self.encoding).apply(rgb)
        result *= np.float32(self.gain)
        return result

    def unlinear(self, rgb: F32) -> WorkingRgb:
        """The inverse of `linear`."""
        result = self.config.model_linear_to_working(self.encoding).apply(rgb)
        result /= np.float32(self.gain)
        return WorkingRgb(result)

    def encode(self, rgb: WorkingRgb) -> ModelRgb:
        """(..., 3) working -> encoded, clipped to [0, 1]."""
        encoded = self.config.model_curve(self.encoding, decode=False).apply(self.linear(rgb))
        return ModelRgb(np.clip(encoded, 0.0, 1.0, out=encoded))

    def decode_linear(self, rgb: ModelRgb) -> F32:
        """(..., 3) encoded -> exposure-normalised linear."""
        return self.config.model_curve(self.encoding, decode=True).apply(rgb)

    def decode(self, rgb: ModelRgb) -> WorkingRgb:
        """(..., 3) encoded -> working. Inverse of `encode` for what was not clipped."""
        return self.unlinear(self.decode_linear(rgb))

    def restore(self, prediction: ModelRgb, plate: WorkingRgb, strength: float = 1.0) -> WorkingRgb:
        """Decode `prediction` and give back what clipping took from `plate` at the same pixels.

        out = pred * (P / clip(P)) per channel, P the plate in exposure-normalised linear light. The ratio is 1
        wherever the plate was in range, is capped at MAX_RATIO, and fades in with the prediction's own
        brightness (its largest encoded channel, smoothstep over GATE): where the likeness is dark, such as
        brows and pupils, the double's highlights are not painted on it. Negative components (colours outside
        Rec.709) come back by their residual. A perfect prediction, encode(plate), gives the plate back.

        Args:
            prediction: (..., 3) in [0, 1].
            plate: (..., 3), the same shape, finite.
            strength: 0 decodes only, 1 restores in full.
        """
        low, high = self._range()
        scene = self.linear(plate)
        ratio = np.clip(scene / high, 1.0, np.float32(MAX_RATIO))
        # Pairwise, because numpy reduces an axis of three slowly.
        brightness = np.maximum(np.maximum(prediction[..., :1], prediction[..., 1:2]), prediction[..., 2:])
        t = np.clip((brightness - GATE[0]) / (GATE[1] - GATE[0]), 0.0, 1.0)
        gate = np.float32(strength) * t * t * (3.0 - 2.0 * t)
        result = self.decode_linear(prediction)
        result *= 1.0 + gate * (ratio - 1.0)
        result += np.float32(strength) * np.minimum(scene - low, 0.0)
        return self.unlinear(result)

    def to_json(self) -> dict[str, Any]:
        """What a model or measurement file records."""
        return {
            "encoding": self.encoding,
            "gain": float(self.gain),
            "config": {"id": self.config.id, "hash": self.config.hash, "working_space": self.config.working_space},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], config: ColorConfig) -> ModelSpace:
        """The space of `to_json` under `config`; another config than the recorded one is fine, Rec.709 is Rec.709.

        Raises:
            ColorError: missing or senseless values.
        """
        try:
            return ModelSpace(config, float(data["gain"]), str(data["encoding"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ColorError(f"not a model space record: {error!r}", hint="make the file again") from error

    def _range(self) -> tuple[np.float32, np.float32]:
        """The linear values of codes 0 and 1."""
        ends = self.decode_linear(ModelRgb(np.array([[0, 0, 0], [1, 1, 1]], np.float32)))
        return np.float32(ends[0, 0]), np.float32(ends[1, 0])


def luminance(rgb: WorkingRgb, config: ColorConfig) -> F32:
    """(..., 3) working -> (...) relative luminance, linear, unbounded."""
    return np.asarray(np.asarray(rgb, np.float32) @ config.luminance_weights().astype(np.float32), np.float32)


def exposure_from_percentiles(rgb: WorkingRgb, config: ColorConfig) -> float:
    """A first exposure gain for a picture nobody has found a face in yet.

    Puts the median luminance at 0.18, but never so high that the 95th percentile passes 0.8: in a low-key set
    the face is among the brightest things. Black (letterbox), NaN and Inf do not count; the result stays within
    +-8 stops and is 1.0 for a picture without light. At most about 2^18 pixels are looked at.

    Args:
        rgb: (H, W, 3) working space.
        config: what the working space is.
    """
    step = max(1, math.ceil(math.sqrt(rgb.shape[0] * rgb.shape[1] / 2**18)))
    values = luminance(WorkingRgb(rgb[::step, ::step]), config)
    values = values[np.isfinite(values) & (values > 1e-6)]
    if values.size == 0:
        return 1.0
    median, bright = np.percentile(values.astype(np.float64), [50.0, 95.0])
    gain = min(MIDDLE_GREY / median, 0.8 / bright)
    return float(np.clip(gain, 2.0**-MAX_STOPS, 2.0**MAX_STOPS))
