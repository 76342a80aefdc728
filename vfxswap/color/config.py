"""An OCIO config: which space a file is in, and conversions between its spaces and the model encodings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813

from vfxswap import atomic, documents
from vfxswap.color import bundling, digest, names
from vfxswap.color.encodings import ENCODINGS, Encoding, checked, curve_transform
from vfxswap.errors import ColorError
from vfxswap.pixels import F32, F64, AnyArray

PINNED_CONFIG = "ocio://cg-config-v2.2.0_aces-v1.3_ocio-v2.4"
"""Used when neither an argument nor $OCIO names a config. Never `ocio://default`: that changes with OCIO."""

SCENE_LINEAR = ocio.ROLE_SCENE_LINEAR

_URI = "ocio://"
_ARCHIVE = ".ocioz"
_REC709_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709, luminance of linear R, G, B
_NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
# Not one the other's base class in PyOpenColorIO: a missing LUT would pass by `except ocio.Exception`.
_FAILURES = (ocio.Exception, ocio.ExceptionMissingFile)


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

    def apply(self, rgb: AnyArray) -> F32:
        """Convert (..., 3) pixels of any float type; returns a new float32 array."""
        result = np.array(rgb, dtype=np.float32, order="C", copy=True)
        if result.shape[-1:] != (3,):
            raise ColorError(f"pixels of shape {result.shape} have no R, G, B as their last axis")
        if result.size and not self.is_noop:
            self._processor.applyRGB(result)
        return result


class ColorConfig:
    """An OCIO config with its context. Immutable: the only state is caches of processors and curves."""

    def __init__(self, config: Any, identifier: str, *, context: Mapping[str, str] = _NO_VARIABLES) -> None:
        """Wrap a loaded config; use `load`."""
        _set_context(config, context, identifier)
        self._config = config
        self._cache: dict[tuple[str, ...], Transform] = {}
        self._codes: dict[str, F32] = {}
        self.id = identifier
        """The URI of a built-in config or the path of a file."""
        self.context: Mapping[str, str] = MappingProxyType(dict(context))
        """The context variables it was loaded with."""
        self.working_space = self._canonical(SCENE_LINEAR)
        """The colour space of the role scene_linear."""
        if not self.working_space:
            raise ColorError(f"OCIO config {identifier} has no scene_linear role", hint="choose a config with one")

    def __repr__(self) -> str:
        """The config's id."""
        return f"ColorConfig({self.id!r})"

    @staticmethod
    def load(explicit: str | Path | None = None, *, context: Mapping[str, str] = _NO_VARIABLES) -> ColorConfig:
        """The config `explicit` (path or ocio:// URI), else `$OCIO`, else the pinned built-in one.

        Args:
            explicit: what the user named.
            context: values of the config's context variables (SHOT and the like). They win over the environment,
                which wins over the config's own defaults.

        Raises:
            ColorError: missing or unusable config, or a context variable that it does not use.
        """
        from_environment = os.environ.get("OCIO", "").strip()
        name = str(explicit) if explicit else from_environment or PINNED_CONFIG
        origin = "" if explicit else " (from $OCIO)" if from_environment else ""
        problem = "" if name.startswith(_URI) else documents.path_problem(name)
        if problem:
            raise ColorError(f"no OCIO config is named {name[:80]!r}: {problem}", hint="fix --color-config or $OCIO")
        try:
            config = ocio.Config.CreateFromFile(name)
        except ocio.ExceptionMissingFile as error:
            raise ColorError(f"OCIO config not found: {name}{origin}", hint="fix --color-config or $OCIO") from error
        except (ocio.Exception, RuntimeError, TypeError, UnicodeDecodeError) as error:
            raise ColorError(
                f"OCIO config {name}{origin} cannot be used: {_line(error)}", hint="fix the config"
            ) from error
        if name.startswith(_URI):
            name = f"{_URI}{config.getName()}"  # ocio://default and friends are recorded as what they are now
        return ColorConfig(config, name, context=context)

    @cached_property
    def hash(self) -> str:
        """Digest of the config, its context and its LUTs: two configs that convert alike have the same one."""
        archive = Path(self.id) if self.id.endswith(_ARCHIVE) else None
        try:
            return digest.config_hash(self._config, archive)
        except UnicodeDecodeError as error:
            raise ColorError(f"OCIO config {self.id} is not UTF-8 text", hint="save it as UTF-8") from error

    def record(self) -> dict[str, str]:
        """What files and headers say of the config. A file's id is its name: paths do not belong into results."""
        name = self.id if self.id.startswith(_URI) else Path(self.id).name
        return {"id": name, "hash": self.hash, "working_space": self.working_space}

    def files(self) -> tuple[Path, ...]:
        """The LUTs and other files that the config refers to, as its context resolves them.

        Missing ones are left out; those in an archive have no paths.
        """
        return () if self.id.endswith(_ARCHIVE) else digest.files(self._config)

    def environment(self) -> dict[str, str]:
        """Variables that the config uses and that it has from this process's environment: another one has others."""
        declared = {str(name) for name in self._config.getEnvironmentVarNames()} - {*self.context}
        text = str(self._config.serialize())
        used = {name for name in os.environ if name in declared or any(form in text for form in _forms(name))}
        return {name: os.environ[name] for name in sorted(used - {*self.context})}

    def bundle(self, path: Path) -> None:
        """Write an .ocioz that holds the config and the files it refers to: it has the same `hash` on every machine.

        Args:
            path: the file to write.

        Raises:
            ColorError: the config comes with OCIO, or names a file by its whole path or upwards.
            OutputError, ResourceError: as `atomic.replacing`.
        """
        if self.id.startswith(_URI):
            raise ColorError(f"OCIO config {self.id} is part of OCIO", hint="every machine has it: do not bundle it")
        if self.id.endswith(_ARCHIVE):
            with atomic.replacing(path) as temporary:
                shutil.copyfile(self.id, temporary)
        else:
            bundling.write(self._config, path, identifier=self.id)
        if ColorConfig.load(path, context=self.context).hash != self.hash:
            path.unlink()
            raise ColorError(f"a copy of OCIO config {self.id} does not convert as it does", hint="do not bundle it")

    def names(self) -> tuple[str, ...]:
        """The names of all colour spaces, active and inactive."""
        return names.spaces(self._config)

    def is_linear(self, space: str) -> bool:
        """True when values of `space` are proportional to scene light; False for logs, displays and data.

        Raises:
            ColorError: unknown space, or a file of it is missing.
        """
        name = self._known(space)
        try:
            return bool(self._config.isColorSpaceLinear(name, ocio.REFERENCE_SPACE_SCENE))
        except _FAILURES as error:
            raise self._failure(name, self.working_space, error) from error

    def file_space(self, *, explicit: str | None = None, tagged: str | None = None, path: str = "") -> str:
        """The colour space of a file: explicit, else its tag, else file rules, else scene_linear.

        File rules are skipped where only the Default rule matches: in the ACES configs it says ACES2065-1, which
        would misread every untagged ACEScg plate. A tag that the config does not know is skipped as well, unless
        it names a camera's log: light cannot be guessed from that.

        Args:
            explicit: colour space, alias or role that the user named.
            tagged: what the file says (`Frame.file_color_space`): an interop id or a name.
            path: the file's path, for the rules.

        Raises:
            ColorError: the config does not know `explicit`, or the log that the file is tagged with.
        """
        if explicit:
            return self._known(explicit)
        if tagged:
            # Configs older than the interop ids know "lin_ap1_scene" as "lin_ap1".
            for name in (tagged, tagged.removesuffix("_scene")):
                if space := self._canonical(name):
                    return space
            if names.is_camera_log(tagged):
                raise ColorError(
                    f"the file says it is in {tagged!r}, which OCIO config {self.id} does not have",
                    hint=f"{names.hint(tagged, self._config)}, or name the space with --colorspace",
                )
        if path and not self._config.filepathOnlyMatchesDefaultRule(path):
            space, _ = self._config.getColorSpaceFromFilepath(path)
            return self._known(str(space))
        return self.working_space

    def to_working(self, space: str) -> Transform:
        """`space` -> working space. Raises ColorError for unknown names and missing LUTs."""
        return self._between(self._known(space), self.working_space)

    def from_working(self, space: str) -> Transform:
        """Working space -> `space`. Raises ColorError for unknown names and missing LUTs."""
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
        transform = curve_transform(checked(encoding))
        pair = (encoding, f"{encoding} linear") if decode else (f"{encoding} linear", encoding)
        direction = ocio.TRANSFORM_DIR_FORWARD if decode else ocio.TRANSFORM_DIR_INVERSE
        return self._cached(("curve", *pair), pair, lambda: ocio.Config.CreateRaw().getProcessor(transform, direction))

    def half_codes(self, encoding: str = "srgb") -> F32:
        """(65536,) the code in [0, 1] of every half, by its bits, infinities as the largest numbers; 0 for NaN."""
        if encoding not in self._codes:
            halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
            grey = np.repeat(np.nan_to_num(halves, nan=0.0, posinf=65504.0, neginf=-65504.0)[:, None], 3, axis=1)
            codes = self.model_curve(encoding, decode=False).apply(grey)[:, 0]
            self._codes[encoding] = np.clip(codes, 0.0, 1.0)
        return self._codes[encoding]

    def luminance_weights(self) -> F64:
        """(3,) weights of the working space's R, G, B in relative luminance (white is 1)."""
        matrix = self.working_to_model_linear().apply(np.eye(3, dtype=np.float32)).astype(np.float64)
        return np.asarray(matrix @ _REC709_WEIGHTS, np.float64)

    def displays(self) -> Mapping[str, tuple[str, ...]]:
        """Display -> its views of pictures, the default display and its default view first.

        Views of data (Raw) and views that the config cannot resolve are left out.
        """
        first = str(self._config.getDefaultDisplay())
        names_ = sorted(map(str, self._config.getDisplays()), key=lambda name: name != first)
        found = {display: self._views(display) for display in names_}
        return {display: views for display, views in found.items() if views}

    def to_display(self, display: str, view: str) -> Transform:
        """Working space -> the codes of a display's view, as a viewer shows them.

        Raises:
            ColorError: unknown display or view, or a file of it is missing.
        """
        known = self.displays()
        if view not in known.get(display, ()):
            choices = "; ".join(f"{name}: {', '.join(views)}" for name, views in known.items())
            raise ColorError(
                f"no view {view!r} of a display {display!r} in OCIO config {self.id}", hint=f"there are {choices}"
            )
        target = f"{display} / {view}"
        transform = ocio.DisplayViewTransform(self.working_space, display, view)
        pair = (self.working_space, target)
        return self._cached(("display", *pair), pair, lambda: self._config.getProcessor(transform))

    # ------------------------------------------------------------------------------------------- internals

    def _views(self, display: str) -> tuple[str, ...]:
        default = str(self._config.getDefaultView(display))
        views = sorted(map(str, self._config.getViews(display)), key=lambda name: name != default)
        shown = []
        for view in views:
            name = str(self._config.getDisplayViewColorSpaceName(display, view))
            space = self._config.getColorSpace(display if name == "<USE_DISPLAY_NAME>" else name)
            if space is not None and not space.isData():
                shown.append(view)
        return tuple(shown)

    def _canonical(self, name: str) -> str:
        """The colour space that `name` (name, alias or role) stands for, or ""."""
        space = self._config.getColorSpace(name)
        return "" if space is None else str(space.getName())

    def _known(self, name: str) -> str:
        if space := self._canonical(name):
            return space
        raise ColorError(f"no colour space {name!r} in OCIO config {self.id}", hint=names.hint(name, self._config))

    def _between(self, source: str, target: str) -> Transform:
        return self._cached((source, target), (source, target), lambda: self._config.getProcessor(source, target))

    def _linear(self, encoding: str, *, inverse: bool) -> Transform:
        pair = (f"{encoding} linear", self.working_space) if inverse else (self.working_space, f"{encoding} linear")
        return self._cached(("linear", *pair), pair, lambda: self._linear_processor(encoding, inverse=inverse))

    def _linear_processor(self, encoding: str, *, inverse: bool) -> Any:
        """By name, else through OCIO's built-in spaces, else the encoded space and the curve undone."""
        recipe = ENCODINGS[checked(encoding)]
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

    def _encoded_processor(self, encoding: str, recipe: Encoding, *, inverse: bool) -> Any:
        for space in filter(None, map(self._canonical, recipe.encoded)):
            steps = [ocio.ColorSpaceTransform(self.working_space, space), curve_transform(encoding)]
            group = ocio.GroupTransform(steps)
            if _keeps_greys(self._config.getProcessor(group, ocio.TRANSFORM_DIR_FORWARD)):
                direction = ocio.TRANSFORM_DIR_INVERSE if inverse else ocio.TRANSFORM_DIR_FORWARD
                return self._config.getProcessor(group, direction)
        raise ColorError(
            f"OCIO config {self.id} has neither a space for the encoding {encoding} nor an interchange role",
            hint="use an ACES config, or add the role aces_interchange",
        )

    def _joined(self, encoding: str, *, inverse: bool) -> Transform:
        first = self._linear(encoding, inverse=inverse)
        curve = self.model_curve(encoding, decode=inverse)
        steps = (curve, first) if inverse else (first, curve)
        return Transform(steps[0].source, steps[1].target, _Chain(steps))

    def _cached(self, key: tuple[str, ...], pair: tuple[str, str], build: Callable[[], Any]) -> Transform:
        if key not in self._cache:
            # OCIO keeps LUTs by their path, inside an .ocioz too: without this one archive gets another one's LUTs.
            ocio.ClearAllCaches()
            try:
                processor = build().getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
            except _FAILURES as error:
                raise self._failure(*pair, error) from error
            self._cache[key] = Transform(*pair, processor)
        return self._cache[key]

    def _failure(self, source: str, target: str, error: Exception) -> ColorError:
        text = f"OCIO config {self.id} cannot convert {source} to {target}: {_line(error)}"
        if not isinstance(error, ocio.ExceptionMissingFile):
            return ColorError(text, hint="fix the config")
        set_to = ", ".join(f"{name}={value}" for name, value in sorted(self._variables().items()))
        variables = f" and its context variables ({set_to})" if set_to else ""
        return ColorError(text, hint=f"check the config's search path{variables}")

    def _variables(self) -> dict[str, str]:
        """The context variables that the config declares or was given, with their values."""
        values = dict(self._config.getCurrentContext().getStringVars())
        wanted = {*map(str, self._config.getEnvironmentVarNames()), *self.context}
        return {str(name): str(value) for name, value in values.items() if name in wanted}


def _set_context(config: Any, context: Mapping[str, str], identifier: str) -> None:
    """Give `config` its variables; with them its text changes, but not what it converts where none is used."""
    declared = [str(name) for name in config.getEnvironmentVarNames()]
    text = str(config.serialize()) if context else ""
    for name, value in context.items():
        if name not in declared and not any(form in text for form in _forms(name)):
            near = names.nearest(name, declared)
            raise ColorError(
                f"OCIO config {identifier} uses no context variable {name!r}",
                hint=f"did you mean: {', '.join(near)}" if near else "leave it out",
            )
        config.addEnvironmentVar(name, value)


def _forms(name: str) -> tuple[str, ...]:
    """How a config writes a context variable."""
    return (f"${{{name}}}", f"${name}", f"%{name}%")


def _keeps_greys(processor: Any) -> bool:
    """True when a conversion leaves greys what they are: then the curve that it undoes was the right one."""
    greys = np.repeat(np.array([[0.0], [0.02], [0.18], [1.0]], np.float32), 3, axis=1)
    result = greys.copy()
    processor.getDefaultCPUProcessor().applyRGB(result)
    return bool(np.allclose(result, greys, rtol=0.02, atol=2e-3))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


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
