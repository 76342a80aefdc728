"""`vfxswap.toml`: a show's defaults. One rule of precedence: flag, then job, then vfxswap.toml, then built-in default.

The file is found upwards from the current folder, or named by `--config`. It is found without being asked for, so it
may hold only what cannot change whom consent is asked of or what is overwritten: see `PERMITTED` and `WITHHELD`.
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from vfxswap import documents
from vfxswap.errors import ConfigError

NAME: Final = "vfxswap.toml"
HELP: Final = f"The show's defaults; the nearest {NAME} upwards without."

_KNOBS: Final = ("mix", "relight", "edge-erode", "edge-feather", "highlights", "skin-tone", "person", "hands")

EVERYWHERE: Final = ("color-config", "color-context", "colorspace", "lens", "view", "part", "device", "consent")
"""Options that mean the same to every command: they may stand above the tables, by their long names."""

PERMITTED: Final = (
    *EVERYWHERE,
    *("layers", "pass", *_KNOBS),
    *("preset", "encoding", "precision", "size", "near"),
    *("to", "chunk", "pool", "group", "priority", "handles"),
)
"""Options that a command's table may set."""

WITHHELD: Final = {
    "keyring": "whose signatures count is not decided by a file that lies in the way",
    "shot": "the shot that consent is asked for is not decided by a file that lies in the way",
    "overwrite": "what is written over is said each time",
    "sign": "what is signed is said each time",
}
"""Options that people look for and the file may not set, and why."""

_PATHS: Final = ("color-config", "lens", "consent")
_URI: Final = "ocio://"

_FIELDS: Final = {
    "color-config": "color_config",
    "color-context": "color_context",
    "colorspace": "color_space",
    "lens": "lens",
    "view": "view",
    "part": "part",
    "device": "device",
    "consent": "consents",
    "layers": "layers",
    "pass": "passes",
}
"""Option -> the job's field, for jobs that leave it out."""


@dataclass(frozen=True)
class Config:
    """A show's defaults.

    Attributes:
        path: the file; None where there is none.
        everywhere: option -> value, for every command that has the option.
        commands: command, in one word or two -> the same for it alone.
    """

    path: Path | None
    everywhere: Mapping[str, Any]
    commands: Mapping[str, Mapping[str, Any]]

    @classmethod
    def find(cls, arguments: Sequence[str], *, commands: Sequence[str], folder: Path | None = None) -> Config:
        """The file of `--config`, else the nearest `vfxswap.toml` upwards from `folder` (the current one without).

        Raises:
            ConfigError: it cannot be read, is not TOML, or has a key that it may not have.
        """
        given = named(arguments)
        path = Path(given) if given else nearest(Path.cwd() if folder is None else folder)
        return cls(None, {}, {}) if path is None else cls.load(path, commands=commands)

    @classmethod
    def load(cls, path: Path, *, commands: Sequence[str]) -> Config:
        """Read a file; `commands` are the tables that it may have. Raises ConfigError."""
        try:
            content = tomllib.loads(documents.read_text(path, most=documents.SMALL))
        except FileNotFoundError as error:
            raise ConfigError("no such file", path=path, hint="check --config") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"not TOML: {error}", path=path, hint="see docs/config.md") from error
        except RecursionError as error:
            raise ConfigError("not TOML: nested too deeply", path=path, hint="see docs/config.md") from error
        except UnicodeDecodeError as error:
            raise ConfigError("not UTF-8 text", path=path, hint="save it as UTF-8") from error
        except ValueError as error:
            raise ConfigError(f"not TOML: {error}", path=path, hint="see docs/config.md") from error
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", path=path, hint="check its permissions") from error
        # `consent` is a command and an option: a table is the one, a list the other.
        tables = {
            key: value
            for key, value in content.items()
            if key in commands and (isinstance(value, dict) or key not in EVERYWHERE)
        }
        for key, value in tables.items():
            if not isinstance(value, dict):
                raise ConfigError(f"{key!r} is a command: write a table, [{key}]", path=path)
        rest = {key: value for key, value in content.items() if key not in tables}
        for key in rest:
            if key in PERMITTED and key not in EVERYWHERE:
                raise ConfigError(f"{key!r} stands above the tables", path=path, hint="put it into one, such as [swap]")
            _check(key, path, also=commands)
        split = {name: dict(keys) for command, table in tables.items() for name, keys in _split(command, table)}
        for keys in split.values():
            for key in keys:
                _check(key, path)
        return cls(path, rest, split)

    def of(self, command: str) -> dict[str, Any]:
        """Option -> value for a command: its own table over what stands above the tables, paths from the file."""
        first, _, second = command.partition(" ")
        found = dict(self.everywhere)
        found |= self.commands.get(first, {})
        if second:
            found |= self.commands.get(command, {})
        return {key: self._anchored(key, value) for key, value in found.items()}

    def _anchored(self, key: str, value: Any) -> Any:
        """A path relative to the file's folder; context variables of a table as the command line writes them."""
        if key == "color-context" and isinstance(value, dict):
            return [f"{name}={text}" for name, text in value.items()]
        if key not in _PATHS or self.path is None:
            return value
        folder = self.path.absolute().parent

        def anchor(text: Any) -> Any:
            return str(folder / text) if isinstance(text, str) and text and not text.startswith(_URI) else text

        return [anchor(text) for text in value] if isinstance(value, list) else anchor(value)

    def defaults(self, name: str, command: Any) -> dict[str, Any]:
        """What to give a command as its context's `default_map`: parameter -> value, groups nested.

        Raises:
            ConfigError: a key of the command's own table is none of its options, or a value does not fit.
        """
        if hasattr(command, "commands"):
            groups = command.commands
            self._check_words(name, groups)
            return {word: self.defaults(f"{name} {word}", found) for word, found in groups.items()}
        options = _options(command)
        own = self.commands.get(name, {})
        for key in own:
            if key not in options:
                raise ConfigError(
                    f"[{name.replace(' ', '.')}] has {key!r}, which is no option of it",
                    path=self.path,
                    hint=_near(key, [one for one in options if one in PERMITTED]),
                )
        return {
            options[key].name: self._fitting(name, key, value, options[key])
            for key, value in self.of(name).items()
            if key in options
        }

    def _check_words(self, name: str, groups: Mapping[str, Any]) -> None:
        for command in self.commands:
            first, _, word = command.partition(" ")
            if first == name and word and word not in groups:
                raise ConfigError(
                    f"[{name}.{word}] is no command", path=self.path, hint=_near(word, [*groups, *PERMITTED])
                )

    def _fitting(self, name: str, key: str, value: Any, option: Any) -> Any:
        """`value`, if the option could have it on the command line."""
        if option.multiple:
            value = value if isinstance(value, list) else [value]
        context = typer.Context(TyperCommand(name))
        plain = value if isinstance(value, list) else [value]
        if any(isinstance(one, (dict, list, bool)) or one is None for one in plain) or (
            isinstance(value, list) and not option.multiple
        ):
            raise ConfigError(f"{key!r} is {value!r}", path=self.path, hint="write what the command line would have")
        try:
            option.process_value(context, value)
        except typer.TyperException as error:
            said = getattr(error, "message", "") or error.format_message()
            raise ConfigError(
                f"{key!r} is {value!r}: {said.removeprefix('Value error, ').rstrip('.')}", path=self.path
            ) from error
        return value

    def job_fields(self) -> dict[str, Any]:
        """What a job that leaves fields out gets: what `swap` would get, as fields of the job."""
        found = self.of("swap")
        fields = {_FIELDS[key]: value for key, value in found.items() if key in _FIELDS}
        for key in ("consents", "passes"):
            if isinstance(fields.get(key), str):
                fields[key] = [fields[key]]
        if isinstance(fields.get("color_context"), list):
            fields["color_context"] = dict(pair.split("=", 1) for pair in fields["color_context"])
        knobs = {key.replace("-", "_"): value for key, value in found.items() if key in _KNOBS}
        return {**fields, "parameters": knobs} if knobs else fields


def named(arguments: Sequence[str]) -> str:
    """The value of `--config` on a command line, empty without."""
    apart = [value for word, value in itertools.pairwise(arguments) if word == "--config"]
    joined = [word.partition("=")[2] for word in arguments if word.startswith("--config=")]
    return next(iter([*apart, *joined]), "")


def nearest(folder: Path) -> Path | None:
    """The nearest `vfxswap.toml` from `folder` upwards."""
    folder = folder.absolute()
    return next((one / NAME for one in (folder, *folder.parents) if (one / NAME).is_file()), None)


def with_option(command: Any) -> Any:
    """`command`, or every command of a group, with `--config` where it has something to set."""
    if hasattr(command, "commands"):
        for found in command.commands.values():
            with_option(found)
        return command
    if set(_options(command)) & set(PERMITTED) or command.name in _OF_JOBS:
        command.params.append(_option())
    return command


def _options(command: Any) -> dict[str, Any]:
    """Long name -> option; an argument has a name without dashes, and is none."""
    return {flag[2:]: one for one in command.params for flag in one.opts if flag.startswith("--")}


_OF_JOBS: Final = ("run", "submit")


def _option() -> Any:
    """`--config` as typer makes options; `named` reads it off the command line, so no function takes it."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def holder(config: Annotated[str, typer.Option(metavar="FILE", help=HELP, expose_value=False)] = "") -> None: ...

    return typer.main.get_command(app).params[0]


def _split(command: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A command's table, and those inside it."""
    yield command, {key: value for key, value in table.items() if not _is_table(key, value)}
    for key, value in table.items():
        if _is_table(key, value):
            yield f"{command} {key}", value


def _is_table(key: str, value: object) -> bool:
    return isinstance(value, dict) and key != "color-context"


def _check(key: str, path: Path, *, also: Sequence[str] = ()) -> None:
    if key in WITHHELD:
        raise ConfigError(f"{key!r} cannot be set here: {WITHHELD[key]}", path=path, hint="take it out")
    if key not in PERMITTED:
        raise ConfigError(f"unknown key {key!r}", path=path, hint=_near(key, [*PERMITTED, *also]))


def _near(key: str, known: Sequence[str]) -> str:
    match = difflib.get_close_matches(key.replace("_", "-"), known, n=1, cutoff=0.6)
    return f"did you mean {match[0]!r}?" if match else "docs/config.md lists what it may hold"
