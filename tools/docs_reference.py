"""Pages made from the program: every command and option, every field of a job, the decisions, changes and licences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vfxswap import cli
from vfxswap.cli.config import PERMITTED
from vfxswap.cli.examples import EXAMPLES
from vfxswap.job import SCHEMA, SwapParameters, schema_json

Schema = dict[str, Any]


def pages(root: Path) -> dict[str, str]:
    """Path in the site -> Markdown of each generated page."""
    return {
        "reference/commands.md": commands(),
        "reference/job.md": job(),
        "decisions/index.md": decisions(root / "docs" / "decisions"),
        "schemas/index.md": schemas(root / "docs" / "schemas"),
        "changelog.md": _within((root / "CHANGELOG.md").read_text(encoding="utf-8")),
        "licences.md": _within((root / "MODEL_LICENSES.md").read_text(encoding="utf-8")),
    }


def _within(text: str) -> str:
    """A page of the repository's root as one of docs/: its links start there, and folders have an index."""
    return re.sub(r"\]\((schemas|decisions)/?\)", r"](\1/index.md)", text.replace("](docs/", "]("))


# ------------------------------------------------------------------------------------------------ commands


def commands() -> str:
    """Every command with its arguments, options and examples, as `--help` has them."""
    lines = [
        "# Every command",
        "",
        "Made from the program: what `vfxswap COMMAND --help` says. What commands share is on",
        "[Command line](../cli.md).",
        "",
        "Options marked † can have a show's default in [vfxswap.toml](../config.md).",
        "",
    ]
    for name in cli.COMMANDS:
        lines += _command(f"vfxswap {name}", cli.load(name), level=2)
    return "\n".join(lines) + "\n"


def _command(path: str, command: Any, *, level: int) -> Iterator[str]:
    yield from ("#" * level + f" {path}", "")
    inside = getattr(command, "commands", None)
    yield from ((command.help or "").strip(), "")
    if inside is not None:
        for word, found in inside.items():
            yield from _command(f"{path} {word}", found, level=level + 1)
        return
    examples = EXAMPLES.get(path.removeprefix("vfxswap "), ())
    if examples:
        yield from ("```sh", *examples, "```", "")
    context = typer.Context(command, info_name=path)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if arguments:
        yield from ("| argument | |", "|---|---|")
        yield from (f"| `{_cell(one.metavar or one.name)}` | {_cell(one.help or '')} |" for one in arguments)
        yield ""
    yield from ("| option | value | without | |", "|---|---|---|---|")
    for one in command.params:
        if one.param_type_name == "option" and not one.hidden:
            yield _option(one, context)
    yield ""


def _option(option: Any, context: Any) -> str:
    names = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    mark = " †" if {flag.removeprefix("--") for flag in option.opts} & set(PERMITTED) else ""
    kind = "" if option.is_flag else f"`{_cell(option.metavar or option.display_type(context).strip('<>'))}`"
    if option.required:
        default = "**required**"
    else:
        value = option.default
        default = "" if value in (None, "", (), [], False) or callable(value) else f"`{_cell(_shown(value))}`"
    repeated = " Repeatable." if option.multiple and "epeat" not in (option.help or "") else ""
    return f"| {names}{mark} | {kind} | {default} | {_cell(option.help or '')}{repeated} |"


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "yes" if value is True else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ------------------------------------------------------------------------------------------------ the job


def job() -> str:
    """Every field of a job file, from its JSON Schema."""
    schema = json.loads(schema_json())
    lines = [
        "# The job file",
        "",
        f"`{SCHEMA}`: the one description of a shot's work, which the command line writes with",
        "`vfxswap swap --save-job job.json`, `vfxswap run job.json` does, and hosts and farms speak. Made from its",
        "[JSON Schema](../schemas/job.json). Relative paths in a job file start at its folder. An unknown key is",
        "refused, with the nearest right one.",
        "",
        *_fields(schema, schema),
        "",
        "## A face of `also`",
        "",
        *_fields(schema["$defs"]["FaceSwap"], schema),
        "",
        "## The knobs: `parameters`",
        "",
        *_fields(schema["$defs"]["SwapParameters"], schema),
        "",
        "## The least that a job needs",
        "",
        "```json",
        json.dumps(LEAST, indent=2),
        "```",
    ]
    return "\n".join(lines) + "\n"


LEAST = {
    "schema": "vfxswap.job/1",
    "plate": "plate/plate.####.exr",
    "model": "ben_over_anna.vfxmodel",
    "consents": ["trust/demo-ben.consent.json", "trust/demo-anna.consent.json"],
    "output": "out/shot.####.exr",
}


def _fields(record: Schema, schema: Schema) -> Iterator[str]:
    yield from ("| field | type | without | limits | |", "|---|---|---|---|---|")
    required = set(record.get("required", ()))
    for name, field in record["properties"].items():
        words, limits = _type(field, schema)
        default = "**required**" if name in required else f"`{_cell(_plain(name, field.get('default')))}`"
        unit = field.get("unit", "")
        text = _cell(field.get("description", "")) + (f" In {unit}." if unit else "")
        yield f"| `{name}` | {words} | {default} | {limits} | {text} |"


def _plain(name: str, default: Any) -> str:
    """A default as JSON; that of `parameters` is its fields' own."""
    if name == "parameters" and default == SwapParameters().model_dump():
        return "{}"
    return json.dumps(default)


def _type(field: Schema, schema: Schema) -> tuple[str, str]:
    """A field's type in words, and its limits."""
    if "$ref" in field:
        target = field["$ref"].rsplit("/", 1)[-1]
        found = schema["$defs"][target]
        return (_choices(found["enum"]), "") if "enum" in found else ("object", "")
    if "anyOf" in field:
        return " or ".join(_type(one, schema)[0] for one in field["anyOf"]), ""
    if "const" in field:
        return f"`{field['const']}`", ""
    if "enum" in field:
        return _choices(field["enum"]), ""
    kind = field.get("type", "")
    if kind == "array":
        return f"list of {_type(field.get('items', {}), schema)[0] or 'anything'}", ""
    low, high = field.get("minimum"), field.get("maximum")
    limits = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    if "pattern" in field:
        limits = f"`{_cell(field['pattern'])}`"
    return ("path" if field.get("format") == "path" else {"string": "text", "null": "nothing"}.get(kind, kind)), limits


def _choices(words: list[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


# ---------------------------------------------------------------------------------------------- decisions


def decisions(folder: Path) -> str:
    """The list of decisions: their numbers and titles."""
    lines = ["# Decisions", "", "Why things are as they are, in the order in which they were settled.", ""]
    for path in sorted(folder.glob("[0-9]*.md")):
        title = re.sub(r"^#\s*(?:\d+[.:]?\s*)?", "", path.read_text(encoding="utf-8").splitlines()[0])
        lines.append(f"- [{path.name[:4]}: {title}]({path.name})")
    return "\n".join(lines) + "\n"


def schemas(folder: Path) -> str:
    """The JSON Schemas of every document that vfxswap reads or writes."""
    lines = ["# JSON Schemas", "", "For programs that read or write vfxswap's documents.", ""]
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        words = (found.get("description") or found.get("title") or "").split("\n\n")[0]
        lines.append(f"- [{path.name}]({path.name}): {' '.join(words.split())}")
    return "\n".join(lines) + "\n"
