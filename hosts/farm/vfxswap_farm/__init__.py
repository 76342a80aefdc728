"""A shot's work as a farm job: one plan, written for the engine that runs it.

Standard library only and Python 3.9, so that it runs in a host's interpreter as well. It never imports the `vfxswap`
package: the job file and the command line of the workers (`vfxswap farm work`) are the boundary. What a farm must be
able to rely on (resume, whole files, consent) is that command's business, so an engine is only asked to start it.
"""

from __future__ import annotations

from types import ModuleType

from vfxswap_farm import deadline, opencue, openjd
from vfxswap_farm.errors import FarmError
from vfxswap_farm.plan import Outcome, Plan, Step

ENGINES: dict[str, ModuleType] = {"openjd": openjd, "opencue": opencue, "deadline": deadline}
"""Name -> module with `files(plan)`, the text of each file by its name, and `submit(plan, folder, ...)`."""

__all__ = ["ENGINES", "FarmError", "Outcome", "Plan", "Step"]
