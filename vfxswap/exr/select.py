"""Which channels are the picture: parts, layers and views, by name and never by luck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vfxswap.errors import PlateError
from vfxswap.exr.values import FrameInfo, base_name, multi_view

_MAIN_NAMES = ("", "rgba", "rgb", "beauty", "main", "combined", "color", "c")
_COLORS = {"r": "r", "g": "g", "b": "b", "a": "a", "red": "r", "green": "g", "blue": "b", "alpha": "a"}


@dataclass(frozen=True)
class Candidate:
    """Three channels that make a picture."""

    part: int
    layer: str
    view: str
    rgb: tuple[int, int, int]
    alpha: int | None


def _candidates(info: FrameInfo) -> Iterator[Candidate]:
    """Every R, G, B triple of the file. Names are `layer.view.R`, where layer and view may be missing.

    Source: OpenEXR, "Storing Multi-View Images in OpenEXR Files".
    """
    for index, part in enumerate(info.parts):
        views = multi_view(part)
        groups: dict[str, dict[str, int]] = {}
        for position, channel in enumerate(part.channels):
            prefix, _, last = channel.name.rpartition(".")
            if key := _COLORS.get(last.lower()):
                groups.setdefault(prefix, {}).setdefault(key, position)
        for prefix, found in groups.items():
            if not {"r", "g", "b"} <= found.keys():
                continue
            layer, _, last = prefix.rpartition(".")
            if last in views:
                name = last
            else:
                layer, name = prefix, part.view or (views[0] if views else "")
            yield Candidate(index, layer, name, (found["r"], found["g"], found["b"]), found.get("a"))


def select(info: FrameInfo, *, part: str | None, view: str | None, frame: int | None) -> Candidate:
    """The picture that `part` and `view` name, or the main picture of the hero view.

    Raises:
        PlateError: no RGB, no such part or view, several layers and none named, uint beside the picture.
    """
    found = list(_candidates(info))
    if not found:
        names = ", ".join(channel.name for item in info.parts for channel in item.channels)[:300]
        raise PlateError(f"no R, G, B channels, only {names}", path=info.path, frame=frame, hint="render RGB")
    if part is not None:
        found = _of_part(info, found, part, frame)
    choice = _main_picture(info, _of_view(info, found, view, frame), frame)
    home = info.parts[choice.part]
    if home.mixed_uint or home.channels[choice.rgb[0]].format == "uint":
        raise PlateError(
            "uint channels in the same part as the picture are not supported",
            path=info.path,
            frame=frame,
            hint="write ID mattes to a part or file of their own",
        )
    return choice


def _of_part(info: FrameInfo, found: list[Candidate], part: str, frame: int | None) -> list[Candidate]:
    """The pictures in the part (with or without its view suffix), or else in the layer, that `part` names."""
    for names in (
        lambda c: (info.parts[c.part].name, base_name(info.parts[c.part])),
        lambda c: (c.layer,),
    ):
        if chosen := [candidate for candidate in found if part in names(candidate)]:
            return chosen
    there = ", ".join(dict.fromkeys(_label(info, candidate) for candidate in found))
    text = f"no part or layer {part!r} with R, G, B; there are: {there}"
    raise PlateError(text, path=info.path, frame=frame, hint="fix --part")


def _of_view(info: FrameInfo, found: list[Candidate], view: str | None, frame: int | None) -> list[Candidate]:
    """The pictures of `view`; without one those of the hero view, or all where it has none."""
    wanted = view if view is not None else next(iter(info.views), "")
    chosen = [candidate for candidate in found if candidate.view == wanted]
    if chosen or view is None:
        return chosen or found
    there = ", ".join(dict.fromkeys(c.view for c in found if c.view)) or "none, this is a mono picture"
    raise PlateError(f"no view {view!r}; views there: {there}", path=info.path, frame=frame, hint="fix --view")


def _label(info: FrameInfo, candidate: Candidate) -> str:
    return candidate.layer or info.parts[candidate.part].name or "the unnamed part"


def _main_picture(info: FrameInfo, found: list[Candidate], frame: int | None) -> Candidate:
    """Plain RGB before layers, parts and layers with a main name before others, then the order in the file."""

    def rank(candidate: Candidate) -> tuple[bool, bool, int]:
        layer = candidate.layer.lower().rpartition(".")[2]
        name = base_name(info.parts[candidate.part]).lower().rpartition(".")[2]
        return bool(candidate.layer), (layer or name) not in _MAIN_NAMES, candidate.part

    ordered = sorted(found, key=rank)
    if len(ordered) > 1 and rank(ordered[0])[:2] == (True, True):
        there = ", ".join(dict.fromkeys(_label(info, c) for c in ordered))
        text = f"no plain R, G, B and several layers: {there}"
        raise PlateError(text, path=info.path, frame=frame, hint="name one with --part")
    return ordered[0]
