"""SwapJob: the one description of a shot's work. The command line, the hosts and the farm all speak it.

A job file is JSON with the schema `vfxswap.job/1`. Relative paths in a job FILE are relative to that file's
folder; in a `SwapJob` object they are relative to the current folder, as everywhere. `save` writes absolute ones.
Knob metadata (default, limits, unit, help) lives with the fields of `SwapParameters` and nowhere else.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NoReturn, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from vfxswap import atomic, documents
from vfxswap.errors import JobError
from vfxswap.matte_input import MatteInput

SCHEMA: Final = "vfxswap.job/1"

Layers = Literal["comp", "ingredients", "patch"]
Device = Literal["auto", "cpu", "cuda"]
SkinTone = Literal["plate", "likeness"]
LightMatch = Literal["membrane", "bands", "mean", "spread", "none"]


class Pass(StrEnum):
    """Files beside the output: the face's texture coordinates, and crop raster -> plate position."""

    UV = "uv"
    STMAP_INVERSE = "stmap_inverse"


Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
"""Lower-case hex, or empty where it is not known yet."""


def _listed(value: object) -> object:
    """One matte may be written as plain text; empty text is none. A tuple, because job files are read strictly."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _checked(mattes: tuple[str, ...]) -> tuple[str, ...]:
    for text in mattes:
        MatteInput.parse(text)  # raises JobError
    return mattes


Mattes = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    AfterValidator(_checked),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]
"""Mattes in the notation of `MatteInput` (docs/mattes.md)."""

_NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})

_SHOT = r"^([A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*){2})?$"
_URI = "ocio://"


_LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}

_EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
    "model_type": "an object",
    "string_too_short": "some text",
}
"""pydantic's names of what was wrong -> what an artist should write instead."""

_PATTERN_HINTS = {
    "shot": "write it as PROJECT/SEQUENCE/SHOT of letters, digits, '_' and '-'",
    "model_sha256": "64 lower-case hexadecimal digits are expected",
}


def _knob(default: Any, text: str, *, unit: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A field of SwapParameters with the metadata that `knobs` reads back."""
    return Field(default=default, ge=low, le=high, description=text, json_schema_extra={"unit": unit})


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @model_validator(mode="after")
    def _names_files(self) -> Self:
        """Refuse paths that no system takes before anything tries to open them; raises JobError."""
        for name in _PATHS & self.model_fields_set:
            value = getattr(self, name)
            for text in value if isinstance(value, tuple) else (value,):
                problem = documents.path_problem(text) if text is not None else ""
                if problem:
                    raise JobError(f"{name} is {_short(str(text))}: {problem}", hint="give a path")
        return self


_PATHS: Final = frozenset(
    ("plate", "output", "model", "keyring", "track", "measurements", "lens", "color_config", "consents")
)


class SwapParameters(_Record):
    """What an artist dials. Every field is a knob."""

    mix: float = _knob(1.0, "How much of the swapped face is shown; 0 gives the plate back.", low=0, high=1)
    relight: float = _knob(1.0, "How strongly the face takes the light of its surroundings.", low=0, high=1)
    match: LightMatch = _knob(
        "membrane",
        "What the relight goes by: tone and edge (membrane), tone and coarse bands of the plate (bands), tone alone"
        " (mean), tone and spread of light (spread), or nothing.",
    )
    band_coarse: float = _knob(
        0.5, "With match bands: how much of the plate's light is taken above a quarter of the crop.", low=0, high=1
    )
    band_middle: float = _knob(0.0, "The same between a quarter and an eighth of the crop.", low=0, high=1)
    band_fine: float = _knob(0.0, "The same between an eighth and a sixteenth of the crop.", low=0, high=1)
    steady: float = _knob(
        1.0, "How much of what flickers in the painted face, and not in the plate, is taken out.", low=0, high=1
    )
    edge_erode: float = _knob(
        0.0, "Pull the matte's edge inwards; negative values push it outwards.", unit="% of face size", low=-10, high=10
    )
    edge_feather: float = _knob(2.0, "Width of the matte's soft edge.", unit="% of face size", low=0, high=20)
    edge_top: float = _knob(
        0.0, "Pull the edge at the forehead further inwards.", unit="% of face size", low=-10, high=10
    )
    edge_right: float = _knob(
        0.0,
        "Pull the edge at the right side, as the upright face is seen, further inwards.",
        unit="% of face size",
        low=-10,
        high=10,
    )
    edge_bottom: float = _knob(
        0.0, "Pull the edge at the chin further inwards.", unit="% of face size", low=-10, high=10
    )
    edge_left: float = _knob(
        0.0,
        "Pull the edge at the left side, as the upright face is seen, further inwards.",
        unit="% of face size",
        low=-10,
        high=10,
    )
    highlights: float = _knob(
        1.0, "How much of the plate's values above the model's range returns to the face.", low=0, high=1
    )
    skin_tone: SkinTone = _knob("plate", "Whose skin tone the result has: the plate's or the likeness's.")
    person: float = _knob(
        0.0, "How much the face is limited to what a network takes for the person: head, hair, body.", low=0, high=1
    )
    hands: float = _knob(
        1.0, "How far a hand that is found in the plate is kept in front of the face; 0 looks for none.", low=0, high=1
    )
    grain: float = _knob(1.0, "How much of the plate's measured grain is put on the face.", low=0, high=2)
    defocus: float = _knob(1.0, "How far the face is made as soft as the plate, octave by octave.", low=0, high=1)
    sharpen: float = _knob(0.0, "How far the face is made as sharp as the plate, never sharper.", low=0, high=1)
    motion_blur: float = _knob(1.0, "How much of the shutter's motion blur the face gets.", low=0, high=2)
    shutter: float = _knob(
        0.0,
        "Shutter angle; 0 takes the plate's header at its word, and is none where that is silent.",
        unit="degrees",
        low=0,
        high=360,
    )


class FaceSwap(_Record):
    """One face of a plate and the model that goes on it."""

    face: str = Field(description="The face: INDEX by prominence, NAME in the track, or X,Y in the plate.")
    model: Path = Field(description="The .vfxmodel.")
    model_sha256: Sha256 = Field(default="", description="sha256 of the model file, to notice another one.")
    measurements: Path | None = Field(default=None, description="A .vfxshot; without it the job measures by itself.")
    matte: Mattes = Field(default=(), description="Mattes for this face alone, beside the job's.")
    parameters: SwapParameters | None = Field(default=None, description="This face's knobs; without: the job's.")


class SwapJob(_Record):
    """One shot's swap, complete: any worker that reads it renders the same pixels."""

    schema_version: Literal["vfxswap.job/1"] = Field(
        default=SCHEMA, alias="schema", description="Name and version of this format."
    )
    host: str = Field(default="cli", description="The program that wrote the job: cli, nuke, resolve ...")
    host_version: str = Field(default="", description="That program's version.")
    shot: str = Field(
        default="", pattern=_SHOT, description="PROJECT/SEQUENCE/SHOT; empty: local/local/<the plate's folder>."
    )
    plate: str = Field(min_length=1, description="The plate: pattern, folder or one file.")
    frames: str = Field(default="", description="Frame range of the job, such as 1001-1048; empty: all there are.")
    view: str = Field(default="", description="View of a stereo plate, or `all`; empty: the first.")
    part: str = Field(default="", description="Part of a multi-part EXR by name; empty: the first that holds RGB.")
    face: str = Field(default="0", description="The face: INDEX by prominence, NAME in the track, or X,Y in the plate.")
    color_config: str = Field(default="", description="OCIO config: a path or ocio:// URI; empty: $OCIO or built in.")
    color_config_hash: str = Field(default="", description="Cache id of that config, to notice another one.")
    color_context: dict[str, str] = Field(default={}, description="Context variables for the OCIO config.")
    color_space: str = Field(default="", description="The plate's color space; empty: from file, rules, scene_linear.")
    lens: str = Field(
        default="", description="Undistorting STMap, one or one for each frame, for tracking and warps; empty: none."
    )
    model: Path = Field(description="The .vfxmodel.")
    model_sha256: Sha256 = Field(default="", description="sha256 of the model file, to notice another one.")
    consents: tuple[Path, ...] = Field(default=(), description="Signed consent records of likeness and double.")
    keyring: Path | None = Field(default=None, description="Folder of trusted keys and revocation lists.")
    track: Path | None = Field(default=None, description="A .vfxtrack; without it the job tracks by itself.")
    measurements: Path | None = Field(default=None, description="A .vfxshot; without it the job measures by itself.")
    matte: Mattes = Field(default=(), description="Artist mattes: SEQ[:CHANNEL][,holdout][,invert][,grow=PX] ...")
    also: tuple[FaceSwap, ...] = Field(default=(), description="Further faces of the plate; the last is in front.")
    output: str = Field(min_length=1, description="Where the frames go, such as out/shot.%04d.exr.")
    layers: Layers = Field(default="comp", description="What is written: the comp, all ingredients, or the face alone.")
    passes: tuple[Pass, ...] = Field(default=(), description="Further files beside the output: uv, stmap_inverse.")
    device: Device = Field(default="auto", description="Where networks run.")
    overwrite: bool = Field(default=False, description="Render frames again that are there and up to date.")
    parameters: SwapParameters = Field(default=SwapParameters(), description="The artist's knobs.")

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """A validated job from keyword arguments.

        Raises:
            JobError: names the field, what was got and what is allowed.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            _refuse(error, None)

    @classmethod
    def load(cls, path: Path, *, defaults: Mapping[str, Any] = _NO_DEFAULTS) -> Self:
        """Read and validate a job file; relative paths in it are anchored at its folder.

        Args:
            path: the file.
            defaults: field -> JSON value, for fields and knobs that the file leaves out (`vfxswap.toml`).

        Raises:
            JobError: unreadable, not JSON, another schema, or a field that does not validate.
        """
        text = _read(path)
        _check_schema(text, path)
        text = _filled(text, defaults)
        try:
            job = cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            _refuse(error, path)
        return job._anchored(path.absolute().parent)

    def save(self, path: Path) -> None:
        """Write the job file atomically, with absolute paths.

        Raises:
            OutputError: no permission. ResourceError: the disk is full.
        """
        atomic.write_text(path, self._anchored(Path.cwd()).to_json())

    def to_json(self) -> str:
        """The job as the JSON text of a job file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed; raises JobError."""
        return self.make(**{**self.model_dump(), **changes})

    @property
    def swaps(self) -> tuple[FaceSwap, ...]:
        """Every face of the job with its model, mattes and knobs; the last is in front."""
        first = FaceSwap(
            face=self.face,
            model=self.model,
            model_sha256=self.model_sha256,
            measurements=self.measurements,
            matte=self.matte,
            parameters=self.parameters,
        )
        return (
            first,
            *(
                other.model_copy(
                    update={"matte": self.matte + other.matte, "parameters": other.parameters or self.parameters}
                )
                for other in self.also
            ),
        )

    @property
    def plate_folder(self) -> str:
        """Name of the folder that holds the plate; a job without a shot is `local/local/<this>`."""
        path = Path(self.plate).absolute()
        return (path if path.is_dir() else path.parent).name

    def _anchored(self, folder: Path) -> Self:
        """The same job with every relative path made absolute below `folder`."""

        def anchor(value: Path) -> Path:
            # normpath would resolve `a/../b` wrongly through symbolic links, so dots stay as written.
            return folder / value

        changes: dict[str, Any] = {
            "plate": str(anchor(Path(self.plate))),
            "output": str(anchor(Path(self.output))),
            "model": anchor(self.model),
            "consents": tuple(anchor(consent) for consent in self.consents),
        }
        for name in ("keyring", "track", "measurements"):
            value = getattr(self, name)
            changes[name] = None if value is None else anchor(value)

        def anchored(mattes: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(str(MatteInput.parse(text).anchored(folder)) for text in mattes)

        changes["matte"] = anchored(self.matte)
        changes["also"] = tuple(
            other.model_copy(
                update={
                    "model": anchor(other.model),
                    "measurements": None if other.measurements is None else anchor(other.measurements),
                    "matte": anchored(other.matte),
                }
            )
            for other in self.also
        )
        if self.lens:
            changes["lens"] = str(anchor(Path(self.lens)))
        if self.color_config and not self.color_config.startswith(_URI):
            changes["color_config"] = str(anchor(Path(self.color_config)))
        return self.model_copy(update=changes)


def _filled(text: str, defaults: Mapping[str, Any]) -> str:
    """A job's JSON with `defaults` where it says nothing. A host's job is what its artist sees, and stays as it is."""
    given = documents.json_value(text, constants=True)
    if not defaults or given.get("host", "cli") != "cli":
        return text
    filled = {**defaults, **given}
    knobs = given.get("parameters", {})
    if isinstance(knobs, dict) and "parameters" in defaults:
        filled["parameters"] = {**defaults["parameters"], **knobs}
    return json.dumps(filled)


def schema_json() -> str:
    """The JSON Schema of a job file, which the hosts' bridge is held against."""
    return json.dumps(SwapJob.model_json_schema(by_alias=True), indent=2) + "\n"


@dataclass(frozen=True)
class Knob:
    """One dial as the command line, Nuke and the documentation show it.

    Attributes:
        low: least value of a number, None for a choice.
        high: greatest value of a number, None for a choice.
        choices: the allowed words of a choice, empty for a number.
    """

    name: str
    default: float | str
    low: float | None
    high: float | None
    unit: str
    help: str
    choices: tuple[str, ...] = ()


def knobs() -> list[Knob]:
    """Every knob in the order of `SwapParameters`, read from its fields."""
    result = []
    for name, field in SwapParameters.model_fields.items():
        extra = field.json_schema_extra
        result.append(
            Knob(
                name=name,
                default=field.default,
                low=_limit(field.metadata, "ge"),
                high=_limit(field.metadata, "le"),
                unit=str(extra["unit"]) if isinstance(extra, dict) else "",
                help=field.description or "",
                choices=tuple(str(choice) for choice in get_args(field.annotation)),
            )
        )
    return result


def _limit(metadata: Sequence[object], kind: str) -> float | None:
    return next((float(getattr(rule, kind)) for rule in metadata if hasattr(rule, kind)), None)


def _read(path: Path) -> str:
    try:
        return documents.read_text(path, most=documents.SMALL)
    except FileNotFoundError as error:
        raise JobError("no such job file", path=path, hint="write one with --save-job") from error
    except UnicodeDecodeError as error:
        raise JobError("the job file is not UTF-8 text", path=path) from error
    except documents.TooLargeError as error:
        raise JobError(f"not a job file: {error}", path=path, hint="give JOB.json") from error
    except OSError as error:
        raise JobError(f"cannot read the job file: {error.strerror}", path=path, hint="give JOB.json") from error


def _check_schema(text: str, path: Path) -> None:
    """Refuse by name what is not a job file or is a newer one, before any field is looked at."""
    try:
        data = documents.json_value(text, constants=True)
    except json.JSONDecodeError as error:
        raise JobError(f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}", path=path) from error
    except ValueError as error:
        raise JobError(f"not a job file: {error}", path=path) from error
    if not isinstance(data, dict):
        raise JobError(f"not a job file: a JSON object is expected, got {type(data).__name__}", path=path)
    schema = data.get("schema")
    if schema is None:
        raise JobError("not a job file: 'schema' is missing", path=path, hint=f'add "schema": "{SCHEMA}"')
    if schema != SCHEMA:
        other = documents.other_version(schema, SCHEMA)
        if other is not None:
            raise JobError(other[0], path=path, hint=other[1])
        text = repr(schema)[:80]
        raise JobError(f"schema is {text}, not {SCHEMA!r}", path=path, hint=f"a job file says {SCHEMA}")


def _refuse(error: ValidationError, path: Path | None) -> NoReturn:
    """Turn pydantic's report into one line: the first problem, and how many more there are."""
    problems = error.errors(include_url=False, include_context=True)
    message, hint = _explain(problems[0])
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more)"
    raise JobError(message, hint=hint, path=path) from error


def _explain(problem: ErrorDetails) -> tuple[str, str]:
    """(message, hint) of one pydantic problem."""
    field = ".".join(str(step) for step in problem["loc"])
    kind, context = problem["type"], problem.get("ctx", {})
    got = f"{field} is {_short(problem['input'])}"
    if kind == "extra_forbidden":
        return f"unknown key {_short(field)}", _nearest(problem["loc"])
    if kind == "missing":
        return f"{field!r} is missing", ""
    if kind == "literal_error":
        return f"{got}, allowed is {context['expected']}", ""
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{got}, allowed is {words} {context[key]:g}", ""
    if kind == "string_pattern_mismatch":
        return f"{got}, which does not match", _PATTERN_HINTS.get(field, f"the pattern is {context['pattern']}")
    if kind in _EXPECTED:
        return f"{got}, {_EXPECTED[kind]} is expected", ""
    return f"{got}: {problem['msg'][0].lower()}{problem['msg'][1:]}", ""


def _nearest(location: tuple[int | str, ...]) -> str:
    """A hint that names the key closest to an unknown one, among the keys of the record it is in."""
    inside: dict[str, type[_Record]] = {"parameters": SwapParameters, "also": FaceSwap}
    record: type[_Record] = next((inside[str(step)] for step in reversed(location[:-1]) if step in inside), SwapJob)
    names = [field.alias or name for name, field in record.model_fields.items()]
    match = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else "allowed are " + ", ".join(names)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
