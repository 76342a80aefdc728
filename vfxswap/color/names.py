"""Wrong names: what the user may have meant, in this config or in the built-in studio config."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import PyOpenColorIO as ocio  # noqa: N813

STUDIO_CONFIG: Final = "ocio://studio-config-v2.2.0_aces-v1.3_ocio-v2.4"
"""The built-in config with camera spaces, of the same ACES and OCIO versions as the pinned one."""

_MOST = 4
_LEAST = 2
"""A name of fewer letters is a part of too many others."""


def spaces(config: Any) -> tuple[str, ...]:
    """The names of all colour spaces of an OCIO config, active and inactive."""
    found = config.getColorSpaceNames(ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL)
    return tuple(str(name) for name in found)


def all_names(config: Any) -> list[str]:
    """Everything that an OCIO config knows as a colour space: names, roles, aliases."""
    return [*spaces(config), *(str(role) for role in config.getRoleNames()), *_aliases(config)]


def _aliases(config: Any) -> list[str]:
    return [str(alias) for space in spaces(config) for alias in config.getColorSpace(space).getAliases()]


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most four of `known` that look like `name`, best first."""
    plain = {_plain(item): item for item in reversed(list(known))}
    wanted = _plain(name)
    near = [*_containing(wanted, plain), *difflib.get_close_matches(wanted, plain, n=_MOST, cutoff=0.5)]
    return [plain[item] for item in dict.fromkeys(near)][:_MOST]


def hint(name: str, config: Any) -> str:
    """What to try instead of `name`, which `config` does not know."""
    known = all_names(config)
    own = nearest(name, known)
    camera = _in_studio(name, exact=bool(_containing(_plain(name), map(_plain, known))))
    camera = [space for space in camera if config.getColorSpace(space) is None]
    if camera:
        text = f"{STUDIO_CONFIG} has {_listed(camera)}: give it as --color-config or $OCIO"
        return f"{text}; here, did you mean: {_listed(own)}" if own else text
    if own:
        return f"did you mean: {_listed(own)}"
    scene = config.getColorSpaceNames(ocio.SEARCH_REFERENCE_SPACE_SCENE, ocio.COLORSPACE_ACTIVE)
    return f"it knows: {_listed([str(item) for item in scene][:6])}, ..."


def _in_studio(name: str, *, exact: bool) -> list[str]:
    """The spaces of the studio config that `name` means: `slog3` is several, unless only exact names count."""
    config = ocio.Config.CreateFromFile(STUDIO_CONFIG)
    if space := config.getColorSpace(name):
        return [str(space.getName())]
    plain = {_plain(item): item for item in [*spaces(config), *_aliases(config)]}
    wanted = _plain(name)
    found = [wanted] if exact and wanted in plain else [] if exact else _containing(wanted, plain)
    return list(dict.fromkeys(str(config.getColorSpace(plain[item]).getName()) for item in found))[:_MOST]


def _containing(wanted: str, plain: Iterable[str]) -> list[str]:
    """The names that `wanted` is a part of, those that begin with it and short ones first."""
    if len(wanted) < _LEAST:
        return []
    return sorted((item for item in plain if wanted in item), key=lambda item: (not item.startswith(wanted), len(item)))


def is_camera_log(name: str) -> bool:
    """True for the exact name or alias of a space of the studio config that is log-encoded."""
    space = ocio.Config.CreateFromFile(STUDIO_CONFIG).getColorSpace(name)
    return space is not None and space.getEncoding() == "log"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
