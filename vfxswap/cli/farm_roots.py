"""The folders that a farm's worker may touch: what a job names outside of them is refused before it is opened.

Whoever runs the workers sets VFXSWAP_ROOTS there. `--root` is part of the command line, which whoever submits a job
has a hand in, so it can only narrow that down. Both only ever take away; consent is asked for all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from vfxswap.cache import FOLDER
from vfxswap.color import ColorConfig
from vfxswap.errors import JobError, PlateError, UsageError
from vfxswap.job import SwapJob
from vfxswap.matte_input import MatteInput
from vfxswap.sequence import SequencePath, for_view, has_view_token, home_resolved, views_on_disk

VARIABLE: Final = "VFXSWAP_ROOTS"
"""Environment variable that lists a worker's folders, joined as PATH is."""

Root = Annotated[
    list[Path], typer.Option("--root", metavar="DIR", help=f"Refuse paths outside; narrows ${VARIABLE}. Repeatable.")
]

_URI: Final = "ocio://"


@dataclass(frozen=True)
class Roots:
    """Folders within which a path has to lie: within one of each group. No group: anywhere."""

    groups: tuple[tuple[Path, ...], ...] = ()

    @staticmethod
    def of(given: Sequence[Path], environ: Mapping[str, str] | None = None) -> Roots:
        """The folders of the environment, narrowed by those of the command line.

        Raises:
            UsageError: one of them is not absolute, or no folder.
        """
        own = (os.environ if environ is None else environ).get(VARIABLE, "")
        named = [([Path(text) for text in own.split(os.pathsep) if text], VARIABLE), (list(given), "--root")]
        return Roots(tuple(tuple(_real(path, name) for path in paths) for paths, name in named if paths))

    def check(self, paths: Iterable[str | Path], *, what: str = "path") -> None:
        """Refuse paths that lead outside, links followed.

        Args:
            paths: files or folders, there or not yet, and sequences.
            what: they are, for the message.

        Raises:
            JobError: the first of them.
        """
        if not self.groups:
            return
        for path in paths:
            for place in _places(str(path)):
                self._check_one(place, str(path), what)

    def check_job(self, job: SwapJob) -> None:
        """Refuse a job that names anything outside; raises JobError."""
        if not self.groups:
            return
        self.check([job.plate], what="plate")
        self.check([job.output], what="output")
        for folder in set(_places(job.output)):
            self.check([folder / FOLDER], what="the output's working folder")
        mattes = [MatteInput.parse(text).pattern for one in job.swaps for text in one.matte]
        listed: dict[str, Iterable[str | Path | None]] = {
            "model": [one.model for one in job.swaps],
            "measurements": [one.measurements for one in job.swaps],
            "matte": mattes,
            "track": [job.track],
            "consent": job.consents,
            "key ring": [job.keyring],
            "lens": [job.lens],
            "OCIO config": [] if job.color_config.startswith(_URI) else [job.color_config],
        }
        for what, paths in listed.items():
            self.check([path for path in paths if path], what=what)

    def check_color(self, job: SwapJob) -> None:
        """Refuse an OCIO config whose files lie outside. The config itself has to be checked before it is opened.

        What the worker's own `$OCIO` refers to is the worker's affair, but for what the job's context leads it to.

        Raises:
            JobError: one of them does. ColorError: as `ColorConfig.load`.
        """
        if not self.groups:
            return
        files = set(ColorConfig.load(job.color_config, context=job.color_context).files())
        if not job.color_config:
            files -= set(ColorConfig.load().files())
        self.check(sorted(files), what="a file of the OCIO config")

    def _check_one(self, place: Path, said: str, what: str) -> None:
        try:
            real = place.resolve()
        except (OSError, RuntimeError) as error:  # links in a circle
            raise JobError(f"{what} {said} leads nowhere", hint="repair its links") from error
        for roots in self.groups:
            if not any(real == root or root in real.parents for root in roots):
                to = f", which leads to {real}," if str(real) != said else ""
                raise JobError(
                    f"{what} {said}{to} lies outside of what this worker may touch",
                    hint=f"it may touch {', '.join(map(str, roots))} (${VARIABLE}, --root)",
                )


def _real(path: Path, name: str) -> Path:
    if not path.is_absolute() or not path.is_dir():
        raise UsageError(f"{name} names {path}", hint="name folders that are there, from the top")
    return path.resolve()


def _places(text: str) -> Iterator[Path]:
    """What has to lie inside for a path to: its folder, and every file of a sequence that is a link."""
    if has_view_token(text):
        try:
            views = views_on_disk(text)
        except PlateError:
            views = ("left",)  # nothing there that could be a link
        for view in views:
            yield from _places(for_view(text, view))
        return
    path = home_resolved(text).absolute()
    yield path.parent if path.name != ".." else path
    if path.is_dir() or path.is_symlink() or path.is_file():
        yield path
        if not path.is_dir():
            return
    try:
        sequence = SequencePath.parse(path)
    except (PlateError, UsageError):
        return  # nothing that could be read; whoever opens it says why
    if sequence.padding is not None:
        yield sequence.folder
        yield from _links(sequence)


def _links(sequence: SequencePath) -> Iterator[Path]:
    try:
        with os.scandir(sequence.folder) as found:
            for entry in found:
                fits = entry.name.startswith(sequence.prefix) and entry.name.endswith(sequence.suffix)
                if fits and entry.is_symlink():
                    yield Path(entry.path)
    except OSError:
        return
