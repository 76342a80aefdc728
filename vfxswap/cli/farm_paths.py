"""Where a job's files lie on another machine: path mapping rules in the form that Open Job Description uses.

{"version": "pathmapping-1.0", "path_mapping_rules": [
    {"source_path_format": "POSIX", "source_path": "/mnt/shows", "destination_path": "/shows"}]}
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vfxswap import documents
from vfxswap.errors import JobError
from vfxswap.job import SwapJob

VARIABLE = "VFXSWAP_PATH_RULES"
"""Environment variable that names a worker's file of rules, for engines that hand over none."""

_ONE = ("plate", "output", "model", "keyring", "track", "measurements", "lens", "color_config")
_MANY = ("consents", "matte")


class Rule(BaseModel):
    """Whatever lies below `source_path` lies below `destination_path` here."""

    model_config = ConfigDict(frozen=True)

    source_path_format: Literal["POSIX", "WINDOWS", "URI"]
    source_path: str
    destination_path: str

    def mapped(self, text: str) -> str | None:
        """The path here; None where the rule says nothing of it."""
        windows = self.source_path_format == "WINDOWS"
        source, path = (_plain(value) if windows else value for value in (self.source_path, text))
        source = source.rstrip("/")
        alike = path[: len(source)].lower() == source.lower() if windows else path.startswith(source)
        if not source or not alike or path[len(source) :][:1] not in ("", "/"):
            return None
        return self.destination_path.rstrip("/\\") + path[len(source) :]


class _File(BaseModel):
    version: Literal["pathmapping-1.0"] = "pathmapping-1.0"
    path_mapping_rules: tuple[Rule, ...] = ()  # a session without rules gives `{}`


@dataclass(frozen=True)
class PathRules:
    """Rules, the more particular ones first."""

    rules: tuple[Rule, ...] = ()

    @staticmethod
    def load(path: Path | None, environ: Mapping[str, str] | None = None) -> PathRules:
        """The rules of a file and of the one that VFXSWAP_PATH_RULES names.

        Raises:
            JobError: a file is not there or holds something else.
        """
        own = (os.environ if environ is None else environ).get(VARIABLE, "")
        files = [file for file in (path, Path(own) if own else None) if file is not None]
        rules = [rule for file in files for rule in _read(file)]
        return PathRules(tuple(sorted(rules, key=lambda rule: -len(rule.source_path))))

    def path(self, text: str) -> str:
        """Where `text` lies on this machine; itself where no rule is about it."""
        return next((found for rule in self.rules if (found := rule.mapped(text)) is not None), text)

    def job(self, path: Path) -> SwapJob:
        """The job in a file with every path where it lies here.

        Raises:
            JobError: as SwapJob.load.
        """
        job = SwapJob.load(path)
        if not self.rules:
            return job
        # As it was written: a path of another system would be taken for a relative one.
        fields = documents.json_value(documents.read_bytes(path, most=documents.SMALL))
        return SwapJob.make(**_changed(fields, self.path))


def _changed(fields: dict[str, Any], here: Callable[[str], str]) -> dict[str, Any]:
    changed = dict(fields)
    for name in _ONE:
        if changed.get(name):
            changed[name] = here(changed[name])
    for name in _MANY:
        changed[name] = [here(text) for text in changed.get(name) or ()]
    if changed.get("also"):
        changed["also"] = [_face(other, here) for other in changed["also"]]
    return changed


def _face(fields: dict[str, Any], here: Callable[[str], str]) -> dict[str, Any]:
    one = {name: here(fields[name]) for name in ("model", "measurements") if fields.get(name)}
    return {**fields, **one, "matte": [here(text) for text in fields.get("matte") or ()]}


def _plain(path: str) -> str:
    return re.sub(r"[\\/]+", "/", path)


def _read(path: Path) -> tuple[Rule, ...]:
    try:
        return _File.model_validate_json(documents.read_bytes(path, most=documents.SMALL)).path_mapping_rules
    except OSError as error:
        raise JobError(f"cannot read the path rules: {error.strerror}", path=path, hint=f"see {VARIABLE}") from error
    except documents.TooLargeError as error:
        raise JobError(f"not a file of path mapping rules: {error}", path=path, hint=f"see {VARIABLE}") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise JobError(
            f"not a file of path mapping rules: {error.errors()[0]['msg']}{f' in {where}' if where else ''}",
            path=path,
            hint='write {"version": "pathmapping-1.0", "path_mapping_rules": [...]}',
        ) from error
