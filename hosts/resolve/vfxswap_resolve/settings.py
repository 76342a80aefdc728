"""What an artist chose, and the last choice, kept in a JSON file that is also the free edition's form."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import vfxswap_bridge as bridge
from vfxswap_bridge import BridgeError, files
from vfxswap_resolve import clips

SWAP, REMOVE, EXPORT, IMPORT = "swap", "remove", "otio", "otio-in"
ACTIONS = (SWAP, REMOVE, EXPORT, IMPORT)
"""Swap; take results off the timeline again; write the timeline as OTIO for `vfxswap otio`; take what that made in."""

MOST_HANDLES = 240


@dataclass(frozen=True)
class Settings:
    """Everything a run needs besides the timeline.

    Attributes:
        action: of ACTIONS.
        scope: of `clips.SCOPES`.
        model: the .vfxmodel.
        consents: signed consents of likeness and double.
        keyring: folder of trusted keys; empty: the machine's.
        shot: PROJECT/SEQUENCE/SHOT; `{project}`, `{timeline}` and `{clip}` are filled in.
        face: which face of the plate.
        folder: where results go.
        handles: frames before and after, as far as the media has them.
        device: auto, cpu or cuda.
        color_space: OCIO name of the clip's pixels where Resolve does not say; empty: ask.
        color_config: OCIO config; empty: the studio config that Resolve's names are translated to.
        answers: OCIO names given before, by what Resolve says.
        parameters: knobs of the swap that are not as they come.
    """

    action: str = SWAP
    scope: str = clips.CLIP
    model: str = ""
    consents: tuple[str, ...] = ()
    keyring: str = ""
    shot: str = ""
    face: str = "0"
    folder: str = "~/vfxswap"
    handles: int = 8
    device: str = "auto"
    color_space: str = ""
    color_config: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be run; raises BridgeError."""
        if self.action not in ACTIONS:
            raise BridgeError(f"the action is {self.action!r}", f"there is {', '.join(ACTIONS)}")
        if self.scope not in clips.SCOPES:
            raise BridgeError(f"the scope is {self.scope!r}", f"there is {', '.join(clips.SCOPES)}")
        unknown = sorted(set(self.parameters) - set(bridge.PARAMETERS))
        if unknown:
            raise BridgeError(f"there is no knob {unknown[0]!r}", f"there is {', '.join(bridge.PARAMETERS)}")
        if not 0 <= self.handles <= MOST_HANDLES:
            raise BridgeError(f"handles are {self.handles}", f"0 to {MOST_HANDLES} frames are possible")
        if self.action != SWAP:
            return
        if not self.model:
            raise BridgeError("no model is set", "choose a .vfxmodel")
        if not self.consents:
            raise BridgeError("no consent is given", "name the signed consents of likeness and double")
        if not self.folder:
            raise BridgeError("no folder is set", "choose where the results go")


def path(environ: dict[str, str] | None = None, platform: str = sys.platform) -> str:
    """The file of the last settings, per user."""
    known = dict(os.environ) if environ is None else environ
    home = known.get("HOME") or os.path.expanduser("~")
    if platform.startswith("win"):
        base = known.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
    elif platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = known.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return os.path.join(base, "vfxswap", "resolve.json").replace("\\", "/")


def load(file: str) -> Settings:
    """The last settings; those as they come where there are none.

    Raises:
        BridgeError: the file is not what it should be; it is left alone.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            found = json.load(opened)
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        raise BridgeError(f"cannot read the settings {file}: {error}", "correct or delete the file") from error
    return of_dict(found, file)


def of_dict(found: object, file: str) -> Settings:
    """Settings from what a file says; raises BridgeError for what is none."""
    if not isinstance(found, dict):
        raise BridgeError(f"{file} holds no settings", "correct or delete the file")
    kinds = {one.name: getattr(Settings(), one.name) for one in dataclasses.fields(Settings)}
    given: dict[str, Any] = {}
    for name, value in found.items():
        if name not in kinds:
            raise BridgeError(f"{file}: there is no setting {name!r}", f"there is {', '.join(kinds)}")
        wanted = list if isinstance(kinds[name], tuple) else type(kinds[name])
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise BridgeError(f"{file}: {name} is {value!r}", f"a {wanted.__name__} is expected")
        given[name] = tuple(str(one) for one in value) if isinstance(kinds[name], tuple) else value
    return Settings(**given)


def text(settings: Settings) -> str:
    """As the file says it."""
    return json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False) + "\n"


def save(file: str, settings: Settings) -> None:
    """Keep for the next time; raises BridgeError where it cannot be written."""
    files.write_text(file, text(settings))
