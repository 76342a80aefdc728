"""What the menu entry starts. Nothing gets out of here: a script that raises leaves an artist with a traceback."""

from __future__ import annotations

import os
import traceback
from typing import Any

from vfxswap_bridge import BridgeError
from vfxswap_resolve import api, settings, transfer
from vfxswap_resolve.flow import Flow, remembered
from vfxswap_resolve.front import Console, Front, window_possible
from vfxswap_resolve.running import Running, Watched
from vfxswap_resolve.settings import EXPORT, IMPORT, REMOVE, SWAP, Settings
from vfxswap_resolve.window import Window


def start(resolve: Any, fusion: Any = None, bmd: Any = None, *, front: Front | None = None) -> bool:
    """Ask, work, report.

    Args:
        resolve: the program, as Resolve hands it to scripts.
        fusion: its Fusion object; None without.
        bmd: the module that has UIDispatcher; None without.
        front: speaks with the artist; chosen without.

    Returns:
        Whether everything was done.
    """
    file = settings.path()
    running = Running(file)
    speaking: Front = front or Console(file)
    try:
        if resolve is None:
            raise BridgeError("Resolve does not answer", "the free edition takes scripts from its menu only")
        if _other(running, speaking):
            return False
        if front is None and window_possible(resolve, fusion) and bmd is not None:
            speaking = _window(fusion, bmd) or speaking
        return run(resolve, speaking, file, running)
    except BridgeError as error:
        name = f"{error.name}: " if isinstance(error, api.RefusedError) else ""
        speaking.tell(f"{name}{error}")
    except Exception:  # noqa: BLE001 - the end of the script
        speaking.tell("internal error: report what follows\n" + traceback.format_exc())
    speaking.close()
    return False


def _other(running: Running, front: Front) -> bool:
    """Whether another run is going on; one without a window is asked to stop, for there is no other way to do so."""
    if not running.other():
        return False
    if running.has_window():
        raise api.RefusedError("busy", "vfxswap is at work already", "cancel it in its window, or wait")
    running.ask_to_stop()
    front.tell("a run was going on and is asked to stop; start again for another")
    return True


def _window(fusion: Any, bmd: Any) -> Front | None:
    """A window; None where UIManager is not what it was: the console does the same."""
    try:
        return Window(fusion, bmd.UIDispatcher)
    except (AttributeError, TypeError, KeyError) as error:
        Console("").tell(f"no window: {error}")
        return None


def run(resolve: api.Resolve, front: Front, file: str, running: Running) -> bool:
    """One run, from the question to the report; raises BridgeError for what stops it."""
    chosen = front.settings(settings.load(file))
    if chosen is None:
        return False
    try:
        chosen.check()
    except BridgeError:
        if not os.path.exists(file):
            settings.save(file, chosen)  # a form to fill in
        raise
    settings.save(file, chosen)
    flow = Flow(resolve, chosen, Watched(front, running))
    window = isinstance(front, Window)
    if not window and chosen.action == SWAP:
        front.tell("to cancel, start VfxSwap from the menu once more")
    running.begin(window=window)
    try:
        reports = _do(flow, chosen, front)
    finally:
        running.end()
        settings.save(file, remembered(chosen, flow))
    front.close()
    return all(report.refused is None for report in reports)


def _do(flow: Flow, chosen: Settings, front: Front) -> list[Any]:
    if chosen.action == EXPORT:
        path = transfer.export(flow.resolve, flow.timeline, chosen.folder)
        front.tell(
            f"{path} is written; `vfxswap otio {path} --clip NAME --output {chosen.folder} ...` makes the swaps, the "
            f"action {IMPORT} takes them in"
        )
        return []
    if chosen.action == IMPORT:
        made = transfer.load(flow.resolve, flow.project, flow.timeline, chosen.folder)
        front.tell(f"the timeline {made.GetName()!r} has the results")
        return []
    if chosen.action == REMOVE:
        reports = flow.remove()
        front.tell(f"{len(reports)} results are removed; their files stay")
        return reports
    reports = flow.swap()
    done = sum(report.refused is None for report in reports)
    front.tell(f"{done} of {len(reports)} clips are swapped")
    return reports
