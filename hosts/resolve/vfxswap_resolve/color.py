"""Colour: what Resolve calls a space, what the studio OCIO config calls it, and how a result gets its space back.

The names are those of ACES studio config 2.2, which a job is given with them. What is in no table is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

from vfxswap_resolve import api
from vfxswap_resolve.api import RefusedError

CONFIG = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"
"""The config of the names below; it has the cameras' spaces."""

RCM, ACES, UNMANAGED = "YRGB Color Managed", "ACES", "YRGB"

INPUT_PROPERTIES = ("Input Color Space", "Input Gamma", "IDT", "Data Level")
"""Of a media pool clip: what its pixels are taken for. A result from the same files gets the same."""

_GAMUTS = {
    "ACES (AP0)": "ACES2065-1",
    "ACES (AP1)": "ACEScg",
    "Rec.709": "Linear Rec.709 (sRGB)",
    "sRGB": "Linear Rec.709 (sRGB)",
    "P3-D65": "Linear P3-D65",
    "Rec.2020": "Linear Rec.2020",
    "Adobe RGB": "Linear AdobeRGB",
    "ARRI Wide Gamut 3": "Linear ARRI Wide Gamut 3",
    "ARRI Wide Gamut 4": "Linear ARRI Wide Gamut 4",
    "Sony S-Gamut3": "Linear S-Gamut3",
    "Sony S-Gamut3.Cine": "Linear S-Gamut3.Cine",
    "Panasonic V-Gamut": "Linear V-Gamut",
    "REDWideGamutRGB": "Linear REDWideGamutRGB",
    "Canon Cinema Gamut": "Linear CinemaGamut D55",
    "DaVinci WG": "Linear DaVinci WideGamut",
    "Blackmagic Design Wide Gamut Gen 4 / 5": "Linear BMD WideGamut Gen5",
}
"""Resolve's gamut with the gamma `Linear` -> OCIO."""

_PAIRS = {
    ("ACES (AP1)", "ACEScct"): "ACEScct",
    ("ACES (AP1)", "ACEScc"): "ACEScc",
    ("ARRI Wide Gamut 3", "ARRI LogC3"): "ARRI LogC3 (EI800)",
    ("ARRI Wide Gamut 4", "ARRI LogC4"): "ARRI LogC4",
    ("Sony S-Gamut3", "S-Log3"): "S-Log3 S-Gamut3",
    ("Sony S-Gamut3.Cine", "S-Log3"): "S-Log3 S-Gamut3.Cine",
    ("Panasonic V-Gamut", "Panasonic V-Log"): "V-Log V-Gamut",
    ("REDWideGamutRGB", "RED Log3G10"): "Log3G10 REDWideGamutRGB",
    ("Canon Cinema Gamut", "Canon Log 2"): "CanonLog2 CinemaGamut D55",
    ("Canon Cinema Gamut", "Canon Log 3"): "CanonLog3 CinemaGamut D55",
    ("DaVinci WG", "DaVinci Intermediate"): "DaVinci Intermediate WideGamut",
    ("Blackmagic Design Wide Gamut Gen 4 / 5", "Blackmagic Design Film Gen 5"): "BMDFilm WideGamut Gen5",
    ("Rec.2020", "Apple Log"): "Apple Log",
    ("Rec.709", "sRGB"): "sRGB Encoded Rec.709 (sRGB)",
    ("sRGB", "sRGB"): "sRGB Encoded Rec.709 (sRGB)",
    ("P3-D65", "sRGB"): "sRGB Encoded P3-D65",
    ("Rec.709", "Rec.709"): "Camera Rec.709",
    ("Rec.709", "Gamma 2.2"): "Gamma 2.2 Encoded Rec.709",
    ("Rec.709", "Gamma 2.4"): "Gamma 2.4 Encoded Rec.709",
    ("Adobe RGB", "Adobe RGB"): "Gamma 2.2 Encoded AdobeRGB",
}
"""Resolve's gamut and gamma -> OCIO."""

_NAMES = {
    "ACES2065-1": "ACES2065-1",
    "ACEScg": "ACEScg",
    "ACEScct": "ACEScct",
    "ACEScc": "ACEScc",
    "ARRI LogC": "ARRI LogC3 (EI800)",
    "ARRI LogC3": "ARRI LogC3 (EI800)",
    "ARRI LogC4": "ARRI LogC4",
    "S-Gamut3/S-Log3": "S-Log3 S-Gamut3",
    "S-Gamut3.Cine/S-Log3": "S-Log3 S-Gamut3.Cine",
    "V-Gamut/V-Log": "V-Log V-Gamut",
    "Panasonic V-Log": "V-Log V-Gamut",
    "REDWideGamutRGB/Log3G10": "Log3G10 REDWideGamutRGB",
    "DaVinci WG/Intermediate": "DaVinci Intermediate WideGamut",
    "DaVinci WG/Linear": "Linear DaVinci WideGamut",
    "Apple Log": "Apple Log",
    "sRGB": "sRGB Encoded Rec.709 (sRGB)",
    "Rec.709 (Scene)": "Camera Rec.709",
}
"""Names that say gamut and gamma at once."""


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _table() -> dict[str, str]:
    table = {_key(name): space for name, space in _NAMES.items()}
    for gamut, space in _GAMUTS.items():
        table[_key(gamut + " Linear")] = space
    for (gamut, gamma), space in _PAIRS.items():
        table.setdefault(_key(gamut + gamma), space)
    return table


TABLE = _table()
"""What Resolve says, lower case, letters and digits only -> OCIO. `Rec.709 Gamma 2.4` and `Rec.709` with `Gamma 2.4`
are one."""


@dataclass(frozen=True)
class Science:
    """How the open project treats colour.

    Attributes:
        mode: RCM, ACES or UNMANAGED.
        separate: gamut and gamma are set apart.
        said: what the project says of clips that say nothing themselves.
    """

    mode: str
    separate: bool
    said: str


def of_project(project: api.Project) -> Science:
    """The project's colour science."""
    mode = api.text(project.GetSetting("colorScienceMode")).lower()
    if mode.startswith("aces"):
        return Science(ACES, False, api.text(project.GetSetting("colorAcesIDT")))
    if "colormanaged" not in mode:
        return Science(UNMANAGED, False, "")
    separate = api.text(project.GetSetting("separateColorSpaceAndGamma")) == "1"
    gamma = " " + api.text(project.GetSetting("colorSpaceInputGamma")) if separate else ""
    return Science(RCM, separate, (api.text(project.GetSetting("colorSpaceInput")) + gamma).strip())


def said_of(item: api.MediaPoolItem, science: Science) -> str:
    """What Resolve takes a clip's pixels for, in its own words; empty where the project is unmanaged."""
    if science.mode == UNMANAGED:
        return ""
    name = "IDT" if science.mode == ACES else "Input Color Space"
    said = api.text(item.GetClipProperty(name))
    # `Project - Rec.709 ...` is how a clip says that it follows the project.
    if not said or said.lower().startswith(("project", "default", "auto")):
        return science.said
    gamma = api.text(item.GetClipProperty("Input Gamma")) if science.separate else ""
    return f"{said} {gamma}".strip()


def known(said: str) -> str | None:
    """The OCIO name of what Resolve says; None for what must be asked for."""
    return TABLE.get(_key(re.sub(r"\s*-\s*CSC$", "", said)))


Ask = Callable[[str, str], str]
"""Asks an artist: (key to remember the answer by, question) -> answer, empty for none."""


def of_clip(item: api.MediaPoolItem, science: Science, name: str, ask: Ask) -> str:
    """The OCIO space of a clip's pixels.

    Raises:
        RefusedError: `color`: it is not known and nobody said.
    """
    said = said_of(item, science)
    found = known(said) if said else None
    if found is not None:
        return found
    # An answer about a name holds wherever the name is met; about a file without one, for that file alone.
    key = said
    if science.mode == UNMANAGED:
        question = f"{name}: the project is not color managed. In which OCIO color space are the clip's pixels?"
    else:
        question = f"{name}: which OCIO color space is {said or 'No Input Transform'!r}?"
    if not said or "no input" in said.lower():
        key = api.text(item.GetClipProperty("File Path"))
    answer = ask(key, question).strip()
    if not answer:
        raise RefusedError(
            "color",
            f"{name}: the color space of its pixels is not known ({science.mode}"
            + (f", Resolve says {said!r})" if said else ")"),
            "give its OCIO name as color space",
        )
    return answer


# ------------------------------------------------------------------------------------------- rendered plates


@dataclass(frozen=True)
class Output:
    """What a plate is rendered to, and how Resolve is told so.

    Attributes:
        space: OCIO.
        timeline: settings of the temporary timeline, in order.
        back: clip properties that tell Resolve what a file in that space is; each set is tried in turn.
    """

    space: str
    timeline: tuple[tuple[str, str], ...]
    back: tuple[tuple[tuple[str, str], ...], ...]


_RCM_OUTPUT = Output(
    "ACEScg",
    (
        ("separateColorSpaceAndGamma", "1"),
        ("colorSpaceOutput", "ACES (AP1)"),
        ("colorSpaceOutputGamma", "Linear"),
        ("outputDRT", "None"),
        ("colorSpaceOutputGamutMapping", "None"),
    ),
    (
        (("Input Color Space", "ACES (AP1)"), ("Input Gamma", "Linear")),
        (("Input Color Space", "ACEScg"),),
        (("Input Color Space", "ACES (AP1) Linear"),),
    ),
)

_ACES_OUTPUTS = (
    Output("ACEScg", (("colorAcesODT", "ACEScg - CSC"),), ((("IDT", "ACEScg - CSC"),), (("IDT", "ACEScg"),))),
    Output("ACEScg", (("colorAcesODT", "ACEScg"),), ((("IDT", "ACEScg"),), (("IDT", "ACEScg - CSC"),))),
    Output("ACES2065-1", (("colorAcesODT", "ACES2065-1 - CSC"),), ((("IDT", "ACES2065-1 - CSC"),),)),
)


def set_output(timeline: api.Timeline, science: Science, space: str) -> Output:
    """Let a timeline that is ours render scene-linear light, and see that it does.

    Args:
        timeline: the temporary one.
        science: the project's.
        space: the clip's, which an unmanaged project hands through.

    Raises:
        RefusedError: `color`: Resolve did not take the setting; rendering would clip highlights.
    """
    if science.mode == UNMANAGED:
        return Output(space, (), ())
    timeline.SetSetting("useCustomSettings", "1")
    for output in (_RCM_OUTPUT,) if science.mode == RCM else _ACES_OUTPUTS:
        for name, value in output.timeline:
            timeline.SetSetting(name, value)
        wrong = [name for name, value in output.timeline if api.text(timeline.GetSetting(name)) != value]
        if not set(wrong) & {"colorSpaceOutput", "colorSpaceOutputGamma", "colorAcesODT"}:
            return output
    said = api.text(timeline.GetSetting("colorAcesODT" if science.mode == ACES else "colorSpaceOutput"))
    raise RefusedError(
        "color",
        f"the timeline renders to {said!r} and takes no linear output space: highlights would be lost",
        "switch automatic color management off, or give the clip as an EXR image sequence",
    )


def tell(item: api.MediaPoolItem, sets: tuple[tuple[tuple[str, str], ...], ...]) -> bool:
    """Set the first set of properties that Resolve takes; whether one was taken."""
    for properties in sets:
        if all(put(item, name, value) for name, value in properties):
            return True
    return not sets


def put(item: api.MediaPoolItem, name: str, value: str) -> bool:
    """Set a property and see that it is so: what the call answers is no proof."""
    if api.text(item.GetClipProperty(name)) == value:
        return True
    item.SetClipProperty(name, value)
    return api.text(item.GetClipProperty(name)) == value
