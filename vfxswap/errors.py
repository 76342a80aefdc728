"""One exception tree. Every error carries its exit code and says what was got, where, and what to do.

Exit codes are a contract (docs/cli.md): 0 done, 1 bug, 2 usage, 3 a retry may help, 4 bad input,
75 cancelled, 77 consent or provenance refused.
"""

from __future__ import annotations

import os
from pathlib import Path

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_RETRY = 3
EXIT_BAD_INPUT = 4
EXIT_CANCELLED = 75
EXIT_REFUSED = 77


class VfxSwapError(Exception):
    """Base of every error that vfxswap raises on purpose.

    Args:
        message: what was got, in one line.
        hint: what the user can do about it.
        path: the file concerned, if one is.
        frame: the frame concerned, if one is.
    """

    exit_code: int = EXIT_BAD_INPUT
    code: str = "bad_input"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        path: str | os.PathLike[str] | None = None,
        frame: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = None if path is None else Path(path)
        self.frame = frame

    def __str__(self) -> str:
        where = []
        if self.frame is not None:
            where.append(f"frame {self.frame}")
        if self.path is not None and str(self.path) not in self.message:
            where.append(str(self.path))
        text = self.message + (f" ({', '.join(where)})" if where else "")
        if self.hint:
            text += f"; {self.hint}"
        return _plain(text)


_LONGEST = 4000


def _plain(text: str) -> str:
    """One line fit for a terminal and a log: names come from files, and may hold what would steer either."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


class UsageError(VfxSwapError):
    """The command was called in a way that cannot mean anything."""

    exit_code = EXIT_USAGE
    code = "usage"


class PlateError(VfxSwapError):
    """A plate, matte or frame that cannot be read, or is of a kind that is refused by name."""

    code = "plate"


class FrameError(PlateError):
    """One frame among good ones is missing or corrupt: the others are rendered, a retry may help."""

    exit_code = EXIT_RETRY
    code = "frame"


class ColorError(VfxSwapError):
    """An OCIO config or colour space that is missing or unknown."""

    code = "color"


class TrackError(VfxSwapError):
    """No face where one is needed, or a track that does not belong to this plate."""

    code = "track"


class ModelError(VfxSwapError):
    """A model, weight file or checkpoint that is not what it claims to be."""

    code = "model"


class FacesetError(VfxSwapError):
    """A faceset that is missing, empty or of the wrong performer."""

    code = "faceset"


class JobError(VfxSwapError):
    """A job description that does not validate."""

    code = "job"


class ConfigError(VfxSwapError):
    """A file of a show's defaults that cannot be read or holds what it may not."""

    code = "config"


class TimelineError(VfxSwapError):
    """A timeline that cannot be read, or a clip on it of a kind that is refused by name."""

    code = "timeline"


class OutputError(VfxSwapError):
    """An output that cannot be written: no permission, output equal to input."""

    code = "output"


class ResourceError(VfxSwapError):
    """A resource ran out (disk, memory): a retry may help."""

    exit_code = EXIT_RETRY
    code = "resource"


class ConsentError(VfxSwapError):
    """Consent is missing or does not cover what was asked. Never worth a retry."""

    exit_code = EXIT_REFUSED
    code = "consent"


class ProvenanceError(VfxSwapError):
    """A record of what was rendered is missing, does not hold, or cannot honestly be signed. Never worth a retry."""

    exit_code = EXIT_REFUSED
    code = "provenance"


class Cancelled(VfxSwapError):  # noqa: N818 - it is not an error
    """The user or the host asked to stop; only whole files are left."""

    exit_code = EXIT_CANCELLED
    code = "cancelled"
