"""What `vfxswap doctor` says of the show's `vfxswap.toml`: every key of it is tried on every command."""

from __future__ import annotations

from collections.abc import Sequence

from vfxswap import cli
from vfxswap.cli.config import NAME, Config
from vfxswap.cli.finding import Finding
from vfxswap.errors import ConfigError

_NONE = Config(None, {}, {})


def config(arguments: Sequence[str]) -> tuple[Config, Finding]:
    """The defaults that commands would have here, and what to say of them."""
    try:
        found = Config.find(arguments, commands=tuple(cli.COMMANDS))
        for name in cli.COMMANDS if found.path is not None else ():
            found.defaults(name, cli.load(name))
    except ConfigError as error:
        where = f"{error.path}: " if error.path is not None else ""
        return _NONE, Finding("vfxswap", NAME, "bad", f"{where}{error.message}", error.hint or "see docs/config.md")
    if found.path is None:
        return found, Finding("vfxswap", NAME, "off", "none from this folder upwards: built-in defaults")
    keys = [*found.everywhere, *(f"{key} of {name}" for name, table in found.commands.items() for key in table)]
    return found, Finding("vfxswap", NAME, "ok", f"{found.path}: {', '.join(keys) or 'empty'}")
